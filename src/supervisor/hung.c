/* Workers that make no progress: frozen, or stuck in a call. One that holds an entry is killed, with its handler, before its lease runs out: else
 * another worker of this host would be given the entry while the first handler still runs. Looked at when the reaper has news, which is every second
 * while anything is pending. */
#include "supervisor/state.h"

#include <signal.h>
#include <stdio.h>

#include "base/clock.h"

enum {
	BUSY_LEAST_MS = 1500,      /* a machine under load may keep a process waiting that long */
	IDLE_LIMIT_MS = 60 * 1000, /* beyond the longest time that a worker waits in a read */
	BLOCK_PER_WORKER_MS = 2200,
	BLOCK_LEAST_MS = 11 * 1000,
};

/* By its names: the worker may be older than this generation's order of queues. */
static int64_t lease_of(const struct config *c, const struct slot_run *run)
{
	for (size_t i = 0; i < c->queue_count; i++) {
		if (strcmp(c->queues[i].stream, run->stream) == 0 && strcmp(c->queues[i].group, run->group) == 0)
			return c->queues[i].lease_ms;
	}
	return 60 * 1000;
}

/* The loop of a worker with an entry turns every third of the lease at least. */
static int64_t busy_limit_ms(const struct worker_slot *w, const struct slot_run *run)
{
	int64_t lease = lease_of(w->gen->config, run);
	int64_t limit = lease * 3 / 4;
	return limit < BUSY_LEAST_MS ? BUSY_LEAST_MS : limit;
}

static int64_t idle_limit_ms(const struct supervisor *s)
{
	int64_t block = BLOCK_PER_WORKER_MS * (int64_t)s->slot_count;
	return (block < BLOCK_LEAST_MS ? BLOCK_LEAST_MS : block) + s->config->redis.command_timeout_ms + IDLE_LIMIT_MS;
}

static void look_at(struct supervisor *s, const struct worker_slot *w, int64_t now)
{
	const struct slot *slot = board_slot(s->board, w->index);
	struct slot_identity id;
	struct slot_run run;
	int64_t still = now - atomic_load(&slot->beat_mono_ms);
	char name[96];

	if (w->pid <= 0 || (w->state != SLOT_RUNNING && w->state != SLOT_RETIRING) || atomic_load(&slot->state) == WORKER_STARTING || still < BUSY_LEAST_MS)
		return;
	slot_read(slot, &id, &run);
	bool busy = atomic_load(&slot->state) == WORKER_BUSY || run.queue >= 0;
	if (id.pid != w->pid || still < (busy ? busy_limit_ms(w, &run) : idle_limit_ms(s)))
		return;
	snprintf(name, sizeof(name), "%s/%d", w->pool->name, w->number);
	struct event_about about = { .worker = name, .pid = w->pid, .id = run.id, .stream = run.stream, .job = run.job_name };
	event(s->log, WORKER_HUNG, &about, F_I64("still_ms", still), F_TEXT("state", worker_state_name((enum worker_state)atomic_load(&slot->state))));
	(void)kill(w->pid, SIGKILL); /* its end then takes the way of every worker's death */
}

void hung_look(struct supervisor *s)
{
	int64_t now = clock_mono_ms();

	/* The reaper suspects them at the beginning of a round, when it knows whether it stood still itself: news from the midst of one say nothing. */
	if (!atomic_load(&board_header(s->board)->hung_suspected))
		return;
	if (now - atomic_load(&board_header(s->board)->thawed_mono_ms) < BUSY_LEAST_MS)
		return; /* all of us were frozen: they are not to blame */
	atomic_store(&board_header(s->board)->hung_suspected, 0);
	for (size_t i = 0; i < s->slot_count; i++)
		look_at(s, s->slots[i], now);
}
