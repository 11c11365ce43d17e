/* The state of loading a configuration, between its steps. */
#pragma once

#include "base/fault.h"
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
/* The maps under that key in each file, [0] the main one's; NULL where there is none. Returns how many names are in them. */
size_t collect_maps(struct loading *l, const char *key, const struct yaml_node *in_main, const char *example,
		    const struct yaml_node **maps);
/* schedules.c: the schedules, their jobs and their zones. */
MUST_CHECK int resolve_schedules(struct loading *l);
/* zones.c: the zone of that name, NULL = this process's own ($TZ, else /etc/localtime). *ret_zone is NULL for UTC. 0; -EINVAL with why; -ENOMEM. */
MUST_CHECK int zone_load(const char *name, struct zone **ret_zone, struct fault *ret_fault);
/* queues.c: which jobs share a queue, and whether they agree. */
MUST_CHECK int resolve_queues(struct loading *l);
/* user.c: who the jobs run as. */
MUST_CHECK int resolve_users(struct loading *l);
/* May this process become somebody else? */
bool user_may_change(void);
