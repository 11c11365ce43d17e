/* Getting the next entry. Due retries first, when the scoreboard says that there are some or a read was ended early (three in a row, then a
 * turn for new entries); else new ones: one blocking read, or, over several streams, a script that tries them in weighted order and only
 * if all are empty a blocking read over all. What a read over several streams brings too much is given back before anything runs. */
#include "worker/state.h"

#include <errno.h>

#include "base/clock.h"
#include "base/killpoint.h"
#include "worker/worker.h"

enum {
	BLOCK_MIN_MS = 10 * 1000,
	BLOCK_PER_WORKER_MS = 2 * 1000, /* many workers: each polls less often, so that an idle host stays quiet */
	BLOCK_WATCHFUL_MS = 1000,       /* something is paused or suspended: look again soon */
	TAKES_IN_A_ROW = 3,
	PAUSED_AGAIN_MS = 1000,
	NAP_MS = 500,
	NAP_LIMITED_MS = 100,           /* whoever leaves a job at its limit says so in the scoreboard */
};

static void on_nap(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct worker *w = timer->data;
	(void)loop;
	(void)events;
	worker_step(w);
}

int fetch_init(struct worker *w)
{
	ev_init(&w->nap, on_nap);
	w->nap.data = w;
	return 0;
}

static void nap(struct worker *w)
{
	int64_t now = clock_mono_ms();
	int64_t left = limits_open_mono_ms(w, now) - now;
	int64_t wait = left > NAP_MS * 100 ? NAP_MS : left < NAP_LIMITED_MS ? left : NAP_LIMITED_MS;

	worker_set_state(w, WORKER_PAUSED);
	ev_timer_stop(w->loop, &w->nap);
	ev_now_update(w->loop);
	ev_timer_set(&w->nap, (double)wait / 1000., 0.);
	ev_timer_start(w->loop, &w->nap);
}

bool fetch_queue_paused(struct worker *w, const struct work_queue *q, int64_t now)
{
	return now < q->paused_until_mono_ms || atomic_load(&board_queue(w->board, q->index)->paused);
}

bool fetch_queue_open(struct worker *w, const struct work_queue *q, int64_t now)
{
	return now >= q->refused_until_mono_ms && !fetch_queue_paused(w, q, now) && !suspend_queue_blocked(w, q, now);
}

/* ---- due retries ---- */

/* The queue's due time is lowered at once; the reaper is woken only if it would sleep beyond it. */
void fetch_tell_due(struct worker *w, const struct work_queue *q, int64_t in_ms)
{
	_Atomic int64_t *shared = &board_queue(w->board, q->index)->due_mono_ms;
	const uint64_t one = 1;
	int64_t due = clock_mono_ms() + in_ms;
	int64_t known = atomic_load(shared);

	while (due < known && !atomic_compare_exchange_weak(shared, &known, due))
		;
	if (due < atomic_load(&board_header(w->board)->reaper_wakes_mono_ms))
		(void)!write(WORKER_FD_BELL, &one, sizeof(one));
}

bool fetch_queue_due(struct worker *w, const struct work_queue *q, int64_t now)
{
	int64_t due = atomic_load(&board_queue(w->board, q->index)->due_mono_ms);
	return due <= now && due != q->nothing_due_at;
}

static void began(struct worker *w, struct work_queue *q, struct entry_list *list)
{
	if (list->count == 0)
		return;
	struct entry first = list->entries[0];
	memmove(list->entries, list->entries + 1, (list->count - 1) * sizeof(first));
	list->count--;
	run_begin(w, q, &first, clock_boot_ms());
}

static void speak_vanished(struct worker *w, const struct work_queue *q, const struct take_answer *a)
{
	struct queue_tally *tally = &board_queue(w->board, q->index)->tally;

	if (a->vanished_count > 0)
		tally_add(&tally->vanished, a->vanished_count);
	for (size_t i = 0; i < a->vanished_count; i++)
		event(w->log, JOB_VANISHED,
		      (&(struct event_about){ .stream = q->def->stream, .group = q->def->group, .id = a->vanished[i], .worker = w->name }),
		      F_I64("count", 1));
	for (size_t i = 0; i < a->gone_count; i++) {
		atomic_fetch_add(&w->slot->counters.dead, 1);
		tally_add(&tally->dead[REASON_PAYLOAD_GONE], 1);
		event(w->log, JOB_DEAD,
		      (&(struct event_about){ .stream = q->def->stream, .group = q->def->group, .id = a->gone[i], .worker = w->name }),
		      F_TEXT("reason", reason_name(REASON_PAYLOAD_GONE)), F_TEXT("detail", "the entry was deleted while it was parked"),
		      F_TEXT("dead_id", a->gone_dead[i]));
	}
}

static void on_take(void *user, struct redisReply *reply)
{
	struct worker *w = user;
	struct work_queue *q = w->asked_queue;
	struct take_answer a = { 0 };
	struct redis_error error;

	if (!link_answered(w, reply))
		return;
	w->asked_queue = NULL;
	if (queue_parse_take(w->conn, reply, q->index, &a, &error) < 0) {
		if (error.reaction == REACT_OPERATOR)
			link_refuse_queue(w, &error, q);
		else
			link_refused(w, &error, q);
		worker_step(w);
		return;
	}
	KILL_POINT_IF(a.list.count > 0, "take.after");
	link_good(w);
	connection_set_redis_now(w->conn, a.redis_now_ms);
	q->paused_until_mono_ms = a.paused ? clock_mono_ms() + PAUSED_AGAIN_MS : 0;
	if (a.list.count == 0 && !(a.next_due_in_ms >= 0 && a.next_due_in_ms <= 1))
		q->nothing_due_at = atomic_load(&board_queue(w->board, q->index)->due_mono_ms);
	speak_vanished(w, q, &a);
	if (a.list.count > 0)
		w->takes_in_a_row++;
	began(w, q, &a.list);
	take_answer_done(&a);
	worker_step(w);
}

static void take(struct worker *w, struct work_queue *q)
{
	w->asked_queue = q;
	queue_build_take(&w->cmd, &q->keys, w->consumer, 1);
	KILL_POINT("take.before");
	link_ask(w, CONNECTION_DEFAULT_TIMEOUT, true, on_take, w);
}

/* After a read was ended early: every queue once, whatever the scoreboard says of it. */
static struct work_queue *next_to_look_at(struct worker *w, int64_t now)
{
	if (w->look) {
		w->look = false;
		w->look_left = w->queue_count;
	}
	while (w->look_left > 0) {
		struct work_queue *q = &w->queues[--w->look_left];
		if (fetch_queue_open(w, q, now))
			return q;
	}
	return NULL;
}

/* The queues where something is due, in turn. */
static struct work_queue *next_due(struct worker *w, int64_t now)
{
	for (size_t i = 0; i < w->queue_count; i++) {
		size_t at = (w->due_next + i) % w->queue_count;
		struct work_queue *q = &w->queues[at];
		if (!fetch_queue_due(w, q, now) || !fetch_queue_open(w, q, now))
			continue;
		w->due_next = at + 1;
		return q;
	}
	return NULL;
}

static bool take_due(struct worker *w, int64_t now)
{
	if (w->takes_in_a_row >= TAKES_IN_A_ROW) {
		w->takes_in_a_row = 0;
		return false;
	}
	struct work_queue *q = next_to_look_at(w, now);
	if (!q)
		q = next_due(w, now);
	if (q)
		take(w, q);
	return q != NULL;
}

/* ---- new entries ---- */

/* The entries of a read, by the order of its streams: now each says whose it is. */
static void note_delivered(struct worker *w, struct entry_list *list)
{
	KILL_POINT("fetch.after");
	for (size_t i = 0; i < list->count; i++) {
		struct work_queue *from = w->read_queues[list->entries[i].queue];
		bool last = i + 1 == list->count || list->entries[i + 1].queue != list->entries[i].queue;
		list->entries[i].queue = from->index;
		if (last) /* a stream's entries come in the order of their IDs */
			board_note_delivered(w->board, from->index, list->entries[i].id);
	}
}

void fetch_arrived(struct worker *w, struct entry_list *list)
{
	size_t first = list->entries[0].queue;
	struct work_queue *q = &w->queues[0];
	while (q->index != first)
		q++;
	struct entry next = list->entries[0];
	memmove(list->entries, list->entries + 1, --list->count * sizeof(next));
	if (list->count == 0) {
		entry_list_done(list); /* the usual case: nothing is left of it but its memory */
	} else if (w->queue_count == 1 || w->read_more) {
		ahead_keep(w, q, list);
	} else {
		entry_list_done(&w->surplus);
		w->surplus = *list;
		*list = (struct entry_list){ 0 };
	}
	run_begin(w, q, &next, clock_boot_ms());
}

static void read_refused(struct worker *w, const struct redis_error *error)
{
	struct work_queue *only = w->asked_count == 1 ? w->read_queues[0] : NULL;

	if (error->reaction == REACT_OPERATOR && only && w->queue_count > 1) {
		link_refuse_queue(w, error, only);
	} else if (error->reaction == REACT_OPERATOR && !only) {
		link_refused(w, error, NULL);
		w->recover = RECOVER_MINE; /* finds out which of them it is */
		w->recover_queue = 0;
	} else if (error->reaction == REACT_GROUP && !only) {
		w->recover = RECOVER_MINE;
		w->recover_queue = 0;
		if (++w->refusals > 3)
			link_refused(w, error, NULL);
	} else {
		link_refused(w, error, only);
	}
}

/* Somebody ended the read. It was the reaper, for a retry; or somebody elsewhere has changed what only the reaper looks at: pauses, delayed entries. */
static void ended_early(struct worker *w)
{
	const uint64_t one = 1;

	w->look = true;
	for (size_t i = 0; i < w->queue_count; i++) {
		if (atomic_load(&board_queue(w->board, w->queues[i].index)->due_mono_ms) <= clock_mono_ms())
			return;
	}
	atomic_store(&board_header(w->board)->look_wanted, 1);
	(void)!write(WORKER_FD_BELL, &one, sizeof(one));
}

static void on_read(void *user, struct redisReply *reply)
{
	struct worker *w = user;
	struct entry_list list = { 0 };
	struct redis_error error;

	if (!link_answered(w, reply))
		return;
	bool limited = w->asked_limited, empty = false;
	w->asked_limited = false;
	int failed = limited ? limits_parse_read(w, w->read_queues[0], reply, &list, &empty, &error) :
			       queue_parse_read(w->conn, reply, w->asked_keys, w->asked_count, &list, &error);
	if (failed < 0) {
		read_refused(w, &error);
	} else {
		int64_t waited = clock_mono_ms() - w->read_mono_ms;
		link_good(w);
		w->takes_in_a_row = 0;
		ahead_read(w, list.count, waited);
		if (w->read_more)
			window_read_done(w, list.count);
		w->script_was_empty = w->asked_script && list.count == 0;
		w->limited_was_empty = empty;
		for (size_t i = 0; i < list.paused_count; i++)
			w->read_queues[list.paused[i]]->paused_until_mono_ms = clock_mono_ms() + PAUSED_AGAIN_MS;
		free(TAKE(list.paused));
		if (list.count > 0) {
			note_delivered(w, &list);
			if (w->read_more || !paused_ask(w, &list, waited))
				fetch_arrived(w, &list);
		} else if (!w->asked_script && !limited && waited < w->read_block_ms - 100) {
			ended_early(w);
		}
	}
	w->asked_count = 0;
	w->read_more = false;
	worker_step(w);
}

/* Smooth weighted order: each turn every queue earns its weight, the richest goes first and pays for all. */
static void weigh(struct worker *w, size_t n)
{
	int64_t total = 0;

	for (size_t i = 0; i < n; i++) {
		w->read_queues[i]->credit += w->read_queues[i]->def->weight;
		total += w->read_queues[i]->def->weight;
	}
	for (size_t i = 1; i < n; i++) {
		struct work_queue *q = w->read_queues[i];
		size_t at = i;
		for (; at > 0 && w->read_queues[at - 1]->credit < q->credit; at--)
			w->read_queues[at] = w->read_queues[at - 1];
		w->read_queues[at] = q;
	}
	if (n > 0)
		w->read_queues[0]->credit -= total;
}

static size_t choose(struct worker *w, int64_t now)
{
	size_t n = 0;
	for (size_t i = 0; i < w->queue_count; i++) {
		if (fetch_queue_open(w, &w->queues[i], now))
			w->read_queues[n++] = &w->queues[i];
	}
	if (n > 1 && !w->script_was_empty)
		weigh(w, n);
	for (size_t i = 0; i < n; i++)
		w->read_keys[i] = &w->read_queues[i]->keys;
	return n;
}

static int64_t block_ms(struct worker *w, size_t chosen, int64_t now)
{
	int64_t block = BLOCK_PER_WORKER_MS * (int64_t)w->host_workers;
	if (block < BLOCK_MIN_MS)
		block = BLOCK_MIN_MS;
	block += (int64_t)((double)block * 0.1 * worker_random());
	if (chosen < w->queue_count && block > BLOCK_WATCHFUL_MS)
		block = BLOCK_WATCHFUL_MS;
	if (!atomic_load(&board_header(w->board)->unblock_denied))
		return block;
	for (size_t i = 0; i < w->queue_count; i++) {
		int64_t due = atomic_load(&board_queue(w->board, w->queues[i].index)->due_mono_ms) - now;
		if (due < block)
			block = due;
	}
	return block > BLOCK_WATCHFUL_MS ? BLOCK_WATCHFUL_MS : block < 1 ? 1 : block;
}

/* The turn for new entries between retries must not wait while retries are due. */
static bool any_due(struct worker *w, int64_t now)
{
	for (size_t i = 0; i < w->queue_count; i++) {
		if (fetch_queue_due(w, &w->queues[i], now) && fetch_queue_open(w, &w->queues[i], now))
			return true;
	}
	return false;
}

/* Not while it is at its limit, and without waiting: what the script reads may start. */
static void read_limited(struct worker *w, struct work_queue *q, int64_t count)
{
	w->asked_limited = true;
	w->read_count = count;
	w->read_block_ms = -1;
	limits_build_read(w, q, count);
	link_ask(w, CONNECTION_DEFAULT_TIMEOUT, true, on_read, w);
}

static void read_new(struct worker *w, size_t n, int64_t now)
{
	KILL_POINT("fetch.before");
	w->asked_keys = w->read_keys;
	w->asked_count = n;
	w->asked_script = n > 1 && !w->script_was_empty;
	w->read_mono_ms = now;
	if (w->asked_script) {
		queue_build_fetch(&w->cmd, w->read_keys, n, w->consumer);
		link_ask(w, CONNECTION_DEFAULT_TIMEOUT, true, on_read, w);
		return;
	}
	w->script_was_empty = false;
	bool by_limit = n == 1 && limits_read_wanted(w, w->read_queues[0]);
	int64_t many = window_want(w);
	if (by_limit && !w->limited_was_empty) {
		read_limited(w, w->read_queues[0], many > 0 ? many : 1);
		return;
	}
	w->limited_was_empty = false;
	if (by_limit)
		many = 0; /* what comes must ask, one by one */
	w->read_count = many > 0 ? many : ahead_want(w);
	/* Several are only taken if they are there already: who waits for a producer leaves the next one to its neighbour. */
	w->read_block_ms = (w->read_count > 1 && many == 0) || any_due(w, now) ? -1 : block_ms(w, n, now);
	queue_build_read(&w->cmd, w->read_keys, n, w->consumer, w->read_count, w->read_block_ms);
	int64_t patience = w->read_block_ms < 0 ? CONNECTION_DEFAULT_TIMEOUT :
						  w->read_block_ms + w->config->redis.command_timeout_ms;
	link_ask(w, patience, true, on_read, w);
}

void fetch_more(struct worker *w, struct work_queue *q, int64_t count, int64_t wait_ms)
{
	w->read_queues[0] = q;
	w->read_keys[0] = &q->keys;
	w->asked_keys = w->read_keys;
	w->asked_count = 1;
	w->asked_script = false;
	w->read_more = true;
	w->read_mono_ms = clock_mono_ms();
	if (limits_read_wanted(w, q)) {
		read_limited(w, q, count);
		return;
	}
	w->read_block_ms = wait_ms;
	w->read_count = count;
	queue_build_read(&w->cmd, w->read_keys, 1, w->consumer, count, wait_ms);
	link_ask(w, w->config->redis.command_timeout_ms + (wait_ms > 0 ? wait_ms : 0), true, on_read, w);
}

void fetch_next(struct worker *w)
{
	/* IDLE is shown before the due times are looked at, and the reaper publishes a due time before it looks for idle workers: one of
	 * the two always sees the other. */
	worker_set_state(w, WORKER_IDLE);
	int64_t now = clock_mono_ms();
	ev_timer_stop(w->loop, &w->nap);
	if (take_due(w, now))
		return;
	size_t n = choose(w, now);
	if (n == 1 && !w->limited_was_empty && limits_read_wanted(w, w->read_queues[0]) && !limits_claim(w, w->read_queues[0], now))
		n = 0;
	if (n > 0) {
		read_new(w, n, now);
		return;
	}
	w->script_was_empty = false;
	if (w->acks.count == 0)
		nap(w);
}

/* ---- surplus ---- */

static struct work_queue *queue_at(struct worker *w, size_t index)
{
	struct work_queue *q = &w->queues[0];
	while (q->index != index)
		q++;
	return q;
}

static void on_given_back(void *user, struct redisReply *reply)
{
	struct worker *w = user;
	struct redis_error error;
	int64_t count = 0;

	if (!link_answered(w, reply))
		return;
	if (queue_parse_count(reply, &count, &error) < 0) {
		link_refused(w, &error, NULL);
	} else if (count == 0 && !w->surplus_put_back &&
		   put_back_send(w, queue_at(w, w->surplus.entries[w->surplus.count - 1].queue))) {
		w->surplus_put_back = true; /* then it is given back once more */
		w->surplus_asked = 0;
		return;
	} else {
		KILL_POINT("give_back.after");
		atomic_fetch_add(&w->slot->counters.released, (uint64_t)count);
		fetch_tell_due(w, queue_at(w, w->surplus.entries[w->surplus.count - 1].queue), 0);
		for (; w->surplus_asked > 0; w->surplus_asked--)
			entry_done(&w->surplus.entries[--w->surplus.count]);
	}
	if (w->surplus.count == 0) {
		entry_list_done(&w->surplus);
		w->surplus_put_back = false;
	}
	worker_step(w);
}

void fetch_give_back(struct worker *w)
{
	const struct entry_list *s = &w->surplus;
	struct work_queue *q = queue_at(w, s->entries[s->count - 1].queue);
	struct held_id ids[RELEASE_MAX];
	size_t n = 0;

	for (; n < RELEASE_MAX && n < s->count; n++) {
		const struct entry *e = &s->entries[s->count - 1 - n];
		if (e->queue != q->index)
			break;
		ids[n].delivery = e->delivery;
		memcpy(ids[n].id, e->id, sizeof(e->id));
	}
	w->surplus_asked = n;
	queue_build_release(&w->cmd, &q->keys, w->consumer, w->config->name, 0, ids, n);
	KILL_POINT("give_back.before");
	link_ask(w, CONNECTION_DEFAULT_TIMEOUT, true, on_given_back, w);
}

/* ---- the group ---- */

/* As the reaper says it when it is the one who makes it. */
static void speak_remade(struct worker *w, const struct work_queue *q)
{
	char known[SLOT_ID_SIZE] = "";

	(void)board_delivered(w->board, q->index, known);
	event(w->log, DAEMON_WARNING,
	      (&(struct event_about){ .stream = q->def->stream, .group = q->def->group, .worker = w->name, .pid = getpid() }),
	      F_TEXT("why", "the group was gone (destroyed, or the stream was deleted) and was made again where it had got to"),
	      F_TEXT("known", known));
}

static void on_group(void *user, struct redisReply *reply)
{
	struct worker *w = user;
	struct work_queue *q = w->group_wanted;
	struct redis_error error;
	int64_t made = 0;

	if (!link_answered(w, reply))
		return;
	w->group_wanted = NULL;
	if (queue_parse_status(reply, &made, &error) < 0) {
		if (error.reaction == REACT_OPERATOR)
			link_refuse_queue(w, &error, q);
		else
			link_refused(w, &error, q);
	} else if (made) {
		const uint64_t one = 1;
		KILL_POINT("group.after");
		speak_remade(w, q);
		atomic_store(&board_queue(w->board, q->index)->remade, 1);
		(void)!write(WORKER_FD_BELL, &one, sizeof(one));
	}
	if (error.reaction == REACT_NONE)
		(void)put_back_send(w, q);
	worker_step(w);
}

void fetch_make_group(struct worker *w)
{
	struct work_queue *q = w->group_wanted;
	char known[SLOT_ID_SIZE] = "";

	(void)board_delivered(w->board, q->index, known);
	queue_build_group(&w->cmd, &q->keys, q->def->start, known);
	KILL_POINT("group.before");
	link_ask(w, CONNECTION_DEFAULT_TIMEOUT, true, on_group, w);
}
