/* Acknowledgements that need no script: plain XACKs, several of them in one write with the next read. While entries that were read ahead are
 * run, they are collected, for ten milliseconds at most. Each is its own command, so that what somebody else had finished is told by name.
 * Whatever is in doubt (sent and not answered, a lease that may have run out, refused) goes by the script instead, one by one, before
 * anything else is fetched. */
#include "worker/state.h"

#include "base/clock.h"
#include "base/killpoint.h"

enum { ACK_WAIT_MS = 10, KEEP_MAX_BYTES = 1024 * 1024 };

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
	result_done(&r->result);
	r->stage = RUN_NONE;
}

void acks_done(struct worker *w)
{
	for (size_t i = 0; i < w->acks.count; i++)
		result_done(&w->acks.runs[i].result);
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

	for (size_t i = 0; i < a->count; i++) {
		if (a->runs[i].sent && a->runs[i].stage != RUN_NONE) {
			a->runs[i].resent = true;
			a->runs[i].refused = false;
		}
	}
	a->answered = a->sent;
	a->keep_known = a->keep_awaited = false;
	tidy(w);
}

/* ---- by XACK, or with their results by the script keep ---- */

static bool plain(const struct worker *w, const struct run *r)
{
	return !r->resent && settle_lease_surely_ours(w, r);
}

static bool has_result(const struct run *r)
{
	return r->result.state == RESULT_GIVEN;
}

/* The answer of this call is there: its first run. */
static struct run *answered(struct ack_call *call)
{
	struct ack_list *a = &call->worker->acks;

	a->answered += call->count;
	return &a->runs[call->first];
}

static void refused(struct worker *w, struct run *first, size_t n, const struct redis_error *error)
{
	for (size_t i = 0; i < n; i++)
		first[i].resent = true;
	if (error->reaction == REACT_OPERATOR)
		link_say(w, error);
	/* A read may wait behind it: end that, so that nothing is taken before this is settled. */
	if (w->asked_count > 0 || w->asked_queue)
		connection_drop(w->conn, error->text);
	else
		link_refused(w, error, first->queue);
}

static void on_xack(void *user, struct redisReply *reply)
{
	struct ack_call *call = user;
	struct worker *w = call->worker;
	struct settle_answer answer = { 0 };
	struct redis_error error;

	if (!link_answered(w, reply))
		return;
	struct run *r = answered(call);
	if (queue_parse_settle(reply, SETTLE_XACK, &answer, &error) < 0) {
		refused(w, r, 1, &error);
	} else {
		KILL_POINT("xack.after");
		done(w, r, &answer);
	}
	tidy(w);
	worker_step(w);
}

static void speak_missing(struct worker *w, const struct run *r, size_t missing, size_t together)
{
	const struct event_about about = { .worker = w->name, .job = r->job->name, .stream = r->queue->def->stream, .group = r->queue->def->group };

	atomic_fetch_add(&w->slot->counters.stale, missing);
	tally_add(&board_job(w->board, r->job->index)->tally.outcome[TALLY_STALE], missing);
	event(w->log, JOB_STALE_ACK, &about, F_I64("count", (int64_t)missing), F_I64("of", (int64_t)together),
	      F_TEXT("why", "no longer pending, among those acknowledged together"));
}

static void on_xacks(void *user, struct redisReply *reply)
{
	struct ack_call *call = user;
	struct worker *w = call->worker;
	const struct settle_answer answer = { .result = SETTLED };
	struct redis_error error;
	int64_t pending = 0;
	size_t n = call->count;

	if (!link_answered(w, reply))
		return;
	struct run *first = answered(call);
	if (queue_parse_count(reply, &pending, &error) < 0) {
		for (size_t i = 0; i < n; i++)
			first[i].resent = true;
		link_refused(w, &error, first->queue);
	} else {
		link_good(w);
		if (pending < (int64_t)n)
			speak_missing(w, first, n - (size_t)(pending > 0 ? pending : 0), n);
		for (size_t i = 0; i < n; i++)
			done(w, &first[i], &answer);
	}
	tidy(w);
	worker_step(w);
}

static void on_keep(void *user, struct redisReply *reply)
{
	struct ack_call *call = user;
	struct worker *w = call->worker;
	struct settle_answer answer;
	struct redis_error error;
	size_t n = call->count;

	if (!link_answered(w, reply))
		return;
	struct run *first = answered(call);
	w->acks.keep_awaited = false;
	if (queue_parse_keep(reply, n, &error) < 0) {
		for (size_t i = 0; i < n; i++) {
			first[i].sent = false;
			first[i].refused = true;
		}
		refused(w, first, n, &error);
	} else {
		KILL_POINT("keep.after");
		link_good(w);
		w->acks.keep_known = true;
		for (size_t i = 0; i < n; i++) {
			queue_kept(reply, i, &answer);
			done(w, &first[i], &answer);
		}
	}
	tidy(w);
	worker_step(w);
}

/* How many from the first one on go by one command: those of one process, and those with results. */
static size_t together(const struct worker *w, const struct run *first)
{
	const struct run *end = &w->acks.runs[w->acks.count];
	const struct run *r = first;
	size_t bytes = 0;

	for (; r < end && (r->many || has_result(r)) && r->queue == first->queue && plain(w, r); r++) {
		bytes += r->result.n;
		if (r > first && bytes > KEEP_MAX_BYTES)
			break;
	}
	return r > first ? (size_t)(r - first) : 1;
}

static connection_reply_fn *build_keep(struct worker *w, const struct run *first, size_t n)
{
	struct keep_row rows[ACKS_MAX];

	for (size_t i = 0; i < n; i++) {
		rows[i] = (struct keep_row){ .id = first[i].entry.id };
		if (has_result(&first[i])) {
			rows[i].result = result_bytes(&first[i].result);
			rows[i].ttl_ms = first[i].job->result_ttl_ms;
		}
	}
	KILL_POINT("keep.before");
	queue_build_keep(&w->cmd, &first->queue->keys, rows, n);
	w->acks.keep_awaited = !w->acks.keep_known;
	return on_keep;
}

static connection_reply_fn *build_acks(struct worker *w, const struct run *first, size_t n)
{
	const char *ids[ACKS_MAX];

	for (size_t i = 0; i < n; i++) {
		if (has_result(&first[i]))
			return build_keep(w, first, n);
		ids[i] = first[i].entry.id;
	}
	if (!first->many) {
		KILL_POINT("xack.before");
		settle_build(w, first);
		return on_xack;
	}
	queue_build_acks(&w->cmd, &first->queue->keys, ids, n);
	return on_xacks;
}

/* Without the script in Redis its text would have to follow, and could find the connection in a read that waits. */
bool acks_awaited(const struct worker *w)
{
	return w->acks.keep_awaited;
}

void acks_send(struct worker *w, bool flush)
{
	struct ack_list *a = &w->acks;
	uint64_t epoch = w->link_epoch;

	ev_timer_stop(w->loop, &w->ack_timer);
	while (link_ready(w) && w->link_epoch == epoch && a->sent < a->count && !a->keep_awaited && plain(w, &a->runs[a->sent])) {
		struct run *first = &a->runs[a->sent];
		size_t n = together(w, first);
		struct ack_call *call = &a->calls[a->sent];
		connection_reply_fn *fn = build_acks(w, first, n);
		*call = (struct ack_call){ w, a->sent, n };
		for (size_t i = 0; i < n; i++)
			first[i].sent = true;
		a->sent += n;
		bool last = first->many || a->sent == a->count || !plain(w, &a->runs[a->sent]);
		link_ask(w, CONNECTION_DEFAULT_TIMEOUT, (flush && last) || a->keep_awaited, fn, call);
		KILL_POINT_IF(fn == on_xack, "xack.queued");
		KILL_POINT_IF(fn == on_keep, "keep.queued");
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
		if (r->resent && !r->refused && answer.result == SETTLED_GONE)
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
