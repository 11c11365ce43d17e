/* Whether a queue is paused, asked at the last moment. Busy workers learn of a pause from the scoreboard, which the reaper keeps; its look may
 * be seconds old where nothing was going on. So what ends a long wait is started only after a look at the key, and given back if it is there.
 * Until the answer comes the entries stand with those that are to be given back: whatever happens meanwhile, they are not lost. */
#include "worker/state.h"

#include "base/clock.h"
#include "worker/worker.h"

enum { LONG_WAIT_MS = 250, PAUSED_AGAIN_MS = 1000 };

static struct work_queue *first_queue(struct worker *w)
{
	struct work_queue *q = &w->queues[0];
	while (q->index != w->surplus.entries[0].queue)
		q++;
	return q;
}

static void on_paused(void *user, struct redisReply *reply)
{
	struct worker *w = user;
	struct redis_error error;
	int64_t paused = 0;

	if (!link_answered(w, reply))
		return;
	if (queue_parse_count(reply, &paused, &error) < 0)
		paused = 0; /* the reaper says what is wrong with the key */
	if (paused) {
		first_queue(w)->paused_until_mono_ms = clock_mono_ms() + PAUSED_AGAIN_MS;
	} else {
		struct entry_list list = w->surplus;
		w->surplus = (struct entry_list){ 0 };
		fetch_arrived(w, &list);
	}
	worker_step(w);
}

bool paused_ask(struct worker *w, struct entry_list *list, int64_t waited_ms)
{
	if (waited_ms < LONG_WAIT_MS || w->surplus.count > 0)
		return false;
	w->surplus = *list;
	*list = (struct entry_list){ 0 };
	queue_build_paused(&w->cmd, &first_queue(w)->keys);
	link_ask(w, CONNECTION_DEFAULT_TIMEOUT, true, on_paused, w);
	return true;
}
