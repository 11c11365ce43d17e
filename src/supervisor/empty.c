/* --until-empty: when is there nothing left to do? A queue's figures come from one script, so each is true for one moment; but a handler
 * may add to a queue that was looked at before. So all queues must be found empty twice, each time by another look, with no worker busy. */
#include "supervisor/state.h"

enum { LOOKS_WANTED = 2, FIGURES_AGE_MS = 1000 };

static bool all_suspended(struct supervisor *s, const struct queue *q)
{
	for (size_t i = 0; i < q->job_count; i++) {
		if (atomic_load(&board_job(s->board, q->jobs[i]->index)->suspended) == SUSPENDED_NOT)
			return false;
	}
	return true;
}

static bool any_suspended(struct supervisor *s, const struct queue *q)
{
	for (size_t i = 0; i < q->job_count; i++) {
		if (atomic_load(&board_job(s->board, q->jobs[i]->index)->suspended) != SUSPENDED_NOT)
			return true;
	}
	return false;
}

static enum leftover queue_leftover(struct supervisor *s, size_t index)
{
	const struct queue *q = &s->config->queues[index];
	const struct queue_gauges *g = &s->gauges[index];

	if (!g->refused && g->exists && !g->has_waiting && g->pending == 0 && g->next_later_in_ms > 0)
		return NOTHING_LEFT;
	if (g->refused || g->paused || all_suspended(s, q))
		return CANNOT_RUN;
	/* What a foreign consumer holds and is to be left, and what was put back because its job is suspended, does not move either. */
	enum { COUNTED_AT_MOST = 10000 };
	int64_t foreign = q->foreign == FOREIGN_LEAVE ? g->foreign : 0;
	int64_t suspended = any_suspended(s, q) ? g->suspended : 0;
	bool all_counted = suspended >= g->parked || suspended >= COUNTED_AT_MOST;
	bool parked_moves = g->parked > 0 && !all_counted;
	bool promotes = g->next_later_in_ms <= 0 && g->later_data >= 0; /* delayed entries that are not due are not waited for */
	return g->has_waiting || promotes || parked_moves || g->pending - g->parked > foreign ? WORK_LEFT : CANNOT_RUN;
}

static enum leftover all_leftover(struct supervisor *s)
{
	enum leftover worst = NOTHING_LEFT;

	if (slots_count_state(s, WORKER_BUSY) > 0)
		return WORK_LEFT;
	for (size_t i = 0; i < s->config->queue_count; i++) {
		enum leftover one = queue_leftover(s, i);
		worst = one > worst ? one : worst;
	}
	return worst;
}

/* Has every queue been looked at since the last time this said so? */
static bool all_looked_again(struct supervisor *s)
{
	for (size_t i = 0; i < s->config->queue_count; i++) {
		if (!s->gauges[i].refused && s->gauges[i].redis_now_ms == s->empty_seen_ms[i])
			return false;
	}
	for (size_t i = 0; i < s->config->queue_count; i++)
		s->empty_seen_ms[i] = s->gauges[i].redis_now_ms;
	return true;
}

void empty_look(struct supervisor *s)
{
	if (!s->until_empty || !s->ready || s->stopping || !reaper_figures(s->reaper, s->config, FIGURES_AGE_MS, s->gauges))
		return;
	enum leftover left = all_leftover(s);
	if (left == WORK_LEFT || left != s->empty_last)
		s->empty_looks = 0;
	s->empty_last = left;
	if (left == WORK_LEFT || !all_looked_again(s) || ++s->empty_looks < LOOKS_WANTED)
		return;
	if (left == CANNOT_RUN)
		supervisor_stop(s, STOP_DRAIN, 1, "what is left cannot run: its queue is paused or refused by Redis, or its jobs are suspended");
	else
		supervisor_stop(s, STOP_DRAIN, 0, "all queues are empty");
}
