/* A home for a worker: one CPU, while short handlers follow each other without a pause. Where everybody has more than enough to do, the
 * kernel's looking for a better CPU at each fork and exec costs about a tenth of what gets done: the new process begins with cold caches, and two
 * CPUs have to wake each other. A handler never notices: it is given the CPUs that the worker may use otherwise, before its exec. */
#pragma once

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

struct cpu_home {
	size_t number;  /* of this worker among those of its daemon */
	size_t workers; /* of the daemon */
	bool wanted;
	bool kept;      /* wanted, and possible */
	cpu_set_t all;  /* while kept: where this process could run before */
};

/* keep: run on one CPU from now on, chosen by the worker's number, so that they are spread evenly; else wherever one could before. Nothing
 * happens when that is the case already, when there are CPUs without a worker (the kernel knows better which), or where it is not allowed. */
void cpu_home_keep(struct cpu_home *h, bool keep);
/* Where handlers may run; NULL: where this process may. Borrowed from h. */
const cpu_set_t *cpu_home_handlers(const struct cpu_home *h);
