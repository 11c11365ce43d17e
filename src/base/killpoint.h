/* Named places at which a test makes a process die or stop. They exist only in a build with --enable-kill-points; else they are nothing at all.
 * The names are those of tests/model/steps.txt. XACKD_KILL_POINT=NAME:ACTION[:NTH] says where (at the NTH time that this process comes by) and
 * what: kill, stop or exit; the file XACKD_KILL_TOKEN, which must not be there yet, makes it happen once over all processes. */
#pragma once

#ifdef WITH_KILL_POINTS
void kill_point(const char *name);
#define KILL_POINT(name) kill_point(name)
#define KILL_POINT_IF(condition, name)                                                                                                       \
	do {                                                                                                                                 \
		if (condition)                                                                                                               \
			kill_point(name);                                                                                                    \
	} while (0)
#else
#define KILL_POINT(name) ((void)0)
#define KILL_POINT_IF(condition, name) ((void)0)
#endif
