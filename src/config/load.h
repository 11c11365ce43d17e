/* The state of loading a configuration, between its steps. */
#pragma once

#include "config/source.h"
#include "config/value.h"

/* A job while it is being made: where its keys stand. */
struct job_load {
	struct job *job;
	const struct yaml_node *name;
	const struct yaml_node
		*at[KEY_COUNT]; /* names of the keys, its own or those of `defaults:`; NULL = by default */
	size_t pool;            /* index in config.pools, once resolved */
	bool broken; /* errors were found: it is not compared with others, so that one mistake is one error */
};

struct loading {
	struct loader loader;
	const struct config_source *source;
	struct config *config;
	struct settings *settings;
	struct yaml_node **roots; /* a tree each text; NULL = empty or torn */
	const struct yaml_node *main_at[KEY_COUNT];
	struct job_load *jobs;     /* in the configuration's order */
	struct job_load **by_name; /* the same, sorted */
	size_t job_count;
	bool to_read; /* nobody runs handlers with it */
};

/* Where a key of a job stands: its own place, or the job's. */
struct place job_place(const struct job_load *j, enum key_id key);

/* resolve.c: names, paths, Redis; after the main file was read. */
MUST_CHECK int resolve_main(struct loading *l);
/* pools.c: the pools, and the pool of each job. */
MUST_CHECK int resolve_pools(struct loading *l);
/* queues.c: which jobs share a queue, and whether they agree. */
MUST_CHECK int resolve_queues(struct loading *l);
/* user.c: who the jobs run as. */
MUST_CHECK int resolve_users(struct loading *l);
/* May this process become somebody else? */
bool user_may_change(void);
