/* `retain`: what is done leaves the stream, by steps that cost Redis little. What a step may take is looked
 * up in that very step, so several hosts may do it side by side, and whoever dies in the middle leaves a
 * shorter stream and nothing else.
 *
 * Where the figures of the last look say that nothing can go, nothing is asked. Where something might, but
 * nothing went (another group has not got so far, what is done is still young), it is asked less and less
 * often until the figures change. */
#include "reaper/state.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/killpoint.h"
#include "redis/trim.h"

enum {
	REST_TIMES = 10, /* a step's time is a tenth of the whole, … */
	REST_LEAST_MS = 10,
	PAUSE_LEAST_MS = 1000, /* … and where nothing goes it is tried again so late */
	PAUSE_MOST_MS = 60 * 1000,
	STANDS_STILL_MS = 60 * 60 * 1000, /* a group that lets nothing go for so long is told of */
};

/* By the figures: nothing, perhaps something, or certainly something. */
enum chance { CHANCE_NONE, CHANCE_SOME, CHANCE_GOOD };

static enum chance chance_of(const struct reaped_queue *q)
{
	const struct queue_gauges *g = &q->gauges;
	int64_t open = g->pending + (g->waiting > 0 ? g->waiting : 0);

	if (q->def->retain.kind == RETAIN_ALL || q->left_at || !g->exists || g->length == 0)
		return CHANCE_NONE;
	if (q->def->retain.kind == RETAIN_MAXLEN && g->length <= q->def->retain.value)
		return CHANCE_NONE;
	if (!g->has_waiting && g->length <= g->pending)
		return CHANCE_NONE;
	return g->length > open ? CHANCE_GOOD : CHANCE_SOME; /* Redis's count of what waits may be too high */
}

/* Another group that has not moved for longer than a lease, over an entry that is old: once, until something
 * goes again. */
static void tell_held(struct reaper *r, struct reaped_queue *q, const struct trim_answer *a, int64_t now)
{
	bool foreign = a->held && strcmp(a->group, q->def->group) != 0;
	int64_t at_ms = entry_id_time_ms(a->floor, a->redis_now_ms);

	if (!foreign || strcmp(q->trim_floor, a->floor) != 0) {
		snprintf(q->trim_floor, sizeof(q->trim_floor), "%s", foreign ? a->floor : "");
		q->trim_floor_mono_ms = now;
		q->trim_told = q->trim_told && foreign && a->count == 0;
		return;
	}
	if (q->trim_told || now - q->trim_floor_mono_ms < q->longest_lease_ms ||
	    (at_ms >= 0 && a->redis_now_ms - at_ms < STANDS_STILL_MS))
		return;
	q->trim_told = true;
	struct event_about about = reaper_about(q, a->floor);
	event(r->o.log, RETAIN_HELD, &about, F_TEXT("by", a->group),
	      F_TEXT("why", a->pending ? "pending" : "waiting"),
	      F_TEXT("consumer", a->pending ? a->consumer : NULL), F_I64("length", a->length));
}

/* It is no reason to leave the queue alone: everything else goes on. */
static void refused(struct reaper *r, struct reaped_queue *q, const struct redis_error *error, int64_t now)
{
	q->trim_pause_ms = PAUSE_MOST_MS;
	q->trim_mono_ms = now + PAUSE_MOST_MS;
	if (error->reaction != REACT_OPERATOR && error->reaction != REACT_UNKNOWN) {
		(void)reaper_failed(r, q, error);
		q->trim_mono_ms = now + PAUSE_LEAST_MS;
	} else if (strcmp(q->trim_error, error->text) != 0) {
		snprintf(q->trim_error, sizeof(q->trim_error), "%s", error->text);
		struct event_about about = reaper_about(q, NULL);
		event(r->o.log, REDIS_ERROR, &about, F_TEXT("why", error->text),
		      F_TEXT("advice", error->advice),
		      F_TEXT("detail", "nothing is trimmed (retain); all else goes on"));
	}
}

/* When to go on: after a rest that keeps the share small, with the next figures, or later and later. */
static void plan(struct reaped_queue *q, const struct trim_answer *a, int64_t took_ms, int64_t now)
{
	bool again = a->state == TRIM_DONE && a->more;

	q->trim_more = again;
	if (again || a->count > 0) {
		q->trim_pause_ms = 0;
		q->trim_mono_ms = now + (took_ms > 0 ? took_ms * REST_TIMES : REST_LEAST_MS);
		return;
	}
	q->trim_pause_ms = q->trim_pause_ms ? 2 * q->trim_pause_ms : PAUSE_LEAST_MS;
	if (q->trim_pause_ms > PAUSE_MOST_MS)
		q->trim_pause_ms = PAUSE_MOST_MS;
	q->trim_mono_ms = now + q->trim_pause_ms;
}

static bool same_figures(const struct trim_seen *seen, const struct queue_gauges *g)
{
	return seen->length == g->length && seen->pending == g->pending &&
	       strcmp(seen->delivered, g->last_delivered) == 0;
}

/* Whether a step is due by the figures of a look, of which each counts once. */
static bool worth_a_step(struct reaped_queue *q, int64_t now)
{
	const struct queue_gauges *g = &q->gauges;
	enum chance chance = chance_of(q);
	struct trim_seen seen = { .looked_mono_ms = q->looked_mono_ms,
				  .length = g->length,
				  .pending = g->pending };

	if (q->trim_seen.looked_mono_ms == q->looked_mono_ms)
		return false;
	if (!same_figures(&q->trim_seen, g) && !q->trim_error[0])
		q->trim_mono_ms = q->trim_pause_ms = 0;
	snprintf(seen.delivered, sizeof(seen.delivered), "%s", g->last_delivered);
	q->trim_seen = seen;
	if (chance == CHANCE_NONE || now < q->trim_mono_ms)
		return false;
	return chance == CHANCE_GOOD || now - q->trim_asked_mono_ms >= PAUSE_MOST_MS;
}

void reaper_trim(struct reaper *r, struct reaped_queue *q, int64_t now)
{
	const struct trim_order order = { &q->def->retain, r->o.config->queues, r->o.config->queue_count, 0 };
	struct trim_answer a;
	struct redis_error error;

	if (q->trim_more ? now < q->trim_mono_ms : !worth_a_step(q, now))
		return;
	q->trim_more = false;
	q->trim_asked_mono_ms = now;
	KILL_POINT("trim.before");
	int64_t began = clock_mono_ms();
	int failed = trim_step(r->conn, &q->keys, &order, &a, &error);
	now = clock_mono_ms();
	if (failed < 0) {
		refused(r, q, &error, now);
		return;
	}
	KILL_POINT_IF(a.count > 0, "trim.after");
	q->trim_error[0] = '\0';
	plan(q, &a, now - began, now);
	if (a.state != TRIM_DONE)
		return;
	tally_add(&q->state->tally.trimmed, (uint64_t)a.count);
	if (a.count > 0) {
		struct event_about about = reaper_about(q, NULL);
		event(r->o.log, RETAIN_TRIMMED, &about, F_I64("count", a.count), F_I64("length", a.length),
		      F_TEXT("floor", a.floor));
	}
	tell_held(r, q, &a, now);
}

/* Only what goes on without a look wakes the thread: all else comes with the figures. */
int64_t reaper_trim_wake(const struct reaped_queue *q)
{
	return q->trim_more ? q->trim_mono_ms : INT64_MAX;
}
