/* Jobs with limits over all hosts: what waits for one is made due as far as it may start, and the slots of
 * the dead come free. Workers do most of it themselves, whoever leaves wakes the next; this is for what
 * nobody leaves: a rate whose time has come, a slot whose worker or host died, a limit that a reload raised
 * or took away. */
#include "reaper/state.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/killpoint.h"

enum {
	MAKE_DUE = 100, /* at once */
	SOONEST_MS = 20,
};

static void open_jobs(struct reaped_queue *q)
{
	for (size_t i = 0; i < q->def->job_count; i++)
		atomic_store(&q->jobs[i]->full_until_mono_ms, 0);
}

/* False: the connection is gone. */
static bool tend(struct reaper *r, struct reaped_queue *q, const char *dead)
{
	struct redis_error error;
	int64_t made_due = 0, wait_ms = -1;

	KILL_POINT_IF(!*dead, "limits.before");
	KILL_POINT_IF(*dead, "free_slots.before");
	if (limit_tend(r->conn, &q->keys, q->limits, q->limit_count, dead, MAKE_DUE, &made_due, &wait_ms,
		       NULL, &error) < 0) {
		q->limits_mono_ms = clock_mono_ms() + REAPER_TICK_MS;
		return !reaper_failed(r, q, &error);
	}
	KILL_POINT_IF(!*dead, "limits.after");
	KILL_POINT_IF(*dead, "free_slots.after");
	if (wait_ms < 0 || wait_ms > REAPER_TICK_MS)
		wait_ms = REAPER_TICK_MS;
	q->limits_mono_ms = clock_mono_ms() + (wait_ms < SOONEST_MS ? SOONEST_MS : wait_ms);
	if (made_due > 0)
		reaper_due_now(q);
	return true;
}

void reaper_tend_limits(struct reaper *r, struct reaped_queue *q, int64_t now)
{
	if (q->gauges.held > 0 && now >= q->limits_mono_ms)
		(void)tend(r, q, "");
}

bool reaper_free_slots(struct reaper *r, struct reaped_queue *q, const char *dead)
{
	if (q->limit_count == 0)
		return true;
	if (!tend(r, q, dead))
		return false;
	open_jobs(q);
	reaper_due_now(q); /* what was never read is waited for, too: somebody looks */
	return true;
}

int64_t reaper_limits_wake(const struct reaped_queue *q)
{
	return q->gauges.held > 0 ? q->limits_mono_ms : INT64_MAX;
}

void reaper_limits_free(struct reaped_queue *q)
{
	for (size_t i = 0; i < q->limit_count; i++)
		limit_done(&q->limits[i]);
	free(q->limits);
	q->limits = NULL;
	q->limit_count = 0;
}

int reaper_limits_init(struct reaped_queue *q, const struct queue *def)
{
	struct limit *limits = calloc(def->job_count + 1, sizeof(*limits));
	size_t count = 0;
	int failed = limits ? 0 : -ENOMEM;

	for (size_t i = 0; i < def->job_count && failed == 0; i++) {
		if (!job_limited(def->jobs[i]))
			continue;
		failed = limit_init(&limits[count], def, def->jobs[i]);
		count += failed == 0;
	}
	if (failed < 0) {
		for (size_t i = 0; i < count; i++)
			limit_done(&limits[i]);
		free(limits);
		return failed;
	}
	reaper_limits_free(q);
	q->limits = limits;
	q->limit_count = count;
	q->limits_mono_ms = 0;
	return 0;
}
