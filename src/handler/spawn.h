/* Starting a process with all that a handler's surroundings ask for. The plan is made before; between clone and exec there are only system
 * calls. The child shares the memory until its exec (no page tables are copied), so its errors come back in plain memory. */
#pragma once

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/attr.h"

enum {
	SPAWN_FDS = 4,        /* stdin, stdout, stderr, notify: become 0, 1, 2, 3; nothing else is inherited */
	SPAWN_LIMITS_MAX = 4,
};

/* The step that failed; SPAWN_CLONE: there never was a child. */
enum spawn_stage {
	SPAWN_CLONE,
	SPAWN_GROUP,
	SPAWN_DESCRIPTORS,
	SPAWN_LIMITS,
	SPAWN_NICE,
	SPAWN_USER,
	SPAWN_PARENT,
	SPAWN_CWD,
	SPAWN_EXEC,
};

struct spawn_limit {
	int resource;
	struct rlimit value; /* above the hard limit that may not be raised: the hard limit */
};

struct spawn_user {
	uid_t uid;
	gid_t gid;
	const gid_t *groups;
	size_t group_count;
};

/* All of it borrowed during spawn_start. */
struct spawn_plan {
	const char *path;
	char *const *argv;
	char *const *envp;
	const char *cwd;
	int fds[SPAWN_FDS];
	struct spawn_limit limits[SPAWN_LIMITS_MAX];
	size_t limit_count;
	mode_t umask;
	int nice;                      /* 0 = as it is */
	const struct spawn_user *user; /* NULL = as it is */
	const cpu_set_t *cpus;         /* NULL = where the parent may run */
	int group_fd;                  /* folder of the cgroup that it is born in; 0 = ours */
	int group_procs_fd;            /* cgroup.procs of the one that it moves to, where it cannot be born there; 0 = none */
};

struct spawned {
	pid_t pid;                /* also its process group */
	int pidfd;                /* close-on-exec; readable once it ended */
	uint64_t start_ticks;     /* as in /proc/PID/stat; 0 = not known without looking there */
};

/* What is made once: the child's stack. */
struct spawner {
	char *stack; /* NULL = none yet */
	uint64_t signals; /* those that are not at their default, bit number - 1: as they are at the first start */
	bool signals_known;
	size_t size;
	long ticks_per_s;
};

MUST_CHECK int spawner_init(struct spawner *s);
void spawner_done(struct spawner *s);

/* Start. Blocks until the child's exec. The child is the leader of its own process group, dies with the calling thread, and has no signal
 * blocked, caught or ignored. 0, or -errno with the stage; then there is no child left. */
MUST_CHECK int spawn_start(struct spawner *s, const struct spawn_plan *plan, struct spawned *ret_child, enum spawn_stage *ret_stage);

/* For kernels before 5.9, that lack close_range: close all descriptors from first on, by the list in /proc. System calls only. */
void spawn_close_listed(int first);
