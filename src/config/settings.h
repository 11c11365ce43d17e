/* What the main file says, as it was said: the top of the tree of keys. The table writes into it; `struct
 * config` and the pools are made from it. */
#pragma once

#include <stdint.h>

#include "config/config.h"

struct yaml_node;

struct settings {
	char *name; /* NULL = from the host */
	char *redis_url;
	char *redis_username;
	char *redis_password_file;
	char *redis_password_env;
	int64_t redis_connect_timeout_ms;
	int64_t redis_command_timeout_ms;
	char *group;
	int64_t workers; /* of the pool "default"; 0 = the CPUs */
	enum unmatched_rule unmatched;
	int64_t drain_timeout_ms;
	char *state_dir;
	char *control_socket;
	enum log_format log_format;
	int log_level;
	enum success_rule log_success;
	char *metrics_listen; /* NULL = none */
	char *metrics_textfile;
	char **include; /* NULL-terminated */
	/* Read after everything else is known. NULL = not given. */
	const struct yaml_node *pools;
	const struct yaml_node *defaults;
	const struct yaml_node *jobs;
	const struct yaml_node *cron;
};

struct pool_settings {
	int64_t workers; /* 0 = the CPUs */
};

/* What a configuration owns beside its public part. */
struct config_store {
	struct arena *arena; /* every text and list */
	struct settings settings;
	struct zone **zones; /* shared by the schedules */
	size_t zone_count;
	struct template **templates; /* shared by the jobs that have them from `defaults:` */
	size_t template_count;
	const struct job **by_name; /* sorted */
};
