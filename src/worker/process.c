/* The process of the modes batch and persistent: its start, what it is given, what it answers, and its end. A line that cannot be understood, an
 * answer that does not come and an end without answers are all the same here: somebody's outcome, decided once. */
#include "worker/state.h"

#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "base/clock.h"

static void arm(struct worker *w, ev_timer *timer, int64_t ms)
{
	ev_timer_stop(w->loop, timer);
	ev_now_update(w->loop);
	ev_timer_set(timer, (double)(ms > 0 ? ms : 0) / 1000., 0.);
	ev_timer_start(w->loop, timer);
}

/* ---- to it ---- */

static void close_stdin(struct worker *w)
{
	struct window *win = &w->window;
	int unread = 0;

	ev_io_stop(w->loop, &win->writable);
	if (win->stdin_fd >= 0) {
		if (ioctl(win->stdin_fd, FIONREAD, &unread) == 0)
			win->read_bytes = win->written_bytes - unread;
		(void)close(TAKE_FD(win->stdin_fd));
	}
	buf_clear(&win->out);
	win->out_at = 0;
}

/* What a process that has answered others never read is not its failure, and no entry's: it is given to the next one. (From one that has answered
 * nothing it is: else it would go round for ever.) */
static bool never_read(const struct window *win, const struct run *r)
{
	return win->job->mode == MODE_PERSISTENT && win->answers > 0 && r->line_at >= win->read_bytes;
}

/* It has closed its stdin: nothing more is for it. What it has read may still be answered; its end, or its silence, says what follows. */
static void is_deaf(struct worker *w)
{
	struct window *win = &w->window;

	close_stdin(w);
	win->deaf = true;
	for (size_t i = 0; i < win->count; i++) {
		if (!win->runs[i].answered && never_read(win, &win->runs[i]))
			window_decide_release(w, &win->runs[i], "its process closed its stdin before it read it");
	}
}

void process_flush(struct worker *w)
{
	struct window *win = &w->window;

	while (win->stdin_fd >= 0 && win->out_at < win->out.n) {
		ssize_t n = write(win->stdin_fd, win->out.p + win->out_at, win->out.n - win->out_at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			ev_io_start(w->loop, &win->writable);
			return;
		}
		if (n < 0) {
			is_deaf(w);
			return;
		}
		win->out_at += (size_t)n;
		win->written_bytes += n;
	}
	ev_io_stop(w->loop, &win->writable);
	if (win->out_at == win->out.n && win->out.n > 0) {
		if (win->out.cap > 1024 * 1024)
			buf_done(&win->out);
		buf_clear(&win->out);
		win->out_at = 0;
	}
	if (win->ending && win->stdin_fd >= 0)
		close_stdin(w);
}

static void on_writable(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop;
	(void)events;
	process_flush(io->data);
}

void process_give(struct worker *w, struct run *r)
{
	int64_t redis_now_ms = connection_redis_now_ms(w->conn);
	const struct run_facts facts = {
		.job = r->job,
		.entry = &r->entry,
		.attempt = r->attempt,
		.enqueued_ms = entry_id_time_ms(r->entry.id, redis_now_ms),
	};
	r->line_at = w->window.written_bytes + (int64_t)(w->window.out.n - w->window.out_at);
	r->began_mono_ms = w->turn_mono_ms;
	r->wait_ms = entry_wait_ms(&r->entry, redis_now_ms);
	if (payload_json(&w->window.out, &facts) < 0)
		window_decide_release(w, r, "no memory for its line");
	else
		speak_started(w, r);
}

void process_launch(struct worker *w)
{
	struct window *win = &w->window;

	win->gathering = win->ending = win->distrusted = win->timed_out = win->cancelling = win->deaf = win->mute = false;
	win->born_mono_ms = clock_mono_ms();
	win->answers = win->written_bytes = 0;
	win->read_bytes = INT64_MAX;
	w->stderr_n = 0;
	handler_start_many(win->process, win->job, win->job->mode == MODE_BATCH, &win->stdin_fd);
	if (!handler_running(win->process))
		return; /* `ended` has said why */
	ev_io_set(&win->writable, win->stdin_fd, EV_WRITE);
	for (size_t i = 0; i < win->count; i++) {
		if (win->runs[i].answered) /* by the one before: it is only not settled yet */
			continue;
		win->runs[i].handler_pid = handler_pid(win->process);
		suspend_started(w, &win->runs[i]);
		process_give(w, &win->runs[i]);
	}
	window_new_oldest(w);
}

/* It gets nothing more, and time to end by itself; then TERM, then KILL. */
void process_end(struct worker *w)
{
	struct window *win = &w->window;

	if (win->ending || !handler_running(win->process))
		return;
	win->ending = true;
	if (win->out_at == win->out.n)
		close_stdin(w);
	if (win->job->mode == MODE_PERSISTENT)
		arm(w, &win->grace, win->job->kill_grace_ms);
}

static void on_grace(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct worker *w = timer->data;
	(void)loop;
	(void)events;
	bool done = w->window.mute || (w->window.ending && window_unanswered(w) == 0);
	if (done && handler_running(w->window.process))
		handler_stop(w->window.process, END_STOPPED, w->window.job->kill_grace_ms);
}

bool process_worn_out(struct worker *w)
{
	const struct window *win = &w->window;
	const struct persistent_rules *p = &win->job->persistent;
	char path[32];
	unsigned long long pages = 0;

	if (win->deaf || (p->max_jobs > 0 && win->answers >= p->max_jobs) ||
	    (p->max_age_ms > 0 && clock_mono_ms() - win->born_mono_ms >= p->max_age_ms))
		return true;
	if (p->max_rss_bytes == 0 || !handler_running(win->process))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/statm", (int)handler_pid(win->process));
	FILE *statm = fopen(path, "re");
	if (!statm)
		return false;
	bool read = fscanf(statm, "%*u %llu", &pages) == 1;
	(void)fclose(statm);
	return read && pages * (unsigned long long)sysconf(_SC_PAGESIZE) >= (unsigned long long)p->max_rss_bytes;
}

/* ---- from it ---- */

static void decide_end(struct worker *w, struct run *r, const struct run_end *end, const struct said *said)
{
	outcome_decide(r->job, end, said, r->attempt, worker_random(), &r->outcome);
	window_decided(w, r);
}

/* A line that names no entry. Whose answer it was nobody knows, and the process may still work on what it has: it is ended before any of that
 * runs again. The only one has failed; of several each runs alone next. */
static void distrust(struct worker *w, const struct reply *reply)
{
	struct window *win = &w->window;

	if (window_unanswered(w) == 1 && !win->distrusted) {
		struct run *r = window_oldest(win);
		outcome_of_reply(r->job, reply, r->attempt, worker_random(), &r->outcome);
		r->misspoken = true;
	}
	win->distrusted = win->ending = true;
	handler_stop(win->process, END_STOPPED, win->job->kill_grace_ms);
}

static void take_reply(struct worker *w, struct reply *reply)
{
	struct window *win = &w->window;
	struct run *r = NULL;

	if (reply->id[0])
		r = window_find(win, reply->id);
	if (win->cancelling && (!r || r->cancelled))
		return; /* what it says while it is ended does not undo that; of the others it may still be said that they are done */
	if (r) {
		win->answers++;
		outcome_of_reply(r->job, reply, r->attempt, worker_random(), &r->outcome);
		run_take_result(r, &reply->result);
		window_decided(w, r);
	} else if (!reply->id[0] && win->job->mode == MODE_PERSISTENT && window_unanswered(w) > 0) {
		distrust(w, reply);
	} /* else: answered before, or not one of ours */
}

static void on_reply(void *user, struct bytes line, bool cut)
{
	struct reply reply;

	reply_parse(line, cut, &reply);
	take_reply(user, &reply);
	reply_done(&reply);
}

/* No answer will come. It has the grace to end by itself. */
static void on_mute(void *user)
{
	struct worker *w = user;

	if (w->window.job->mode != MODE_PERSISTENT)
		return;
	w->window.mute = w->window.deaf = true;
	arm(w, &w->window.grace, w->window.job->kill_grace_ms);
}

static void judge_cancelled(struct worker *w, struct run *r, const struct run_end *end)
{
	struct run_end cancelled = *end;

	cancelled.kind = r->cancelled_retry ? END_CANCELLED_RETRY : END_CANCELLED;
	decide_end(w, r, &cancelled, NULL);
}

/* Beside one that was cancelled. A batch that answers its TERM with exit 0 says that all is done. */
static void judge_bystander(struct worker *w, struct run *r, const struct run_end *end)
{
	const struct run_end done = { .kind = END_EXITED, .code = 0 };

	if (w->window.job->mode == MODE_BATCH && end->code == 0 && end->signal == 0)
		decide_end(w, r, &done, NULL);
	else
		window_decide_release(w, r, "its process was ended because another entry was cancelled");
}

static void judge_batch(struct worker *w, struct run *r, const struct run_end *end, const struct said *said)
{
	if (end->kind == END_STOPPED)
		window_decide_release(w, r, "stopped: the daemon or its worker ends");
	else
		decide_end(w, r, end, said);
}

static void judge_persistent(struct worker *w, struct run *r, const struct run_end *end, size_t unanswered)
{
	struct window *win = &w->window;
	struct run_end timeout = { .kind = END_TIMED_OUT, .code = -1, .signal = end->signal, .timeout_ms = win->job->timeout_ms };
	bool started = end->kind == END_EXITED || end->kind == END_SIGNALLED || end->kind == END_TIMED_OUT;

	if (r->overdue && !never_read(win, r)) /* it may have been answered after all, while its process was being ended */
		decide_end(w, r, &timeout, NULL);
	else if (r->misspoken)
		window_decided(w, r);
	else if (win->stopped)
		window_decide_release(w, r, "stopped: the daemon or its worker ends");
	else if ((started || r->overdue || win->mute) && never_read(win, r))
		window_decide_release(w, r, "its process ended before it read it");
	else if (win->timed_out || win->distrusted || ((started || win->mute) && unanswered > 1))
		window_decide_release(w, r, "its process ended with several entries unanswered: it runs alone next");
	else if (end->kind == END_EXITED && end->code == 0 && end->signal == 0) {
		outcome_no_reply(r->job, "the process ended without an answer", r->attempt, worker_random(), &r->outcome);
		window_decided(w, r);
	} else if (win->mute && !started) {
		outcome_no_reply(r->job, "the process closed descriptor 3 without an answer", r->attempt, worker_random(), &r->outcome);
		window_decided(w, r);
	} else {
		decide_end(w, r, end, NULL);
	}
}

static void on_ended(void *user, const struct run_end *end, struct said *said, struct bytes tail, const struct handler_usage *usage)
{
	struct worker *w = user;
	struct window *win = &w->window;
	size_t unanswered = window_unanswered(w);
	(void)usage;

	close_stdin(w);
	ev_timer_stop(w->loop, &win->grace);
	ev_timer_stop(w->loop, &win->timeout);
	w->stderr_n = tail.n < sizeof(w->stderr_tail) ? tail.n : sizeof(w->stderr_tail);
	memcpy(w->stderr_tail, tail.p + (tail.n - w->stderr_n), w->stderr_n);
	for (size_t i = 0; i < win->count; i++) {
		struct run *r = &win->runs[i];
		if (r->answered)
			continue;
		if (r->cancelled)
			judge_cancelled(w, r, end);
		else if (win->cancelling)
			judge_bystander(w, r, end);
		else if (win->job->mode == MODE_BATCH)
			judge_batch(w, r, end, said);
		else
			judge_persistent(w, r, end, unanswered);
	}
	win->ending = win->gathering = win->timed_out = win->distrusted = win->stopped = win->cancelling = false;
	if (w->run->stage != RUN_HANDLER)
		slot_set_handler(w->slot, 0, 0);
	worker_step(w);
}

static struct event_about about(struct worker *w)
{
	struct window *win = &w->window;
	struct run *r = window_oldest(win);

	if (r && window_unanswered(w) == 1)
		return speak_about(w, r);
	return (struct event_about){ .worker = w->name,
				     .job = win->job->name,
				     .stream = win->job->stream,
				     .group = win->job->group,
				     .pid = handler_pid(win->process) };
}

static void on_line(void *user, int fd, struct bytes line, bool cut)
{
	struct worker *w = user;
	struct event_about whose = about(w);
	event(w->log, JOB_OUTPUT, &whose, F_I64("fd", fd), F_BYTES("line", line), F_BOOL("cut", cut));
}

static void on_dropped(void *user, int64_t lines, int64_t bytes)
{
	struct worker *w = user;
	struct event_about whose = about(w);
	tally_add(&board_header(w->board)->output_dropped, (uint64_t)lines);
	event(w->log, LOG_DROPPED, &whose, F_I64("count", lines), F_I64("bytes", bytes), F_TEXT("why", "the handler writes too fast"));
}

static void on_progress(void *user, int64_t progress, struct bytes status)
{
	struct worker *w = user;
	slot_set_progress(w->slot, progress, status);
}

static void on_undying(void *user, const char *why)
{
	struct worker *w = user;
	struct event_about whose = about(w);
	speak_undying(w, &whose, why);
}

/* ---- time ---- */

static void on_timeout(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct worker *w = timer->data;
	struct window *win = &w->window;
	(void)loop;
	(void)events;
	struct run *oldest = window_oldest(win);
	if (!oldest || !handler_running(win->process))
		return;
	oldest->overdue = true;
	win->timed_out = win->ending = true;
	close_stdin(w);
	handler_stop(win->process, END_TIMED_OUT, win->job->kill_grace_ms);
}

void process_cancel(struct worker *w, struct run *r, enum end_kind kind)
{
	struct window *win = &w->window;

	r->cancelled = true;
	r->cancelled_retry = kind == END_CANCELLED_RETRY;
	win->cancelling = win->ending = true;
	close_stdin(w);
	handler_stop(win->process, kind, win->job->kill_grace_ms);
}

int process_init(struct worker *w)
{
	static const struct handler_callbacks callbacks = {
		.line = on_line,
		.dropped = on_dropped,
		.progress = on_progress,
		.reply = on_reply,
		.mute = on_mute,
		.undying = on_undying,
		.ended = on_ended,
	};
	struct window *win = &w->window;

	win->process = handler_new(w->loop, &callbacks, w, environ);
	if (!win->process)
		return -ENOMEM;
	handler_use_group(win->process, &w->group_home, "process");
	handler_use_home(win->process, &w->cpu_home);
	handler_pair(w->handler, win->process);
	ev_init(&win->writable, on_writable);
	ev_init(&win->timeout, on_timeout);
	ev_init(&win->grace, on_grace);
	win->writable.data = win->timeout.data = win->grace.data = w;
	return 0;
}
