/* Ending: drain (TERM), fast stop (INT), retirement after a reload (USR1), and the supervisor's death (the lifeline's end). A worker that waits in a read simply ends: the
 * reaper kills its connection and gives back what may still have been delivered to it. */
#include "worker/state.h"

#include <errno.h>
#include <signal.h>

#include "worker/worker.h"

enum { STOP_MARGIN_MS = 3 * 1000 }; /* for settling after the handler was killed; the supervisor waits 5 s */

static void start_timer(struct worker *w, ev_timer *timer, int64_t after_ms)
{
	ev_timer_stop(w->loop, timer);
	ev_now_update(w->loop);
	ev_timer_set(timer, (double)after_ms / 1000.0, 0.);
	ev_timer_start(w->loop, timer);
}

static int64_t grace_ms(const struct worker *w)
{
	int64_t grace = w->run->job ? w->run->job->kill_grace_ms : 0;
	int64_t more = w->window.job ? 2 * w->window.job->kill_grace_ms : 0; /* its stdin is closed first */
	return grace > more ? grace : more;
}

static void on_handler_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct worker *w = timer->data;
	(void)loop;
	(void)events;
	if (w->run->stage == RUN_HANDLER && handler_running(w->handler))
		handler_stop(w->handler, END_STOPPED, grace_ms(w));
	window_stop(w, END_STOPPED);
	worker_step(w);
}

static void on_hard_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct worker *w = timer->data;
	(void)events;
	handler_kill_now(w->handler);
	window_kill(w);
	acks_tell(w, true);
	w->exit_code = WORKER_EXIT_UNSETTLED;
	ev_break(loop, EVBREAK_ALL);
}

static void stop_within(struct worker *w, int64_t limit_ms)
{
	w->stopping = true;
	w->retiring = false;
	start_timer(w, &w->stop_handler, limit_ms);
	start_timer(w, &w->stop_hard, limit_ms + grace_ms(w) + STOP_MARGIN_MS);
	worker_step(w);
}

static void on_term(struct ev_loop *loop, ev_signal *signal_watcher, int events)
{
	struct worker *w = signal_watcher->data;
	(void)loop;
	(void)events;
	if (!w->stopping || w->retiring)
		stop_within(w, w->config->drain_timeout_ms);
}

/* Of an older generation: nothing more is fetched, and the handler has all the time it wants. */
static void on_usr1(struct ev_loop *loop, ev_signal *signal_watcher, int events)
{
	struct worker *w = signal_watcher->data;
	(void)loop;
	(void)events;
	if (w->stopping)
		return;
	w->stopping = w->retiring = true;
	worker_step(w);
}

static void on_int(struct ev_loop *loop, ev_signal *signal_watcher, int events)
{
	(void)loop;
	(void)events;
	stop_within(signal_watcher->data, 0);
}

static void on_lifeline(struct ev_loop *loop, ev_io *io, int events)
{
	struct worker *w = io->data;
	(void)events;
	/* Nobody would look after the handler or after us: both end now; the next life releases the entry. */
	handler_kill_now(w->handler);
	window_kill(w);
	w->exit_code = WORKER_EXIT_UNSETTLED;
	ev_break(loop, EVBREAK_ALL);
}

int stop_init(struct worker *w)
{
	ev_init(&w->stop_handler, on_handler_time);
	ev_init(&w->stop_hard, on_hard_time);
	ev_signal_init(&w->sig_term, on_term, SIGTERM);
	ev_signal_init(&w->sig_int, on_int, SIGINT);
	ev_signal_init(&w->sig_usr1, on_usr1, SIGUSR1);
	ev_io_init(&w->lifeline, on_lifeline, WORKER_FD_LIFELINE, EV_READ);
	w->stop_handler.data = w->stop_hard.data = w;
	w->sig_term.data = w->sig_int.data = w->sig_usr1.data = w->lifeline.data = w;
	ev_set_priority(&w->sig_term, EV_MAXPRI); /* before a handler's end of the same turn, after which the next entry would be fetched */
	ev_set_priority(&w->sig_usr1, EV_MAXPRI);
	ev_signal_start(w->loop, &w->sig_term);
	ev_signal_start(w->loop, &w->sig_int);
	ev_signal_start(w->loop, &w->sig_usr1);
	ev_io_start(w->loop, &w->lifeline);
	sigset_t heard; /* the supervisor had them blocked until somebody listens */
	sigemptyset(&heard);
	sigaddset(&heard, SIGTERM);
	sigaddset(&heard, SIGINT);
	sigaddset(&heard, SIGUSR1);
	return sigprocmask(SIG_UNBLOCK, &heard, NULL) < 0 ? -errno : 0;
}

bool stop_finished(struct worker *w)
{
	if (!w->stopping || w->run->stage != RUN_NONE || w->acks.count > 0 || w->ahead.count > 0 || w->surplus.count > 0 || window_busy(w) || !window_stopped(w))
		return false;
	ev_break(w->loop, EVBREAK_ALL);
	return true;
}
