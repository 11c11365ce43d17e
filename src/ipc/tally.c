/* The names and bounds, and finding a bucket. */
#include "ipc/tally.h"

#include "base/attr.h"

const int64_t tally_bounds_ms[TALLY_BOUNDS] = { 1,    5,    10,    25,    50,    100,    250,    500,    1000,
						2500, 5000, 10000, 30000, 60000, 300000, 900000, 3600000 };

static const char *const outcomes[] = {
	[TALLY_SUCCEEDED] = "succeeded", [TALLY_RETRIED] = "retried",   [TALLY_LATER] = "later",
	[TALLY_DEAD] = "dead",           [TALLY_RELEASED] = "released", [TALLY_STALE] = "stale",
};
_Static_assert(ARRAY_LEN(outcomes) == TALLY_OUTCOME_COUNT, "every outcome has a name");

static const char *const recoveries[] = {
	[TALLY_WORKER_DIED] = "worker_died",
	[TALLY_EARLIER_LIFE] = "earlier_life",
	[TALLY_HOST_LOST] = "host_lost",
	[TALLY_FOREIGN] = "foreign",
};
_Static_assert(ARRAY_LEN(recoveries) == TALLY_RECOVERY_COUNT, "every recovery has a name");

const char *tally_outcome_name(enum tally_outcome o)
{
	return outcomes[o];
}

const char *tally_recovery_name(enum tally_recovery r)
{
	return recoveries[r];
}

size_t tally_bucket(int64_t ms)
{
	size_t i = 0;

	while (i < TALLY_BOUNDS && ms > tally_bounds_ms[i])
		i++;
	return i;
}

void tally_time(struct tally_histogram *h, int64_t ms)
{
	if (ms < 0)
		ms = 0;
	tally_add(&h->bucket[tally_bucket(ms)], 1);
	tally_add(&h->sum_ms, (uint64_t)ms);
}
