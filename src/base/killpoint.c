/* What happens at a kill point: see the header. In a build without them this file is empty. */
#include "base/killpoint.h"

#include <stdlib.h>

#ifdef WITH_KILL_POINTS

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { KILL_POINT_EXIT = 99 };

/* The token's first owner wins; it then says who it was. */
static int take_token(const char *path)
{
	char text[32];

	if (!path)
		return 1;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return 0;
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	(void)!write(fd, text, (size_t)n);
	(void)close(fd);
	return 1;
}

static void act(const char *action)
{
	if (strncmp(action, "kill", 4) == 0)
		(void)raise(SIGKILL); /* to this very thread: it goes no step further */
	else if (strncmp(action, "stop", 4) == 0)
		(void)raise(SIGSTOP);
	else if (strncmp(action, "exit", 4) == 0)
		_exit(KILL_POINT_EXIT);
}

void kill_point(const char *name)
{
	static _Atomic unsigned long passed; /* one name only is counted in a process: that of the environment */
	const char *wanted = getenv("XACKD_KILL_POINT");
	size_t n = strlen(name);

	if (!wanted || strncmp(wanted, name, n) != 0 || wanted[n] != ':')
		return;
	const char *action = wanted + n + 1;
	const char *nth = strchr(action, ':');
	if (atomic_fetch_add(&passed, 1) + 1 < (nth ? strtoul(nth + 1, NULL, 10) : 1))
		return;
	if (take_token(getenv("XACKD_KILL_TOKEN")))
		act(action);
}

#endif
