/* One run of a job's command: what it is given (argv, environment, stdin, fd 3), what it says (stdout, stderr, fd 3), its timeout, and its
 * end, with everything it left behind. One handler at a time; a struct handler is reused for the next run. Worker's thread and loop only. */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "domain/entry.h"
#include "domain/environment.h"
#include "domain/job.h"
#include "domain/outcome.h"

struct cpu_home;
struct group_home;
struct handler;

enum { HANDLER_STDERR_TAIL = 4096 };

struct handler_usage {
	int64_t duration_ms;
	int64_t user_ms;
	int64_t sys_ms;
	int64_t maxrss_kb;
};

struct handler_callbacks {
	/* A line of output, without its newline, at most 16 KiB (cut tells); fd is 1 or 2. Not called with output: discard. */
	void (*line)(void *user, int fd, struct bytes line, bool cut);
	/* This many lines (and bytes) of output were dropped because of a flood; called at most once a second and at the end. */
	void (*dropped)(void *user, int64_t lines, int64_t bytes);
	/* PROGRESS= / STATUS= on fd 3. progress -1 = not said; status n=0 = not said. At most one a second is passed on, the last one always. */
	void (*progress)(void *user, int64_t progress, struct bytes status);
	/* It ended (or could not be started): the group is dead, strays are dead, pipes are read to their end. The last call of a run.
	 * said->result may be taken. */
	void (*ended)(void *user, const struct run_end *end, struct said *said, struct bytes stderr_tail, const struct handler_usage *usage);
	/* A line on fd 3 of a process for many entries that is no KEY=VALUE: of handler_start_many alone. */
	void (*reply)(void *user, struct bytes line, bool cut);
	/* A process for many entries has closed fd 3, and so has all that it started: it may be about to end. */
	void (*mute)(void *user);
	/* It was killed and does not die; the run goes on until it does. At most once a run. May be NULL. */
	void (*undying)(void *user, const char *why);
};

/* inherit: the daemon's environ. Gives or NULL. Makes the process a child subreaper. */
struct handler *handler_new(struct ev_loop *loop, const struct handler_callbacks *callbacks, void *user, char *const *inherit);
void handler_free(struct handler *h); /* kills what runs; NULL-safe */

/* Start. Borrows facts (job, entry) until `ended` is called — which happens from inside, before this returns, when it cannot start. After it
 * returned with the handler running, handler_pid() is its pid and process group. */
void handler_start(struct handler *h, const struct run_facts *facts);
/* A process for many entries: it lives until it ends by itself or is told to. ret_stdin: the writing end of its stdin, non-blocking, the
 * caller's; -1 when it could not start (`ended` was called then). limited: the job's timeout counts from now; else the caller minds the time. */
void handler_start_many(struct handler *h, const struct job *job, bool limited, int *ret_stdin);
/* Two of one worker: what one leaves behind is looked for among all children of the worker, but for the other. */
void handler_pair(struct handler *a, struct handler *b);
/* Its runs live in a cgroup of this name inside the worker's. Borrows the name for good. Before the first start. */
void handler_use_group(struct handler *h, const struct group_home *home, const char *name);
/* Its runs may use the CPUs that the worker at home left alone. Borrows home for good. Before the first start. */
void handler_use_home(struct handler *h, const struct cpu_home *home);
bool handler_running(const struct handler *h);
pid_t handler_pid(const struct handler *h);
uint64_t handler_pid_start(const struct handler *h);

/* End it for our own reasons: TERM to the group (and CONT), KILL after grace_ms (0: KILL at once). kind is what `ended` will report
 * (END_STOPPED, END_LEASE_LOST, END_CANCELLED…) — except that for STOPPED an exit 0 is reported as END_EXITED 0. A second call may shorten the grace. */
void handler_stop(struct handler *h, enum end_kind kind, int64_t grace_ms);
/* Kill group and strays now, no callback: the worker itself is about to end. */
void handler_kill_now(struct handler *h);
