/* The cgroup that a handler lives in. Each worker has a group that its supervisor made, and in it one for the
 * handler of the moment, used again from run to run, so that a run costs no mkdir. A handler is born in it
 * where clone3 may be called. Where not, the worker itself lives in a group beside it, which its handlers
 * inherit: that is enough to end them when the worker is dead; only a handler with limits then moves. */
#pragma once

#include <stdbool.h>

#include "domain/job.h"
#include "handler/spawn.h"

/* A worker's. */
struct group_home {
	int fd;    /* its folder, borrowed; -1 = none: then nothing below does anything */
	bool born; /* handlers can be born in groups of it; else they move there, by writing to procs_fd */
	unsigned controllers; /* CGROUP_… that limits may be given to */
};

struct group {
	struct group_home home;
	int fd;        /* its folder; -1 = none yet */
	int procs_fd;  /* -1: not needed */
	int events_fd; /* memory.events; -1 where memory is not counted */
	const char *name;
	unsigned number; /* of its folder: more than one of a name only while an old one does not go away */
	bool killed;     /* it cannot be used again */
	bool used;       /* by the run of the moment */
	int64_t memory_bytes; /* as they stand in it; 0 = none */
	int64_t processes;
	int64_t oom_kills; /* when the run began */
};

/* For a worker, before its first handler: what is behind the descriptor that it inherited. */
struct group_home group_enter(int inherited_fd);
/* Borrows the name for good. home NULL: none. */
void group_init(struct group *g, const struct group_home *home, const char *name);
void group_done(struct group *g);
/* For a run with these limits: fills in where the plan's child is to be. Gives which of the limits the group
 * holds (CGROUP_…). */
unsigned group_prepare(struct group *g, const struct limits *limits, struct spawn_plan *plan);
/* spawn_start failed at its first stage: true if that was the group's fault. It is not used again, and the
 * run may be started without. */
bool group_failed(struct group *g, int error);
/* SIGKILL to all that are in it. */
void group_kill(struct group *g);
/* True if the kernel killed something in it for want of memory since group_prepare. */
bool group_was_out_of_memory(const struct group *g);
