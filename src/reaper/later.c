/* Delayed entries: when the first one is due they become entries of the stream, which wakes whoever waits for
 * one. The look at a queue tells when that is, so with nothing delayed nothing more is asked of Redis; what
 * is added behind our back is noticed by the next look. Promotion is its own affair: what keeps it from
 * working keeps nothing else of the queue, and a pause does not stop it. */
#include "reaper/state.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/killpoint.h"

enum {
	CALLS_AT_ONCE = 10, /* then the rest of the round has its turn */
	SPACING_MS = 50,    /* entries that are due one soon after the other go together */
	LATE_MS = 1,        /* Redis's ms is over by then */
	REFUSED_AGAIN_MS = 5000,
	BACK_OFF_MS = 1000,
	REBUILD_CALLS = 20,
};

static int64_t later_by(int64_t now, int64_t ms)
{
	return ms == INT64_MAX ? INT64_MAX : ms > 0 ? now + ms + LATE_MS : now;
}

static void refused(struct reaper *r, struct reaped_queue *q, const struct redis_error *error)
{
	if (!reaper_ready(r) || error->reaction == REACT_RECONNECT) {
		(void)reaper_failed(r, q, error);
		return;
	}
	reaper_say_refused(r, q, "delayed entries cannot start", q->later_error, error);
	bool mend = error->reaction == REACT_OPERATOR || error->reaction == REACT_UNKNOWN;
	q->later_again_mono_ms = clock_mono_ms() + (mend ? REFUSED_AGAIN_MS : BACK_OFF_MS);
}

static void say_buried(struct reaper *r, struct reaped_queue *q, const struct promoted *p)
{
	for (size_t i = 0; i < p->buried_count; i++) {
		const struct promoted_buried *b = &p->buried[i];
		struct event_about about = reaper_about(q, b->id[0] ? b->id : NULL);
		enum reason reason = strcmp(b->reason, reason_name(REASON_MALFORMED)) == 0
					     ? REASON_MALFORMED
					     : REASON_PAYLOAD_GONE;
		tally_add(&q->state->tally.dead[reason], 1);
		atomic_fetch_add(&board_header(r->board)->reaper_dead, 1);
		event(r->o.log, JOB_DEAD, &about, F_TEXT("reason", b->reason), F_TEXT("detail", b->detail),
		      F_I64("attempts", 0), F_TEXT("dead_id", b->dead_id));
	}
}

/* One call. False: enough for now. */
static bool promote_some(struct reaper *r, struct reaped_queue *q)
{
	struct promoted p = { 0 };
	struct redis_error error;

	KILL_POINT("promote.before");
	if (admin_promote(r->conn, &q->keys, r->row.name, &p, &error) < 0) {
		refused(r, q, &error);
		return false;
	}
	KILL_POINT_IF(p.count > 0, "promote.after");
	reaper_note_now(r, p.redis_now_ms);
	say_buried(r, q, &p);
	if (p.refused[0]) {
		const struct reaction_row *row = reaction_find(bytes_of(p.refused));
		error = (struct redis_error){ .reaction = row->reaction, .advice = row->advice };
		snprintf(error.text, sizeof(error.text), "%s", p.refused);
		refused(r, q, &error);
	} else {
		q->later_error[0] = '\0';
	}
	q->later_mono_ms = later_by(clock_mono_ms(), p.next_in_ms);
	bool more = p.next_in_ms <= 0 && !p.refused[0];
	promoted_done(&p);
	return more;
}

void reaper_promote(struct reaper *r, struct reaped_queue *q, int64_t now)
{
	bool more = true;

	if (now < reaper_later_wake(q))
		return;
	for (int i = 0; i < CALLS_AT_ONCE && more && reaper_ready(r); i++)
		more = promote_some(r, q);
	int64_t again = clock_mono_ms() + (more ? 0 : SPACING_MS);
	if (q->later_again_mono_ms < again)
		q->later_again_mono_ms = again;
}

int64_t reaper_later_wake(const struct reaped_queue *q)
{
	return q->later_mono_ms > q->later_again_mono_ms ? q->later_mono_ms : q->later_again_mono_ms;
}

static void rebuild(struct reaper *r, struct reaped_queue *q)
{
	struct redis_error error;
	int64_t all = 0;

	for (int i = 0; i < REBUILD_CALLS && reaper_ready(r); i++) {
		int64_t added = 0;
		KILL_POINT("rebuild_later.before");
		if (admin_rebuild_later(r->conn, &q->keys, &q->later_cursor, &added, &error) < 0) {
			refused(r, q, &error);
			return;
		}
		KILL_POINT_IF(added > 0, "rebuild_later.after");
		all += added;
		if (q->later_cursor == 0)
			break;
	}
	if (all > 0) {
		struct event_about about = reaper_about(q, NULL);
		event(r->o.log, DAEMON_WARNING, &about,
		      F_TEXT("why", "delayed entries had lost their due times (somebody deleted them) and "
				    "got them back"),
		      F_I64("count", all));
		q->later_mono_ms = 0; /* the next call tells when the first one is due */
	}
}

void reaper_note_later(struct reaper *r, struct reaped_queue *q)
{
	const struct queue_gauges *g = &q->gauges;

	if (g->later < 0) /* the call itself is told why */
		q->later_mono_ms = 0;
	else
		q->later_mono_ms = later_by(clock_mono_ms(), g->next_later_in_ms);
	if (g->later >= 0 && g->later_data > g->later)
		rebuild(r, q);
}
