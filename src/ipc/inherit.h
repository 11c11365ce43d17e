/* What a worker process inherits from its supervisor: fixed descriptors and one variable of the environment, WORKER_ENV="<row>/<pool>/<number>"
 * (removed at once). argv[0] is "xackd: worker POOL/SLOT". Its consumer name it makes itself and writes into its slot.
 *
 * Signals to a worker: TERM = drain (no new entries; end when the handler has ended, at most drain_timeout, then TERM, KILL, release);
 * INT = fast stop (the same with no time); USR1 = retire: end when the handler has ended, however long that takes. */
#pragma once

#include <stddef.h>

enum {
	WORKER_FD_SOURCE = 3,   /* sealed memory file with the configuration's texts */
	WORKER_FD_BOARD = 4,    /* the scoreboard */
	WORKER_FD_LOG = 5,      /* memory file of the log's shared part, log_shared_size() bytes */
	WORKER_FD_LOCK = 6,     /* the lock that all workers share: only held */
	WORKER_FD_LIFELINE = 7, /* read end of a pipe whose other end only the supervisor has: EOF = it is gone */
	WORKER_FD_BELL = 8,     /* eventfd of the reaper */
	WORKER_FD_GROUP = 9,    /* folder of the worker's cgroup; /dev/null where there is none */
	WORKER_FD_COUNT = 7,
};
/* Which worker it is: the row of its slot on the scoreboard, and its place in its pool. */
struct worker_place {
	size_t row;
	char pool[72];
	int number;
};
#define WORKER_ENV "XACKD_WORKER"

/* Exit codes of a worker process. */
enum {
	WORKER_EXIT_OK = 0,
	WORKER_EXIT_UNSETTLED = 3, /* stopped with an outcome that could not be settled */
	WORKER_EXIT_SETUP = 4,     /* could not start: no memory, or a bug */
};
