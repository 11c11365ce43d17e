/* From a job and an entry to what spawn_start wants: argv, environment, the path of the program, limits, user. All buffers are kept from run
 * to run. */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "base/fault.h"
#include "domain/environment.h"
#include "domain/outcome.h"
#include "handler/spawn.h"

/* The part of an environment that belongs to a job, made at its first run. */
struct plan_base {
	const struct job *job; /* NULL = not made yet */
	struct environment_base base;
};

struct plan {
	struct spawn_plan spawn; /* all but its descriptors; valid until the next plan_make */
	/* private: */
	struct buf text;   /* the arguments, each with its NUL */
	struct buf vector; /* pointers to them, and NULL */
	struct buf path;
	struct environment environment;
	struct plan_base *bases; /* by the job's index */
	size_t base_count;
	struct spawn_user user;
	unsigned held;           /* limits that the handler's cgroup holds (CGROUP_…): the caller's, before plan_make */
	rlim_t files_at_start;   /* the soft limit on descriptors that this process began with */
	char *const *inherit;
};

/* Borrows inherit for good. */
void plan_init(struct plan *p, char *const *inherit);
void plan_done(struct plan *p);

enum plan_answer { PLAN_OK = 0, PLAN_REFUSED };
/* Make it. PLAN_REFUSED: this run cannot start, ret_end says why. */
MUST_CHECK enum plan_answer plan_make(struct plan *p, const struct run_facts *facts, struct run_end *ret_end);
