/* What the configuration says of jobs, queues and pools, resolved and ready to use. Plain data: the
 * configuration fills it, workers and the reaper read it, nobody changes it afterwards. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bytes.h"

struct template; /* domain/template.h */

enum stdin_kind { STDIN_JSON, STDIN_PAYLOAD, STDIN_NONE };
enum lease_lost_rule { LEASE_LOST_FINISH, LEASE_LOST_KILL };
enum foreign_rule { FOREIGN_TAKE, FOREIGN_LEAVE };
enum output_rule { OUTPUT_LOG, OUTPUT_DISCARD };
enum start_rule { START_BEGIN, START_END };           /* 0 or $ */
enum read_ahead_rule { READ_AHEAD_AUTO, READ_AHEAD_OFF };
enum job_mode { MODE_EXEC, MODE_BATCH, MODE_PERSISTENT };
enum success_rule { SUCCESS_EACH, SUCCESS_SUMMARY };
enum backoff_kind { BACKOFF_FIXED, BACKOFF_LINEAR, BACKOFF_EXPONENTIAL };
enum exit_class { EXIT_CLASS_NONE, EXIT_CLASS_ACK, EXIT_CLASS_RETRY, EXIT_CLASS_DEAD, EXIT_CLASS_LATER };

/* What stays in the stream of what every group of it has acknowledged. */
enum retain_kind { RETAIN_ALL, RETAIN_ACKED, RETAIN_AGE, RETAIN_MAXLEN };
struct retain_rule {
	enum retain_kind kind;
	int64_t value; /* AGE: ms; MAXLEN: entries */
};

struct retry_rules {
	int64_t max_attempts; /* 0 = no limit */
	enum backoff_kind backoff;
	int64_t initial_ms;
	int64_t max_ms;
	double jitter; /* 0 … 1 */
};

/* What an exit code or a signal means; EXIT_CLASS_NONE = not named. */
struct exit_rules {
	unsigned char code[256];
	unsigned char signal[65];
};

struct limits {
	int64_t memory_bytes; /* each 0 = none */
	int64_t cpu_s;
	int64_t files;
	int64_t processes;
};

struct batch_rules {
	int64_t size;
	int64_t wait_ms;
};

struct persistent_rules {
	int64_t window;       /* entries that its process may have unanswered */
	int64_t max_jobs;     /* then it is replaced; each 0 = never */
	int64_t max_age_ms;
	int64_t max_rss_bytes;
};

/* Never more than `count` starts in any `period_ms`; count 0 = no limit. */
struct rate {
	int64_t count;
	int64_t period_ms;
};

struct env_var {
	char *name;
	char *value;
};

struct match_rule {
	char *name;  /* the entry's first field of this name … */
	char *value; /* … has this value */
};

/* A user to run as, looked up when the configuration was loaded. */
struct run_user {
	char *name;
	char *home;
	char *shell;
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	size_t group_count;
};

struct job {
	char *name;
	size_t index;        /* in the configuration: also its row in the scoreboard's job table */
	size_t queue;        /* index in config.queues */
	char *stream;
	char *group;
	char *pool;
	struct match_rule *matches;
	size_t match_count;  /* 0 = takes everything */
	int64_t weight;
	char **exec;         /* NULL-terminated, [0] is a path or a name for PATH; NULL with shell */
	size_t exec_count;
	struct template **templates; /* one for each of exec[1…]; [0] unused and NULL */
	char *shell;
	enum job_mode mode;
	struct batch_rules batch;
	struct persistent_rules persistent;
	enum stdin_kind stdin_kind;
	char *payload_field;
	struct env_var *env;
	size_t env_count;
	char *cwd;
	struct run_user *user; /* NULL = xackd's own */
	char *user_missing;    /* the name, when `user:` names nobody: the job is suspended when it would run */
	mode_t umask;
	int nice;
	struct limits limits;
	int64_t timeout_ms; /* 0 = none */
	int64_t kill_grace_ms;
	int64_t lease_ms;
	enum lease_lost_rule lease_lost;
	enum foreign_rule foreign;
	struct retry_rules retry;
	struct exit_rules exits;
	enum output_rule output;
	enum success_rule success;
	enum read_ahead_rule read_ahead;
	int64_t dead_maxlen; /* 0 = no cap */
	int64_t result_ttl_ms; /* 0 = results are not kept */
	enum start_rule start;
	struct retain_rule retain;
	int64_t concurrency; /* handlers over all hosts; 0 = no limit */
	struct rate rate;
};

/* Must its entries ask before they start? */
static inline bool job_limited(const struct job *job)
{
	return job->concurrency > 0 || job->rate.count > 0;
}

/* A (stream, group) pair with the jobs that share it, in the configuration's order. */
struct queue {
	char *stream;
	char *group;
	size_t pool; /* index in config.pools */
	struct job **jobs;
	size_t job_count;
	int64_t lease_ms; /* the longest of its jobs' */
	int64_t weight;   /* the largest of its jobs' */
	enum foreign_rule foreign;
	enum start_rule start;
	struct retain_rule retain;
	int64_t dead_maxlen;
	bool limited;     /* any of its jobs is */
};

struct pool {
	char *name;
	size_t workers;
	size_t *queues;     /* indexes in config.queues */
	size_t queue_count; /* 0: nothing uses the pool, no worker is started */
};
