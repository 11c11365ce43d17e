/* Modes batch and persistent: entries that one process is given together. They stand in a list, in the order of their delivery, from the
 * moment they are given until they are settled; each is settled by the same steps as any other (settle.c), one after the other.
 *
 * While some are unanswered the connection is never left in a blocking read: more is asked for without waiting, when half of the window is free,
 * at a growing pace while nothing comes. So that the innocent are not blamed when a process dies with several in its hands, they are all
 * given back, and whatever was delivered before is given to a process alone. */
#include "worker/state.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"

/* A window is filled up when half of it is answered, so that one read brings many; or when no answer has come for REFILL_MS: a process may
 * be waiting for more before it answers. */
enum { POLL_FIRST_MS = 5, POLL_LAST_MS = 100, REFILL_MS = 5, BEHIND_MAX_BYTES = 1024 * 1024 };
/* A batch that is gathered for longer looks up so often: is it still to be run? */
enum { GATHER_TURN_MS = 500 };

static int64_t limit_of(const struct job *job)
{
	return job->mode == MODE_BATCH ? job->batch.size : job->persistent.window;
}

static bool is_many(const struct job *job)
{
	return job->mode != MODE_EXEC;
}

static void arm(struct worker *w, ev_timer *timer, int64_t ms)
{
	ev_timer_stop(w->loop, timer);
	ev_now_update(w->loop);
	ev_timer_set(timer, (double)(ms > 0 ? ms : 0) / 1000., 0.);
	ev_timer_start(w->loop, timer);
}

/* ---- the list ---- */

struct run *window_oldest(struct window *win)
{
	while (win->oldest < win->count && win->runs[win->oldest].answered)
		win->oldest++;
	return win->oldest < win->count ? &win->runs[win->oldest] : NULL;
}

/* Most processes answer in the order in which they were given: the oldest is looked at first. */
struct run *window_find(struct window *win, const char *id)
{
	struct run *oldest = window_oldest(win);

	for (struct run *r = oldest; r && r < win->runs + win->count; r++) {
		if (!r->answered && strcmp(r->entry.id, id) == 0)
			return r;
	}
	return NULL;
}

size_t window_unanswered(const struct worker *w)
{
	return w->window.count - w->window.answered;
}

bool window_hold(const struct worker *w, const struct work_queue *q, const char *id)
{
	for (size_t i = 0; i < w->window.count; i++) {
		if (w->window.runs[i].queue == q && strcmp(w->window.runs[i].entry.id, id) == 0)
			return true;
	}
	return false;
}

/* One that was delivered before is given to a process alone. */
static bool alone(const struct run *r)
{
	return r->entry.delivery > 1;
}

/* The slot names the oldest: if this worker dies, that one has lost its attempt. */
static void show_slot(struct worker *w)
{
	struct window *win = &w->window;
	struct run *r = window_oldest(win);

	if (win->shown || !r)
		return;
	win->shown = true;
	run_show(w, r);
	if (handler_running(win->process))
		slot_set_handler(w->slot, handler_pid(win->process), handler_pid_start(win->process));
}

/* There is another oldest one: its timeout counts from now on. */
void window_new_oldest(struct worker *w)
{
	ev_timer_stop(w->loop, &w->window.timeout);
	w->window.shown = false;
	w->window.rearm = true;
}

void window_before_sleep(struct worker *w)
{
	struct window *win = &w->window;

	if (!win->rearm)
		return;
	win->rearm = false;
	ev_timer_stop(w->loop, &win->timeout);
	if (window_oldest(win) && handler_running(win->process) && win->job->mode == MODE_PERSISTENT && win->job->timeout_ms > 0)
		arm(w, &win->timeout, win->job->timeout_ms);
}

void window_decided(struct worker *w, struct run *r)
{
	bool first = r == window_oldest(&w->window);

	r->answered = r->ended = true;
	w->window.answered++;
	r->usage.duration_ms = w->turn_mono_ms - r->began_mono_ms;
	if (r->usage.duration_ms < 0) /* it began in this very turn */
		r->usage.duration_ms = 0;
	suspend_ended(w, r);
	w->window.news = true; /* settled before the loop sleeps: many answers come at once */
	if (first)
		window_new_oldest(w);
}

void window_decide_release(struct worker *w, struct run *r, const char *why)
{
	r->outcome = (struct outcome){ .verdict = VERDICT_RELEASE, .code = -1 };
	snprintf(r->outcome.detail, sizeof(r->outcome.detail), "%s", why);
	window_decided(w, r);
}

/* ---- time ---- */

static void on_step_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	worker_step(timer->data);
}

static void on_renew_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct worker *w = timer->data;
	(void)loop;
	(void)events;
	w->window.renew_due = true;
	worker_step(w);
}

static void on_renewed(void *user, struct redisReply *reply)
{
	struct worker *w = user;
	struct window *win = &w->window;
	struct redis_error error;
	enum renew_result result = RENEWED;
	bool gone = false;

	if (!link_answered(w, reply))
		return;
	struct run *r = &win->runs[win->renewing++]; /* nothing leaves the list while answers are awaited */
	if (queue_parse_renew(reply, &result, &gone, &error) < 0) {
		win->renew_due = true;
		link_refused(w, &error, r->queue);
	} else if (result == RENEWED) {
		link_good(w);
		atomic_fetch_add(&w->slot->counters.renewals, 1);
		r->put_back_tried = false;
		r->lease_boot_ms = win->renew_boot_ms;
		r->payload_gone = r->payload_gone || gone;
	} else if (result == RENEW_GONE && !r->put_back_tried) {
		win->gone = true;
	} else if (!r->lease_lost) {
		r->lease_lost = true;
		speak_lease_lost(w, r, NULL, 0);
	}
	if (w->requests == 0 && win->gone && put_back_send(w, r->queue)) /* then renewed again */
		win->gone = false;
	worker_step(w);
}

/* All of them in one write. */
void window_renew(struct worker *w)
{
	struct window *win = &w->window;
	uint64_t epoch = w->link_epoch;

	win->renew_due = false;
	if (win->count == 0)
		return;
	arm(w, &win->renew, win->queue->def->lease_ms / 3);
	win->renewing = 0;
	win->gone = false;
	win->renew_boot_ms = clock_boot_ms();
	for (size_t i = 0; i < win->count && w->link_epoch == epoch && link_ready(w); i++) {
		const struct run *r = &win->runs[i];
		queue_build_renew(&w->cmd, &r->queue->keys, w->consumer, r->entry.id, r->entry.delivery, r->queue->def->lease_ms,
				  limits_running_key(w, r));
		link_ask(w, CONNECTION_DEFAULT_TIMEOUT, i + 1 == win->count, on_renewed, w);
	}
}

/* ---- the worker's steps ---- */

/* w->run has passed all checks: it joins the others. */
void window_begin(struct worker *w)
{
	struct window *win = &w->window;
	const struct job *job = w->run->job;

	if (handler_running(win->process) && (win->job != job || win->ending || win->deaf || (win->count == 0 && process_worn_out(w)))) {
		if (win->count > 0) { /* it has to settle what it has; this one does not wait for that */
			w->run->outcome = (struct outcome){ .verdict = VERDICT_RELEASE, .code = -1 };
			settle_decide(w, w->run);
			w->step_again = true;
			return;
		}
		process_end(w);
		w->run->stage = RUN_WAITING;
		if (!ev_is_active(&w->renew))
			run_renewed_timer(w);
		return;
	}
	struct run *r = &win->runs[win->count++];
	*r = *w->run;
	memset(w->run, 0, sizeof(*w->run));
	ev_timer_stop(w->loop, &w->renew);
	r->stage = RUN_HANDLER;
	win->shown = false;
	win->job = job;
	win->queue = r->queue;
	w->step_again = true;
	if (win->count == 1) {
		win->turn = limit_of(job) - 1;
		win->poll_ms = 0;
		win->poll_at_mono_ms = 0;
		win->began_mono_ms = clock_mono_ms();
		arm(w, &win->renew, win->queue->def->lease_ms / 3);
	}
	if (job->mode == MODE_BATCH) {
		win->gathering = true;
	} else if (!handler_running(win->process)) {
		process_launch(w);
	} else {
		r->handler_pid = handler_pid(win->process);
		process_give(w, r);
		if (win->count == 1)
			window_new_oldest(w);
	}
}

/* What is left of the list when those from `from` on were not looked at. */
static void close_gap(struct window *win, size_t kept, size_t from)
{
	if (kept != from)
		memmove(&win->runs[kept], &win->runs[from], (win->count - from) * sizeof(win->runs[0]));
	win->count -= from - kept;
}

/* Settle what was answered. True: something is on its way, or there is no room. */
bool window_settle(struct worker *w)
{
	struct window *win = &w->window;
	size_t kept = 0, i = 0, acknowledged = 0;
	bool by_script = false;

	if (win->answered == 0)
		return false;
	for (; i < win->count && !by_script && !acks_full(w); i++) {
		struct run *r = &win->runs[i];
		if (!r->answered) {
			if (kept != i)
				win->runs[kept] = *r;
			kept++;
			continue;
		}
		win->answered--;
		if (settle_plainly(w, r)) {
			r->many = true;
			acks_keep(w, r);
			acknowledged++;
			continue;
		}
		*w->run = *r;
		settle_decide(w, w->run);
		by_script = w->run->stage != RUN_NONE;
	}
	win->oldest = 0;
	bool full = i < win->count && !by_script;
	close_gap(win, kept, i);
	win->answered_mono_ms = clock_mono_ms();
	if (acknowledged > 0)
		acks_tell(w, false);
	if (by_script)
		settle_send(w, w->run);
	else if (full)
		acks_send(w, true);
	return by_script || full;
}

void window_read_done(struct worker *w, size_t got)
{
	struct window *win = &w->window;

	if (win->count == 0)
		return;
	win->turn -= (int64_t)got;
	win->poll_ms = got > 0 ? 0 : win->poll_ms == 0 ? POLL_FIRST_MS : 2 * win->poll_ms;
	if (win->poll_ms > POLL_LAST_MS)
		win->poll_ms = POLL_LAST_MS;
	win->poll_at_mono_ms = clock_mono_ms() + win->poll_ms;
}

/* How many more may be asked for now. */
static int64_t room(struct worker *w, int64_t now)
{
	struct window *win = &w->window;
	int64_t limit = limit_of(win->job);
	int64_t left = limit - (int64_t)win->count;

	if (w->stopping || win->ending || win->queue->def->job_count > 1 || (win->count > 0 && alone(&win->runs[win->count - 1])))
		return 0;
	if (win->out.n - win->out_at > BEHIND_MAX_BYTES)
		return 0; /* it does not read what it has */
	if (w->queue_count > 1 && win->turn < left)
		left = win->turn; /* other streams have their turn */
	if (win->job->mode == MODE_PERSISTENT && process_worn_out(w))
		return 0;
	return left > 0 && fetch_queue_open(w, win->queue, now) && !fetch_queue_due(w, win->queue, now) ? left : 0;
}

/* A batch that was not started when the daemon stops or its queue is paused is not started any more. (A worker that only retires runs it.) */
static const char *not_to_be_run(struct worker *w, int64_t now)
{
	if (w->stopping && !w->retiring)
		return "the daemon stops";
	return fetch_queue_paused(w, w->window.queue, now) ? "the queue is paused" : NULL;
}

static void give_back_batch(struct worker *w, const char *why)
{
	struct window *win = &w->window;

	win->gathering = false;
	for (size_t i = 0; i < win->count; i++) {
		if (!win->runs[i].answered)
			window_decide_release(w, &win->runs[i], why);
	}
	w->step_again = true;
}

static void next_of_batch(struct worker *w, int64_t now)
{
	struct window *win = &w->window;
	int64_t wait = win->began_mono_ms + win->job->batch.wait_ms - now;
	int64_t lease = win->queue->def->lease_ms / 4;
	int64_t more = room(w, now);
	const char *why = not_to_be_run(w, now);

	if (why) {
		give_back_batch(w, why);
		return;
	}
	wait = wait < lease ? wait : lease;
	if (more > 0 && (win->poll_at_mono_ms == 0 || (wait > 0 && win->job->rate.count == 0))) { /* a rate is asked once, and does not wait */
		fetch_more(w, win->queue, more, wait > GATHER_TURN_MS ? GATHER_TURN_MS : wait > 0 ? wait : -1);
		return;
	}
	process_launch(w);
	show_slot(w);
	process_end(w); /* that was all: its stdin ends behind it */
	process_flush(w);
}

/* Entries are in the hands of a process: fill up, or wait for its answers. */
void window_next(struct worker *w)
{
	struct window *win = &w->window;
	int64_t now = clock_mono_ms();

	if (win->gathering) {
		next_of_batch(w, now);
		return;
	}
	show_slot(w);
	process_flush(w);
	if (win->job->mode == MODE_BATCH)
		return;
	int64_t more = room(w, now);
	if (more <= 0)
		return;
	int64_t at = win->poll_at_mono_ms;
	if (2 * (int64_t)win->count > limit_of(win->job) && at < win->answered_mono_ms + REFILL_MS)
		at = win->answered_mono_ms + REFILL_MS;
	if (now < at) {
		if (!ev_is_active(&win->poll))
			arm(w, &win->poll, at - now);
		return;
	}
	acks_send(w, false);
	fetch_more(w, win->queue, more, -1);
}

bool window_busy(const struct worker *w)
{
	return w->window.count > 0;
}

/* The worker ends, and nothing is in its hands: false while the process has not ended. */
bool window_stopped(struct worker *w)
{
	if (!w->window.process || !handler_running(w->window.process))
		return true;
	if (w->window.count == 0)
		process_end(w);
	return false;
}

void window_stop(struct worker *w, enum end_kind kind)
{
	if (!w->window.process || !handler_running(w->window.process))
		return;
	w->window.stopped = w->window.ending = true;
	handler_stop(w->window.process, kind, w->window.job->kill_grace_ms);
}

/* The COUNT of a read that may block, when its only stream's only job takes many. */
int64_t window_want(const struct worker *w)
{
	const struct queue *def = w->queues[0].def;
	return w->queue_count == 1 && def->job_count == 1 && is_many(def->jobs[0]) ? limit_of(def->jobs[0]) : 0;
}

int window_init(struct worker *w)
{
	struct window *win = &w->window;

	win->stdin_fd = -1;
	for (size_t i = 0; i < w->queue_count; i++) {
		for (size_t j = 0; j < w->queues[i].def->job_count; j++) {
			const struct job *job = w->queues[i].def->jobs[j];
			if (is_many(job) && (size_t)limit_of(job) > win->capacity)
				win->capacity = (size_t)limit_of(job);
		}
	}
	if (win->capacity == 0)
		return 0;
	win->runs = calloc(win->capacity + 1, sizeof(*win->runs));
	if (!win->runs)
		return -ENOMEM;
	ev_init(&win->poll, on_step_time);
	ev_init(&win->renew, on_renew_time);
	win->poll.data = win->renew.data = w;
	return process_init(w);
}

void window_kill(struct worker *w)
{
	if (w->window.process)
		handler_kill_now(w->window.process);
}

void window_done(struct worker *w)
{
	struct window *win = &w->window;

	handler_free(win->process);
	for (size_t i = 0; i < win->count; i++) {
		entry_done(&win->runs[i].entry);
		result_done(&win->runs[i].result);
	}
	free(win->runs);
	buf_done(&win->out);
	if (win->stdin_fd >= 0)
		(void)close(win->stdin_fd);
}
