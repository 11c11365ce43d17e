/* The one step that ends a run. A success of an undisturbed first delivery is a plain XACK (acks.c), sent in the same write as the next read and
 * answered before it; everything else is a script whose answer is awaited. What was sent and not answered is sent again after the reconnect. */
#include "worker/state.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/killpoint.h"
#include "worker/worker.h"

/* ---- decide ---- */

bool settle_lease_surely_ours(const struct worker *w, const struct run *r)
{
	int64_t since = w->turn_boot_ms - r->lease_boot_ms;
	return !r->lease_lost && !w->thawed && r->link_epoch == w->link_epoch && since < r->queue->def->lease_ms * 9 / 10;
}

static enum settle_kind kind_of(const struct worker *w, const struct run *r)
{
	switch (r->outcome.verdict) {
	case VERDICT_ACK:
		return r->entry.delivery == 1 && !r->payload_gone && !r->put_back && settle_lease_surely_ours(w, r) ? SETTLE_XACK : SETTLE_ACK;
	case VERDICT_RETRY:
		return SETTLE_PARK;
	case VERDICT_DEAD:
		return SETTLE_BURY;
	case VERDICT_LATER:
	case VERDICT_RELEASE:
	case VERDICT_SUSPEND:
	case VERDICT_NONE:
		break;
	}
	return SETTLE_RELEASE;
}

void settle_decide(struct worker *w, struct run *r)
{
	enum verdict v = r->outcome.verdict;

	ev_timer_stop(w->loop, &w->renew);
	w->renew_due = false;
	if (r->ended && (v == VERDICT_RETRY || v == VERDICT_DEAD || v == VERDICT_LATER))
		speak_failed(w, r);
	if (v == VERDICT_NONE || (r->lease_lost && v != VERDICT_ACK)) {
		run_clear(w); /* it is another's now: that one settles it */
		return;
	}
	r->stage = RUN_SETTLING;
	r->settle = kind_of(w, r);
}

bool settle_plainly(struct worker *w, struct run *r)
{
	if (r->outcome.verdict != VERDICT_ACK || r->outcome.reason != REASON_NONE || kind_of(w, r) != SETTLE_XACK)
		return false;
	r->stage = RUN_SETTLING;
	r->settle = SETTLE_XACK;
	return true;
}

/* ---- build ---- */

static void add_note(struct worker *w, const struct run *r)
{
	struct buf *b = &w->note;

	buf_clear(b);
	buf_add_char(b, '{');
	json_add_name(b, "reason");
	json_add_text(b, bytes_of(reason_name(r->outcome.reason)));
	json_add_name(b, "detail");
	json_add_text(b, bytes_of(r->outcome.detail));
	if (r->outcome.code >= 0) {
		json_add_name(b, "exit");
		json_add_i64(b, r->outcome.code);
	}
	if (r->outcome.signal > 0) {
		json_add_name(b, "signal");
		json_add_i64(b, r->outcome.signal);
	}
	json_add_name(b, "stderr");
	json_add_text(b, (struct bytes){ w->stderr_tail, w->stderr_n });
	json_add_name(b, "host");
	json_add_text(b, bytes_of(w->config->name));
	json_add_name(b, "attempt");
	json_add_i64(b, r->attempt);
	buf_add_char(b, '}');
}

static struct dead_meta meta_of(const struct worker *w, const struct run *r)
{
	return (struct dead_meta){
		.job = r->job ? r->job->name : NULL,
		.reason = reason_name(r->outcome.reason),
		.detail = r->outcome.detail,
		.attempts = r->attempt,
		.code = r->outcome.code,
		.signal = r->outcome.signal,
		.stderr_tail = { w->stderr_tail, w->stderr_n },
		.host = w->config->name,
	};
}

static bool wants_note(const struct run *r)
{
	return r->settle == SETTLE_PARK || r->settle == SETTLE_BURY ||
	       (r->settle == SETTLE_RELEASE && (r->outcome.reason == REASON_SPAWN || r->outcome.verdict == VERDICT_LATER));
}

void settle_build(struct worker *w, const struct run *r)
{
	struct dead_meta meta = meta_of(w, r);
	struct settle s = {
		.kind = r->settle,
		.id = r->entry.id,
		.delivery = r->entry.delivery,
		.delay_ms = r->outcome.delay_ms,
		.dead = r->settle == SETTLE_BURY ? &meta : NULL,
		.dead_maxlen = r->queue->def->dead_maxlen,
		.entry = r->with_pairs ? &r->entry : NULL,
		.result = result_bytes(&r->result),
		.result_ttl_ms = r->result.state == RESULT_GIVEN ? r->job->result_ttl_ms : 0,
	};
	if (wants_note(r)) {
		add_note(w, r);
		s.note = buf_bytes(&w->note);
	}
	queue_build_settle(&w->cmd, &r->queue->keys, w->consumer, &s);
}

/* ---- answers ---- */

/* The answer of a call that was sent twice: was it the first one that did it? */
static bool done_by_the_first(const struct run *r, const struct settle_answer *a)
{
	if (!r->resent)
		return false;
	if (r->settle == SETTLE_ACK || r->settle == SETTLE_BURY)
		return a->result == SETTLED_GONE;
	return a->result == SETTLED_STALE && a->delivery == r->entry.delivery && strcmp(a->owner, XACKD_PARKED) == 0;
}

static void bury_with_pairs(struct run *r)
{
	if (r->outcome.reason == REASON_NONE || r->outcome.verdict == VERDICT_RELEASE || r->outcome.verdict == VERDICT_SUSPEND) {
		r->outcome.reason = REASON_PAYLOAD_GONE;
		snprintf(r->outcome.detail, sizeof(r->outcome.detail), "the entry was deleted or trimmed before it was done");
	}
	r->outcome.verdict = VERDICT_DEAD;
	r->settle = SETTLE_BURY;
	r->with_pairs = true;
	r->payload_gone = true;
	r->sent = r->resent = false;
}

void settle_finish(struct worker *w, struct run *r, const struct settle_answer *a)
{
	if (r->settle == SETTLE_ACK || r->settle == SETTLE_XACK) {
		const char *why = a->not_kept[0] ? a->not_kept : result_why_not(&r->result);
		acks_note_done(w, r);
		speak_settled(w, r, a);
		if (why && a->result != SETTLED_GONE)
			speak_result_dropped(w, r, why);
	} else if (a->result == SETTLED) {
		speak_settled(w, r, a);
		if (a->due_ms > 0 && a->redis_now_ms > 0)
			fetch_tell_due(w, r->queue, a->due_ms - a->redis_now_ms);
	} else if (!r->lease_lost) {
		speak_lease_lost(w, r, a->owner, a->delivery);
	}
}

/* Redis refuses for a reason that only a person can mend, on one of xackd's own keys: park it if that is possible, else leave it to the
 * lease; the worker goes on. */
static void settle_forbidden(struct worker *w, struct run *r, const struct redis_error *error)
{
	link_refuse_queue(w, error, r->queue);
	if (r->settle == SETTLE_BURY) {
		r->settle = SETTLE_PARK;
		r->outcome.delay_ms = SUSPEND_PARK_MS;
		r->sent = r->resent = false;
	} else if (r->settle != SETTLE_ACK) {
		run_clear(w);
	} else {
		link_refused(w, error, r->queue);
	}
}

static void on_settled(void *user, struct redisReply *reply)
{
	struct worker *w = user;
	struct run *r = w->run;
	struct settle_answer a = { 0 };
	struct redis_error error;

	if (!link_answered(w, reply))
		return;
	if (queue_parse_settle(reply, r->settle, &a, &error) < 0) {
		if (error.reaction == REACT_OPERATOR)
			settle_forbidden(w, r, &error);
		else
			link_refused(w, &error, r->queue);
		worker_step(w);
		return;
	}
	KILL_POINT_IF(r->settle == SETTLE_ACK, "ack.after");
	KILL_POINT_IF(r->settle == SETTLE_PARK, "park.after");
	KILL_POINT_IF(r->settle == SETTLE_BURY, "bury.after");
	KILL_POINT_IF(r->settle == SETTLE_RELEASE, "release.after");
	KILL_POINT_IF(r->resent, "resend.after");
	link_good(w);
	if (a.redis_now_ms > 0)
		connection_set_redis_now(w->conn, a.redis_now_ms);
	if (a.result == SETTLED_PAYLOAD_GONE) {
		bury_with_pairs(r);
	} else if (a.result == SETTLED_GONE && r->settle != SETTLE_ACK && !r->resent && !r->put_back_tried) {
		(void)put_back_send(w, r->queue); /* a failure must not be lost with a group that was destroyed; then it is settled again */
	} else {
		if (done_by_the_first(r, &a))
			a.result = SETTLED;
		settle_finish(w, r, &a);
		run_clear(w);
	}
	worker_step(w);
}

/* ---- send ---- */

void settle_send(struct worker *w, struct run *r)
{
	if (r->settle == SETTLE_XACK && (r->resent || r->put_back || !settle_lease_surely_ours(w, r) || acks_full(w)))
		r->settle = SETTLE_ACK;
	if (r->settle == SETTLE_XACK) {
		acks_keep(w, w->run);
		worker_next(w);
		return;
	}
	acks_send(w, false);
	KILL_POINT_IF(r->settle == SETTLE_ACK, "ack.before");
	KILL_POINT_IF(r->settle == SETTLE_PARK, "park.before");
	KILL_POINT_IF(r->settle == SETTLE_BURY, "bury.before");
	KILL_POINT_IF(r->settle == SETTLE_RELEASE, "release.before");
	KILL_POINT_IF(r->resent, "resend.before");
	settle_build(w, r);
	r->sent = true;
	link_ask(w, CONNECTION_DEFAULT_TIMEOUT, true, on_settled, w);
}
