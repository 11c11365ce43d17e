/* What is counted for the metrics: in the scoreboard's rows of jobs and queues, so that it belongs to a name
 * and outlives workers and reloads. Any process adds, with one atomic addition each; only the supervisor
 * reads. Nothing is ever set back, but by a new life of the daemon. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "domain/outcome.h"

/* What became of a run; each that is settled is one of these. (Among acknowledgements of one command nobody
 * can tell which were stale: those count as both.) */
enum tally_outcome {
	TALLY_SUCCEEDED,
	TALLY_RETRIED,
	TALLY_LATER,
	TALLY_DEAD,
	TALLY_RELEASED, /* given back: it used up no attempt */
	TALLY_STALE,    /* succeeded, but another had taken it over or finished it */
	TALLY_OUTCOME_COUNT,
};
const char *tally_outcome_name(enum tally_outcome o);

enum tally_recovery {
	TALLY_WORKER_DIED,
	TALLY_EARLIER_LIFE,
	TALLY_HOST_LOST,
	TALLY_FOREIGN,
	TALLY_RECOVERY_COUNT
};
const char *tally_recovery_name(enum tally_recovery r); /* "worker_died" …: the `why` of job.recovered */

/* Upper bounds of the histograms' buckets; a last one holds what is longer. */
enum { TALLY_BOUNDS = 17, TALLY_BUCKETS = TALLY_BOUNDS + 1 };
extern const int64_t tally_bounds_ms[TALLY_BOUNDS];

struct tally_histogram {
	_Atomic uint64_t bucket[TALLY_BUCKETS];
	_Atomic uint64_t sum_ms;
};

struct job_tally {
	_Atomic uint64_t outcome[TALLY_OUTCOME_COUNT];
	struct tally_histogram run;  /* handlers that ended, whatever their end */
	struct tally_histogram wait; /* from enqueue to the start, of first attempts that ended */
	_Atomic uint64_t failed[REASON_COUNT];
	_Atomic uint64_t leases_lost;
};

struct queue_tally {
	_Atomic uint64_t dead[REASON_COUNT]; /* dead letters written, also of entries without a job */
	_Atomic uint64_t recovered[TALLY_RECOVERY_COUNT];
	_Atomic uint64_t unmatched; /* acknowledged without a job */
	_Atomic uint64_t vanished;
	_Atomic uint64_t dead_dropped;
	_Atomic uint64_t trimmed; /* entries that `retain` let go */
};

static inline void tally_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

size_t tally_bucket(int64_t ms);
void tally_time(struct tally_histogram *h, int64_t ms);
