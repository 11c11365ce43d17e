/* Acknowledgements that need no script: plain XACKs, several of them in one write with the next read. While entries that were read ahead are
 * run, they are collected, for ten milliseconds at most. Each is its own command, so that what somebody else had finished is told by name.
 * Whatever is in doubt (sent and not answered, a lease that may have run out, refused) goes by the script instead, one by one, before
 * anything else is fetched. */
#include "worker/state.h"

#include "base/clock.h"
#include "base/killpoint.h"

enum { ACK_WAIT_MS = 10 };

/* ---- what was acknowledged lately ---- */

void acks_note_done(struct worker *w, const struct run *r)
{
	struct acked_id *a = &w->acked[w->acked_next];
	if (entry_id_parse(bytes_of(r->entry.id), &a->ms, &a->seq) < 0)
		return;
	a->queue = (uint32_t)r->queue->index;
	a->life = (uint32_t)delivery_life(r->entry.delivery);
	w->acked_next = (w->acked_next + 1) % ACKED_MEMORY;
}

bool acks_remember(const struct worker *w, const struct work_queue *q, const struct held_id *held)
{
	uint64_t ms = 0, seq = 0;
	if (entry_id_parse(bytes_of(held->id), &ms, &seq) < 0)
		return false;
	for (size_t i = 0; i < ACKED_MEMORY; i++) {
		const struct acked_id *a = &w->acked[i];
		if (a->ms == ms && a->seq == seq && a->queue == q->index && a->life == (uint32_t)delivery_life(held->delivery) && (ms || seq))
			return true;
	}
	return false;
}

/* ---- the list ---- */

bool acks_full(const struct worker *w)
{
	return w->acks.count == ACKS_MAX;
}

bool acks_hold(const struct worker *w, const struct work_queue *q, const char *id)
{
	for (size_t i = 0; i < w->acks.count; i++) {
		const struct run *r = &w->acks.runs[i];
		if (r->stage != RUN_NONE && r->queue == q && strcmp(r->entry.id, id) == 0)
			return true;
	}
	return false;
}

/* Should we die now, these run again: whoever recovers them can tell. A success that a script settles is still the slot's run; when we end
 * by ourselves, it is told here, too. */
void acks_tell(struct worker *w, bool ending)
{
	struct slot_done told = { 0 };

	for (size_t i = 0; i <= w->acks.count && told.count < SLOT_DONE_MAX; i++) {
		const struct run *r = i < w->acks.count ? &w->acks.runs[i] : w->run;
		if (i == w->acks.count && (!ending || r->stage != RUN_SETTLING || r->outcome.verdict != VERDICT_ACK))
			break;
		if (r->stage != RUN_NONE && entry_id_parse(bytes_of(r->entry.id), &told.ids[told.count][0], &told.ids[told.count][1]) == 0)
			told.count++;
	}
	slot_set_done(w->slot, &told);
}

/* When all answers are there: only what was refused is left, and nothing of it is on its way. */
static void tidy(struct worker *w)
{
	struct ack_list *a = &w->acks;
	size_t kept = 0;

	if (a->answered < a->sent)
		return;
	for (size_t i = 0; i < a->count; i++) {
		if (a->runs[i].stage == RUN_NONE)
			continue;
		if (kept != i)
			a->runs[kept] = a->runs[i];
		kept++;
	}
	if (a->count != kept) {
		a->count = kept;
		acks_tell(w, false);
	}
	a->sent = a->answered = 0;
	if (kept == 0)
		run_idle(w);
}

static void done(struct worker *w, struct run *r, const struct settle_answer *answer)
{
	settle_finish(w, r, answer);
	r->stage = RUN_NONE;
}

void acks_keep(struct worker *w, struct run *r)
{
	struct run *kept = &w->acks.runs[w->acks.count++];
	struct entry *e = &kept->entry;

	*kept = *r;
	memset(r, 0, sizeof(*r));
	struct entry whole = *e; /* its pairs are not needed any more: they may be large */
	*e = (struct entry){ .delivery = whole.delivery, .given = whole.given, .queue = whole.queue };
	memcpy(e->id, whole.id, sizeof(e->id));
	entry_done(&whole);
	if (!kept->many) /* many are told at once, by window_settle */
		acks_tell(w, false);
	if (!ev_is_active(&w->ack_timer)) {
		ev_timer_set(&w->ack_timer, ACK_WAIT_MS / 1000., 0.);
		ev_timer_start(w->loop, &w->ack_timer);
	}
}

void acks_down(struct worker *w)
{
	struct ack_list *a = &w->acks;

	for (size_t i = 0; i < a->count; i++)
		a->runs[i].resent = a->runs[i].resent || a->runs[i].sent;
	a->answered = a->sent;
	tidy(w);
}

/* ---- by XACK ---- */

static bool plain(const struct worker *w, const struct run *r)
{
	return !r->resent && settle_lease_surely_ours(w, r);
}

static void on_xack(void *user, struct redisReply *reply)
{
	struct worker *w = user;
	struct settle_answer answer = { 0 };
	struct redis_error error;

	if (!link_answered(w, reply))
		return;
	struct run *r = &w->acks.runs[w->acks.answered++];
	if (queue_parse_settle(reply, SETTLE_XACK, &answer, &error) < 0) {
		r->resent = true;
		if (error.reaction == REACT_OPERATOR)
			link_say(w, &error);
		/* A read may wait behind it: end that, so that nothing is taken before this is settled. */
		if (w->asked_count > 0 || w->asked_queue)
			connection_drop(w->conn, error.text);
		else
			link_refused(w, &error, r->queue);
	} else {
		KILL_POINT("xack.after");
		done(w, r, &answer);
	}
	tidy(w);
	worker_step(w);
}

static void speak_missing(struct worker *w, const struct run *r, size_t missing)
{
	const struct event_about about = { .worker = w->name, .job = r->job->name, .stream = r->queue->def->stream, .group = r->queue->def->group };

	atomic_fetch_add(&w->slot->counters.stale, missing);
	tally_add(&board_job(w->board, r->job->index)->tally.outcome[TALLY_STALE], missing);
	event(w->log, JOB_STALE_ACK, &about, F_I64("count", (int64_t)missing), F_I64("of", (int64_t)r->together),
	      F_TEXT("why", "no longer pending, among those acknowledged together"));
}

static void on_xacks(void *user, struct redisReply *reply)
{
	struct worker *w = user;
	struct run *first = &w->acks.runs[w->acks.answered];
	const struct settle_answer answer = { .result = SETTLED };
	struct redis_error error;
	int64_t pending = 0;

	if (!link_answered(w, reply))
		return;
	size_t n = first->together;
	w->acks.answered += n;
	if (queue_parse_count(reply, &pending, &error) < 0) {
		for (size_t i = 0; i < n; i++)
			first[i].resent = true;
		link_refused(w, &error, first->queue);
	} else {
		link_good(w);
		if (pending < (int64_t)n)
			speak_missing(w, first, n - (size_t)(pending > 0 ? pending : 0));
		for (size_t i = 0; i < n; i++)
			done(w, &first[i], &answer);
	}
	tidy(w);
	worker_step(w);
}

/* Those of one process are acknowledged by one command. Returns how many that are. */
static size_t build_together(struct worker *w, struct run *first)
{
	const char *ids[ACKS_MAX];
	struct run *end = &w->acks.runs[w->acks.count];
	size_t n = 0;

	for (struct run *r = first; r < end && r->many && r->queue == first->queue && plain(w, r); r++) {
		r->sent = true;
		ids[n++] = r->entry.id;
	}
	first->together = n;
	queue_build_acks(&w->cmd, &first->queue->keys, ids, n);
	return n;
}

void acks_send(struct worker *w, bool flush)
{
	struct ack_list *a = &w->acks;
	uint64_t epoch = w->link_epoch;

	ev_timer_stop(w->loop, &w->ack_timer);
	while (link_ready(w) && w->link_epoch == epoch && a->sent < a->count && plain(w, &a->runs[a->sent])) {
		struct run *r = &a->runs[a->sent];
		if (r->many) {
			a->sent += build_together(w, r);
			link_ask(w, CONNECTION_DEFAULT_TIMEOUT, flush, on_xacks, w);
			continue;
		}
		a->sent++;
		bool last = a->sent == a->count || !plain(w, &a->runs[a->sent]);
		KILL_POINT("xack.before");
		settle_build(w, r);
		r->sent = true;
		link_ask(w, CONNECTION_DEFAULT_TIMEOUT, flush && last, on_xack, w);
		KILL_POINT("xack.queued");
	}
}

static void on_ack_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct worker *w = timer->data;
	(void)loop;
	(void)events;
	acks_send(w, true);
	worker_step(w);
}

void acks_init(struct worker *w)
{
	ev_init(&w->ack_timer, on_ack_time);
	w->ack_timer.data = w;
}

/* ---- by script ---- */

static void on_again(void *user, struct redisReply *reply)
{
	struct worker *w = user;
	struct run *r = &w->acks.runs[0];
	struct settle_answer answer = { 0 };
	struct redis_error error;

	if (!link_answered(w, reply))
		return;
	if (queue_parse_settle(reply, SETTLE_ACK, &answer, &error) < 0) {
		if (error.reaction == REACT_OPERATOR)
			link_refuse_queue(w, &error, r->queue);
		link_refused(w, &error, r->queue);
	} else {
		KILL_POINT("ack.after");
		KILL_POINT_IF(r->resent, "resend.after");
		link_good(w);
		connection_set_redis_now(w->conn, answer.redis_now_ms);
		if (r->resent && answer.result == SETTLED_GONE)
			answer.result = SETTLED; /* the first call did it */
		done(w, r, &answer);
		tidy(w);
	}
	worker_step(w);
}

bool acks_again(struct worker *w)
{
	struct run *r = &w->acks.runs[0];

	tidy(w);
	if (w->acks.count == 0 || w->acks.sent > 0 || plain(w, r))
		return false;
	KILL_POINT("ack.before");
	KILL_POINT_IF(r->resent, "resend.before");
	r->settle = SETTLE_ACK;
	settle_build(w, r);
	r->sent = true;
	link_ask(w, CONNECTION_DEFAULT_TIMEOUT, true, on_again, w);
	return true;
}
