/* The group was destroyed and made again, and what this worker holds is pending no more: it is put back, all of a queue in one call: what runs, a
 * window, what was read ahead or is a surplus. That the group is another one is known from three sides: Redis said NOGROUP, a renewal or a
 * settling call found the entry gone, or the reaper of this host counted it (it puts back what the slots name, and so makes our name known there). */
#include "worker/state.h"

#include "base/killpoint.h"

static uint32_t remakes(const struct worker *w, const struct work_queue *q)
{
	return atomic_load(&board_queue(w->board, q->index)->remakes);
}

static size_t add_list(struct worker *w, const struct work_queue *q, const struct entry_list *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->count; i++) {
		if (l->entries[i].queue != q->index)
			continue;
		queue_add_put_back(&w->cmd, l->entries[i].id, l->entries[i].delivery);
		n++;
	}
	return n;
}

static size_t add_held(struct worker *w, const struct work_queue *q)
{
	size_t n = 0;

	if (w->run->stage != RUN_NONE && w->run->queue == q && !w->run->lease_lost) {
		queue_add_put_back(&w->cmd, w->run->entry.id, w->run->entry.delivery);
		n++;
	}
	for (size_t i = 0; i < w->window.count; i++) {
		const struct run *r = &w->window.runs[i];
		if (r->queue != q || r->lease_lost)
			continue;
		queue_add_put_back(&w->cmd, r->entry.id, r->entry.delivery);
		n++;
	}
	for (size_t i = 0; i < w->acks.count; i++) { /* done, and its result is to be kept in the step that acknowledges it */
		const struct run *r = &w->acks.runs[i];
		if (r->stage == RUN_NONE || r->queue != q || !r->refused)
			continue;
		queue_add_put_back(&w->cmd, r->entry.id, r->entry.delivery);
		n++;
	}
	return n + add_list(w, q, &w->ahead) + add_list(w, q, &w->surplus);
}

/* Tried: whoever finds an entry gone after this has lost it. */
static void mark(struct run *r, const struct work_queue *q)
{
	if (r->queue != q)
		return;
	r->put_back = r->put_back_tried = true;
}

static void on_put_back(void *user, struct redisReply *reply)
{
	struct worker *w = user;
	struct work_queue *q = w->put_back_queue;
	struct run *r = w->run;
	struct redis_error error;
	int64_t put = 0;

	if (!link_answered(w, reply))
		return;
	if (queue_parse_status(reply, &put, &error) < 0) {
		link_refused(w, &error, q);
	} else {
		q->remakes = w->put_back_remakes;
		if (r->stage != RUN_NONE)
			mark(r, q);
		for (size_t i = 0; i < w->window.count; i++)
			mark(&w->window.runs[i], q);
	}
	KILL_POINT("put_back.after");
	if (r->stage == RUN_HANDLER || r->stage == RUN_CHECKING)
		w->renew_due = true; /* tells whether it is ours now */
	w->window.renew_due = window_busy(w);
	worker_step(w);
}

bool put_back_send(struct worker *w, struct work_queue *q)
{
	w->put_back_remakes = remakes(w, q);
	queue_build_put_back(&w->cmd, &q->keys, w->consumer, w->put_back_remakes != q->remakes);
	if (add_held(w, q) == 0) {
		q->remakes = w->put_back_remakes;
		return false;
	}
	KILL_POINT("put_back.before");
	w->put_back_queue = q;
	link_ask(w, CONNECTION_DEFAULT_TIMEOUT, true, on_put_back, w);
	return true;
}

bool put_back_again(struct worker *w)
{
	uint32_t all = atomic_load(&board_header(w->board)->remakes);

	if (all == w->remakes)
		return false;
	for (size_t i = 0; i < w->queue_count; i++) {
		struct work_queue *q = &w->queues[i];
		if (remakes(w, q) != q->remakes && put_back_send(w, q))
			return true; /* the next one in the next step */
	}
	w->remakes = all;
	/* The reaper may have put back what had just been done: whatever is pending under our name is compared with what we hold. */
	w->recover = RECOVER_MINE;
	w->recover_queue = 0;
	w->step_again = true;
	return true;
}

void put_back_init(struct worker *w)
{
	w->remakes = atomic_load(&board_header(w->board)->remakes);
	for (size_t i = 0; i < w->queue_count; i++)
		w->queues[i].remakes = remakes(w, &w->queues[i]);
}
