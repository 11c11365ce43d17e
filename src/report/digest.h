/* The report's figures, gathered event by event. Nothing grows with the log: buckets over time that widen,
 * histograms for percentiles, tables with a bound, the first of each ranking. No event is matched with an
 * earlier one by its entry (each says what it needs), but for the end of stderr, which stands in job.failed:
 * a small table of the last failures keeps it for job.dead.
 *
 * Events may come in any order of time: of several hosts one behind the other, say. Only what belongs
 * together on one host (redis.lost and redis.connected) must be in order. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "domain/stats.h"
#include "report/names.h"
#include "report/record.h"
#include "report/series.h"
#include "report/tails.h"
#include "report/top.h"

/* Everything counted, and its name in JSON. The first are counted over time and for each job, too. */
#define DIGEST_COUNTS(X)                \
	X(SUCCEEDED, "succeeded")       \
	X(FAILED, "failed")             \
	X(RETRIED, "retried")           \
	X(LATER, "later")               \
	X(DEAD, "dead")                 \
	X(RELEASED, "released")         \
	X(RECOVERED, "recovered")       \
	X(UNMATCHED, "unmatched")       \
	X(VANISHED, "vanished")         \
	X(LEASE_LOST, "lease_lost")     \
	X(STALE_ACK, "stale_ack")       \
	X(SUSPENDED, "suspended")       \
	X(RESUMED, "resumed")           \
	X(STARTS, "starts")             \
	X(RELOADS, "reloads")           \
	X(STOPS, "stops")               \
	X(REFUSALS, "refusals")         \
	X(WARNINGS, "warnings")         \
	X(WORKERS_LOST, "workers_lost") \
	X(REDIS_LOST, "redis_lost")     \
	X(REDIS_ERRORS, "redis_errors") \
	X(DEAD_DROPPED, "dead_dropped") \
	X(LOG_DROPPED, "log_dropped")

enum digest_count {
#define X(symbol, name) DIGEST_##symbol,
	DIGEST_COUNTS(X)
#undef X
		DIGEST_COUNT_ALL,
	DIGEST_COUNT_SERIES = DIGEST_UNMATCHED,
	DIGEST_NOTHING = DIGEST_COUNT_ALL,
};

enum {
	DIGEST_JOBS = 250, /* each has rows and histograms of its own, all others together one more */
	DIGEST_HOSTS = 60,
	DIGEST_REASONS = 200,
	DIGEST_ATTEMPTS = 20, /* the last stands for all above, too */
	DIGEST_RANKED = 100,  /* slowest, longest waiting */
	DIGEST_LISTED = 200,  /* last dead letters, recovered, outages, marks of a kind */
};

struct digest_bucket {
	uint64_t count[DIGEST_COUNT_SERIES];
	struct histogram wait, run;
};
struct digest_job {
	uint64_t count[DIGEST_COUNT_SERIES];
	struct histogram wait, run;
	uint64_t single, summed, added; /* successes: told one by one; by summaries; taken from summaries */
	int64_t failed_ms;              /* when it last failed, -1 = never */
	char failure[NAMES_LONGEST + 1];
};
struct digest_reason {
	uint64_t failed, dead;
	int64_t last_ms;
	size_t job; /* of the last one */
};
struct digest_host {
	int64_t first_ms, last_ms;
	bool connected_ever;
	int64_t lost_ms; /* -1 = connected, as far as is known */
	char why[NAMES_LONGEST + 1];
	char version[32];
};

struct digest_range {
	struct bytes job; /* borrowed; only this one (and what is no job's), empty = all */
	int64_t since_ms; /* -1 = from the beginning */
	int64_t until_ms; /* -1 = to the end; this moment is not in it */
};

struct digest {
	struct digest_range range;
	uint64_t taken;            /* events counted */
	uint64_t beside;           /* events outside of the range, or of another job */
	int64_t first_ms, last_ms; /* -1 = nothing was taken */
	uint64_t count[DIGEST_COUNT_ALL];
	struct histogram wait, run;
	struct series series;                  /* of struct digest_bucket */
	struct series due;                     /* of uint64_t: retries by when they are due */
	uint64_t attempts[2][DIGEST_ATTEMPTS]; /* succeeded, dead; by attempt - 1 */
	struct names job_names, host_names, reason_names;
	struct digest_job *jobs;       /* DIGEST_JOBS + 1 */
	struct digest_host *hosts;     /* DIGEST_HOSTS + 1 */
	struct digest_reason *reasons; /* DIGEST_REASONS + 1 */
	struct tails tails;
	struct top slowest, waited, dead, recovered, outages;
	struct top daemon_marks, worker_marks, job_marks;
};

/* 0 or -ENOMEM (then nothing is left to be freed). */
MUST_CHECK int digest_new(const struct digest_range *range, struct digest **ret_digest);
void digest_free(struct digest *t);

/* Count an event. False: it is none that the report looks at, or outside of the range. */
bool digest_take(struct digest *t, const struct record *r);
/* Whether events of this name are looked at, so that others need not be read at all. */
bool digest_wants(struct bytes event);
size_t digest_event_count(void);

/* Retries that are due after the last event. */
uint64_t digest_to_come(const struct digest *t);
