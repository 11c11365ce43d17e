/* The configuration as the daemon and xackctl use it: loaded from YAML, merged with defaults, validated,
 * resolved. All errors are collected, with place and advice, never only the first. Immutable once loaded. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "domain/job.h"
#include "domain/schedule.h"
#include "domain/target.h"

enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_JSON, LOG_FORMAT_TEXT, LOG_FORMAT_JOURNAL };
enum unmatched_rule { UNMATCHED_DEAD, UNMATCHED_ACK };

struct config {
	char *file;                /* absolute path of the main file */
	char *name;                /* of this host */
	struct redis_target redis; /* resolved: "embedded" is the socket in state_dir */
	char *group;
	enum unmatched_rule unmatched;
	int64_t drain_timeout_ms;
	char *state_dir;      /* absolute */
	char *control_socket; /* absolute; its folder is the runtime folder */
	char *runtime_dir;
	enum log_format log_format;
	int log_level; /* enum event_level */
	char *metrics_listen;   /* address and port, NULL = none */
	char *metrics_textfile; /* absolute, NULL = none */
	struct job *jobs;
	size_t job_count;
	struct queue *queues; /* sorted by stream, then group */
	size_t queue_count;
	struct pool *pools; /* "default" first */
	size_t pool_count;
	struct schedule *schedules; /* in the configuration's order */
	size_t schedule_count;
	size_t slot_count;          /* all workers of pools that have queues */
	struct config_store *store; /* private: what the above points into */
};

/* The texts a configuration came from: the main file and what it includes. A worker loads the very same
 * texts, from a sealed memory file, so that a file that is being edited never splits a daemon. */
struct config_source;

/* Read FILE and its includes. 0 or -errno with errors added to `report` ("FILE: cannot be read: …\n"). */
MUST_CHECK int config_source_read(const char *file, struct config_source **ret_source, struct buf *report);
/* To and from a sealed memory file (MFD_CLOEXEC). */
MUST_CHECK int config_source_to_memfd(const struct config_source *s, int *ret_fd);
MUST_CHECK int config_source_from_fd(int fd, struct config_source **ret_source);
void config_source_free(struct config_source *s);

/* Parse, validate, resolve. 0, or -EINVAL with every error on a line of its own in report ("FILE:LINE:COL:
 * key.path: what (what to do)"; the first fifty and a count). May also add nothing but succeed. */
MUST_CHECK int config_load(const struct config_source *s, struct config **ret_config, struct buf *report);
/* The same for who only reads it and runs no handlers (xackctl): what this process may do (`user:`) does not
 * matter. */
MUST_CHECK int config_load_to_read(const struct config_source *s, struct config **ret_config,
				   struct buf *report);
void config_free(struct config *c);
/* What a privileged daemon must not trust: files of the configuration, and handlers, that anybody may change.
 * 0, or -EPERM with a line each in report; always 0 without privileges. */
MUST_CHECK int config_rights(const struct config_source *s, const struct config *c, struct buf *report);
/* A password is configured: who connects will know it. */
bool config_has_secret(const struct config *c);
/* For --check: warnings that are no errors (a handler that does not exist or is not executable, RLIMIT_NPROC
 * for root…), a line each. Returns their number. */
size_t config_warnings(const struct config *c, struct buf *report);

/* --print schema|reference|sample|config, all made from the table of keys. config: the effective one as YAML.
 */
MUST_CHECK int config_print_schema(struct buf *out);
MUST_CHECK int config_print_reference(struct buf *out);
MUST_CHECK int config_print_sample(struct buf *out);
MUST_CHECK int config_print_effective(const struct config *c, struct buf *out);

/* What the workers of this pool work by, for comparing: the same text, the same work. Their number is not in it. */
MUST_CHECK int config_print_pool(const struct config *c, const struct pool *pool, struct buf *out);

const struct job *config_job(const struct config *c, const char *name); /* NULL if there is none */
