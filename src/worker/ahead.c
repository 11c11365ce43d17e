/* Reading ahead, by time and not by number. Where handlers are short, the way to Redis and back costs as much as they do: so a worker of a
 * single stream reads as many entries as fit into 20 ms of the time that the last ones took, while there is a backlog, and runs them one after
 * the other. Whoever must wait for more than that is given back, its attempt too, so that another worker can take it; what runs long, or was
 * never seen, is read one at a time. The slot names only what runs: when this worker dies, what it held loses no attempt. */
#include "worker/state.h"

#include <errno.h>

#include "base/clock.h"

enum {
	BUDGET_US = 20 * 1000,
	IDLE_MAX_MS = 20,     /* behind a handler that runs longer nobody waits while a neighbour is idle, … */
	RUN_MAX_MS = 50,      /* … and whatever the neighbours do, not longer than this */
	HELD_MAX_MS = 100,    /* many that are a little slower than they were do not add up to more than this */
	AGAIN_MS = 5,
	RUNS_MIN = 8,         /* before that a job's time is not known */
	BACKLOG_MS = 2,       /* a read that was answered quicker did not wait for a producer */
	HOME_FROM = 3,         /* so many at once: handlers are short, and there is enough of them */
	FAT_BYTES = 64 * 1024, /* several large entries are not held in memory for the sake of a round trip */
};

/* ---- how long a job's handlers take ---- */

static int64_t expected_us(const struct pace *p)
{
	return (int64_t)p->mean_us + 4 * (int64_t)p->deviation_us;
}

static void learn(struct pace *p, int64_t took_us)
{
	int32_t took = took_us > INT32_MAX / 4 ? INT32_MAX / 4 : (int32_t)took_us;

	if (p->runs++ == 0) {
		p->mean_us = took;
		p->deviation_us = took / 2;
		return;
	}
	int32_t off = took - p->mean_us;
	p->mean_us += off / 8;
	p->deviation_us += ((off < 0 ? -off : off) - p->deviation_us) / 4;
}

static bool fat(const struct entry *e)
{
	size_t bytes = 0;
	for (size_t i = 0; i < e->pair_count && bytes < FAT_BYTES; i++)
		bytes += e->pairs[i].name.n + e->pairs[i].value.n;
	return bytes >= FAT_BYTES;
}

void ahead_note(struct worker *w, const struct run *r, const struct run_end *end)
{
	struct pace *p = &w->paces[r->job->index];
	int64_t took_us = clock_mono_us() - r->began_mono_us;

	if (end->kind == END_CANNOT_EXEC || end->kind == END_NO_RESOURCES)
		*p = (struct pace){ 0 };
	else
		learn(p, fat(&r->entry) && took_us < BUDGET_US ? BUDGET_US : took_us);
}

/* ---- how many ---- */

static int64_t fitting(struct worker *w)
{
	const struct queue *def = w->queues[0].def;
	int64_t fit = AHEAD_MAX;

	if (w->queue_count != 1 || def->limited) /* who waits for a limit is not held by a worker */
		return 1;
	for (size_t i = 0; i < def->job_count; i++) {
		const struct pace *p = &w->paces[def->jobs[i]->index];
		if (def->jobs[i]->read_ahead == READ_AHEAD_OFF || p->runs < RUNS_MIN)
			return 1;
		int64_t of_this = BUDGET_US / (expected_us(p) + 1);
		fit = of_this < fit ? of_this : fit;
	}
	fit = fit < w->ahead_count ? fit : w->ahead_count;
	return fit < 1 ? 1 : fit;
}

/* Between one and HOME_FROM it stays where it is: to and fro would cost more than it is worth. */
int64_t ahead_want(struct worker *w)
{
	int64_t want = fitting(w);

	if (want == 1 || want >= HOME_FROM)
		cpu_home_keep(&w->cpu_home, want > 1);
	return want;
}

/* Double while reads are full, begin anew with one when they are not: a small burst is spread over the workers. */
void ahead_read(struct worker *w, size_t got, int64_t waited_ms)
{
	bool backlog = (int64_t)got >= w->read_count && (w->read_count > 1 || waited_ms <= BACKLOG_MS);
	w->ahead_count = !backlog ? 1 : w->read_count < AHEAD_MAX ? 2 * w->read_count : AHEAD_MAX;
}

/* ---- what is held ---- */

void ahead_keep(struct worker *w, struct work_queue *q, struct entry_list *list)
{
	w->ahead_queue = q;
	entry_list_done(&w->ahead);
	w->ahead = *list;
	*list = (struct entry_list){ 0 };
	for (size_t i = 0; i < w->ahead.count / 2; i++) { /* they are taken from its end: nothing has to be moved for each */
		struct entry *front = &w->ahead.entries[i], *back = &w->ahead.entries[w->ahead.count - 1 - i];
		struct entry other = *front;
		*front = *back;
		*back = other;
	}
	w->ahead_boot_ms = w->turn_boot_ms;
}

static struct work_queue *queue_of(struct worker *w)
{
	return w->ahead_queue;
}

void ahead_give_back(struct worker *w, const char *why)
{
	const struct queue *def = queue_of(w)->def;

	for (size_t i = 0; i < w->ahead.count; i++) {
		const struct entry *e = &w->ahead.entries[i];
		event_at(w->log, JOB_RELEASED, EVENT_DEBUG,
			 (&(struct event_about){ .stream = def->stream, .group = def->group, .id = e->id, .worker = w->name, .attempt = entry_attempt(e) }),
			 F_TEXT("why", why));
	}
	entry_list_done(&w->surplus);
	w->surplus = w->ahead;
	w->ahead = (struct entry_list){ 0 };
	w->ahead_count = 1;
	cpu_home_keep(&w->cpu_home, false);
}

static int64_t held_ms(const struct worker *w)
{
	return w->turn_boot_ms - w->ahead_boot_ms;
}

bool ahead_start(struct worker *w)
{
	struct entry_list *list = &w->ahead;
	struct work_queue *q = queue_of(w);

	if (list->count == 0)
		return false;
	if (w->stopping)
		ahead_give_back(w, "the daemon stops");
	else if (window_busy(w) && (w->window.ending || w->window.deaf))
		ahead_give_back(w, "the process that they were for ends");
	else if (held_ms(w) > HELD_MAX_MS)
		ahead_give_back(w, "read ahead, and those before it took too long");
	else if (!fetch_queue_open(w, q, w->turn_mono_ms))
		ahead_give_back(w, "the queue is paused");
	if (list->count == 0)
		return false;
	struct entry next = list->entries[--list->count];
	if (list->count == 0)
		entry_list_done(list);
	run_begin(w, q, &next, w->ahead_boot_ms);
	if (w->run->stage != RUN_HANDLER)
		w->step_again = true;
	return true;
}

/* ---- the bound ---- */

/* After reloads a pool's slots stand anywhere in the scoreboard. */
static bool neighbour_idle(struct worker *w)
{
	size_t slots = atomic_load(&board_header(w->board)->slot_count);
	struct slot_identity id;
	struct slot_run run;

	for (size_t i = 0; i < slots; i++) {
		const struct slot *slot = board_slot(w->board, i);
		if (atomic_load(&slot->state) != WORKER_IDLE)
			continue;
		slot_read(slot, &id, &run);
		if (strcmp(id.pool, w->pool->name) == 0)
			return true;
	}
	return false;
}

/* What is left until they are given back; at most 0: now. */
static int64_t patience_ms(struct worker *w)
{
	int64_t ran = w->run->stage == RUN_HANDLER ? clock_mono_ms() - w->run->began_mono_ms : 0;
	int64_t held_left = HELD_MAX_MS - held_ms(w);
	int64_t run_left = IDLE_MAX_MS - ran;

	if (run_left <= 0 && !neighbour_idle(w)) /* looked at again, soon */
		run_left = ran < RUN_MAX_MS ? AGAIN_MS : 0;
	return run_left < held_left ? run_left : held_left;
}

static void wait_for(struct worker *w, int64_t ms)
{
	ev_timer_set(&w->ahead_timer, (double)ms / 1000., 0.);
	ev_timer_start(w->loop, &w->ahead_timer);
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct worker *w = timer->data;
	(void)loop;
	(void)events;
	if (w->ahead.count == 0)
		return;
	int64_t left = patience_ms(w);
	if (left > 0) {
		wait_for(w, left);
		return;
	}
	ahead_give_back(w, "read ahead, and the one before it takes too long");
	worker_step(w);
}

/* A timer that runs already is left alone: when it fires it looks at what runs by then. */
void ahead_watch(struct worker *w)
{
	if (w->ahead.count > 0 && !ev_is_active(&w->ahead_timer))
		wait_for(w, IDLE_MAX_MS);
}

int ahead_init(struct worker *w)
{
	w->paces = calloc(w->config->job_count, sizeof(*w->paces));
	if (!w->paces)
		return -ENOMEM;
	w->ahead_count = 1;
	w->cpu_home = (struct cpu_home){ .number = w->place.row, .workers = w->host_workers };
	ev_init(&w->ahead_timer, on_time);
	w->ahead_timer.data = w;
	return 0;
}

void ahead_done(struct worker *w)
{
	entry_list_done(&w->ahead);
	free(w->paces);
}
