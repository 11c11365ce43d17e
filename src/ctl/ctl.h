/* What every verb works with: the command line, the configuration, the output, and the two that can be asked,
 * Redis and the daemon. Both are reached when first needed, so that a verb fails only for what it really
 * needs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "config/config.h"
#include "ctl/args.h"
#include "ctl/output.h"
#include "redis/connection.h"
#include "redis/keys.h"

/* The exit codes (sysexits.h where there is a name). */
enum ctl_exit {
	CTL_DONE = 0,
	CTL_NO = 1,           /* not found, or refused */
	CTL_USAGE = 64,       /* EX_USAGE */
	CTL_UNAVAILABLE = 69, /* EX_UNAVAILABLE: Redis or the daemon cannot be reached */
	CTL_CONFIG = 78,      /* EX_CONFIG */
};

struct ctl {
	const struct args *args;
	struct config *config;
	struct queue_keys *keys; /* by index of config->queues */
	struct output out;
	struct connection *redis; /* private: NULL until ctl_redis */
	int redis_exit;           /* private: what ctl_redis said last time, when it failed */
};

/* Load the configuration. 0, or the exit code with the words in report (whole lines, for stderr). */
MUST_CHECK int ctl_load(struct ctl *ctl, struct buf *report);
void ctl_done(struct ctl *ctl);

/* Say why on stderr, escaped, and give code back. */
int ctl_say(int code, const char *format, ...) PRINTF_LIKE(2, 3);

/* The connection to Redis; made at the first call. 0, or the exit code (said once). */
MUST_CHECK int ctl_redis(struct ctl *ctl, struct connection **ret_connection);
/* The same, but nothing is said: why gets the words. */
MUST_CHECK int ctl_redis_try(struct ctl *ctl, struct connection **ret_connection, struct buf *why);
/* A desk or admin call about this queue answered r < 0: the exit code, said. CTL_NO: the next queue may do
 * better. */
int ctl_redis_failed(const struct ctl *ctl, size_t queue, int r, const struct redis_error *error);
/* The same, but nothing is said: why gets the words. */
int ctl_redis_why(const struct ctl *ctl, size_t queue, int r, const struct redis_error *error,
		  struct buf *why);

/* Say how many it would be, and ask; --yes, or a person. 0 = go, else the exit code (said). */
MUST_CHECK int ctl_agree(const struct ctl *ctl, int64_t count, const char *thing, const char *things,
			 const char *verb, const char *done);

/* IDs, or filters, or --all: naming nothing would mean all, and that is to be said. 0 or the exit code
 * (said). */
MUST_CHECK int ctl_check_selection(const struct ctl *ctl);

/* Ask the daemon. 0 with its answer (a reference); a positive exit code (said), when it refused;
 * -ECONNREFUSED when it does not run; other -errno when it cannot be asked. In both last cases nothing was
 * said yet: fault has the words. */
MUST_CHECK int ctl_daemon(const struct ctl *ctl, json_t *request_taken, json_t **ret_answer,
			  struct fault *ret_fault);
/* Say that the daemon is not there; CTL_UNAVAILABLE. */
int ctl_no_daemon(const struct ctl *ctl, const struct fault *fault);
/* The daemon's list for this verb (an array, also when it came inside an object under that name). 0, or the
 * exit code (said). */
MUST_CHECK int ctl_daemon_list(const struct ctl *ctl, const char *verb, json_t **ret_list);
/* The same, best effort: NULL when there is none, nothing is said. */
json_t *ctl_daemon_list_quietly(const struct ctl *ctl, const char *verb);
/* Tell the reaper to look at once; when there is no daemon here (false) it looks at its next tick anyway. */
bool ctl_daemon_look(const struct ctl *ctl);
/* Ask the daemon, if it is there, to try this job again if it is suspended. */
void ctl_daemon_resume_quietly(const struct ctl *ctl, const char *job);

/* ---- which queues ---- */
/* --job and --queue name something that exists. 0 or the exit code (said). */
MUST_CHECK int ctl_check_choice(const struct ctl *ctl);
MUST_CHECK int ctl_check_queue(const struct ctl *ctl); /* only --queue: dead letters outlive their jobs */
/* The job that stands behind the verb; NULL = none does. 0 or the exit code (said). */
MUST_CHECK int ctl_named_job(const struct ctl *ctl, const struct job **ret_job);
/* What --job and --queue leave. */
bool ctl_chooses_queue(const struct ctl *ctl, size_t queue);
bool ctl_queue_named(const char *stream, const char *group,
		     const char *name); /* "STREAM" or "STREAM/GROUP" */
/* Names of the queue's jobs: a JSON array, and words for people. */
void ctl_add_queue_jobs(const struct queue *queue, struct buf *json, struct buf *words);
/* True if all entries of the queue are of one job, whatever their fields. */
bool ctl_single_job(const struct queue *queue);

/* One of xackd's own "POOL/SLOT" out of a consumer's name HOST/POOL/SLOT/INCARNATION. False if it is not of
 * that form. */
bool ctl_consumer_parts(const char *consumer, struct bytes *ret_host, struct bytes *ret_worker);
