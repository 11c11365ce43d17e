/* The supervisor's life: what it is made of, in which order, and which event of the loop leads where. Signals come through a descriptor (they are
 * blocked in all threads), the reaper's news through ev_async, everything else is a timer that only exists while it is needed. */
#include "supervisor/state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "handler/strays.h"

enum {
	FIGURES_LIMIT_MS = 500, /* for the first look at all queues, which tells whether one is paused */
	READY_LIMIT_MS = 5000, /* for the workers' connections; after that the daemon is ready with those that have one */
	READY_POLL_MS = 20,
	LOG_POLL_MS = 100,
	LOG_POLL_MOST_MS = 5000,
	REAPER_LATE_MS = 30 * 1000,
};

/* ---- readiness ---- */

static void become_ready(struct supervisor *s)
{
	const struct event_field nothing = F_SKIP();
	const struct event_field cgroup = F_BYTES("cgroup", buf_bytes(&s->groups_path));
	const struct event_field held = F_TEXT("cgroup_limits", groups_limits(s));

	s->ready = true;
	ev_timer_stop(s->loop, &s->ready_timer);
	event(s->log, DAEMON_READY, (&(struct event_about){ .pid = getpid() }), F_TEXT("version", PACKAGE_VERSION),
	      F_I64("workers", (int64_t)s->slot_count), F_I64("jobs", (int64_t)s->config->job_count), F_I64("queues", (int64_t)s->config->queue_count),
	      s->groups_fd < 0 ? nothing : cgroup, s->groups_fd < 0 ? nothing : held);
	notify_ready(s);
	if (s->until_empty)
		reaper_watch_figures(s->reaper, true);
	else
		atomic_store(&s->calm, !notify_wanted());
	reload_look(s);
}

static void start_workers(struct supervisor *s)
{
	s->workers_started = true;
	s->ready_by_mono_ms = clock_mono_ms() + READY_LIMIT_MS;
	slots_event_all(s, SLOT_EV_START);
}

/* Workers start once the reaper has seen which queues are paused; a queue that it cannot look at does not keep the others. */
static void start_when_seen(struct supervisor *s)
{
	if (reaper_figures(s->reaper, s->config, INT64_MAX, s->gauges) || clock_mono_ms() >= s->start_by_mono_ms)
		start_workers(s);
}

static void on_ready_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct supervisor *s = timer->data;
	size_t away = slots_count_state(s, WORKER_STARTING) + slots_count_state(s, WORKER_CONNECTING) + slots_count_state(s, WORKER_NONE);
	(void)loop;
	(void)events;

	if (!s->workers_started)
		start_when_seen(s);
	else if (away == 0 || clock_mono_ms() >= s->ready_by_mono_ms)
		become_ready(s);
}

static void prepare_start(struct supervisor *s)
{
	if (!ev_is_active(&s->ready_timer)) {
		s->start_by_mono_ms = clock_mono_ms() + FIGURES_LIMIT_MS;
		s->ready_timer.repeat = READY_POLL_MS / 1000.;
		ev_now_update(s->loop);
		ev_timer_again(s->loop, &s->ready_timer);
	}
	start_when_seen(s);
}

/* ---- the reaper's news ---- */

static void refused(struct supervisor *s, const char *why)
{
	char text[256];

	reaper_refusal(s->reaper, text, sizeof(text));
	if (!s->stopping)
		event(s->log, DAEMON_REFUSED, NULL, F_TEXT("why", text));
	supervisor_stop(s, STOP_DRAIN, 1, why);
}

static void on_reaper_news(struct ev_loop *loop, ev_async *async, int events)
{
	struct supervisor *s = async->data;
	(void)loop;
	(void)events;

	switch (reaper_phase(s->reaper)) {
	case REAPER_CONNECTING:
	case REAPER_CLAIMING:
	case REAPER_STOPPED:
		break;
	case REAPER_REFUSED:
		refused(s, "the name is taken");
		break;
	case REAPER_NAME_LOST:
		refused(s, "the name was taken by another daemon meanwhile");
		break;
	case REAPER_RUNNING:
		if (!s->workers_started && !s->stopping)
			prepare_start(s);
		notify_status(s);
		hung_look(s);
		reload_look(s);
		empty_look(s);
		break;
	}
}

/* On the reaper's thread. Once all is calm the loop is only woken for what it has to do something about. */
static void reaper_notifies(void *user)
{
	struct supervisor *s = user;

	if (atomic_load(&s->calm) && reaper_phase(s->reaper) == REAPER_RUNNING && !log_pending(s->log) &&
	    !atomic_load(&board_header(s->board)->hung_suspected))
		return;
	ev_async_send(s->loop, &s->reaper_news);
}

/* ---- signals ---- */

static void on_signal(struct ev_loop *loop, ev_io *io, int events)
{
	struct supervisor *s = io->data;
	struct signalfd_siginfo info;
	(void)loop;
	(void)events;

	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD) {
			slots_reap_children(s);
			reload_look(s);
			stop_look(s);
		} else if (info.ssi_signo == SIGHUP) {
			reload(s);
		} else {
			const char *why = info.ssi_signo == SIGINT ? "SIGINT" : s->drain_asked ? "xackctl drain" : "SIGTERM";
			supervisor_stop(s, s->stopping ? STOP_FAST : STOP_DRAIN, 0, why);
		}
	}
}

static int open_signals(struct supervisor *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGUSR1, SIG_IGN); /* what tells other daemons to open their logs again must not end this one */
	(void)signal(SIGUSR2, SIG_IGN);
	(void)signal(SIGCHLD, SIG_DFL); /* were it ignored when we were started, nobody could be waited for */
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signal_fd < 0 ? -errno : 0;
}

/* ---- log and watchdog ---- */

static void on_log_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct supervisor *s = timer->data;
	(void)events;

	log_flush(s->log);
	if (!log_pending(s->log)) {
		ev_timer_stop(loop, timer);
		return;
	}
	timer->repeat = timer->repeat * 2 < LOG_POLL_MOST_MS / 1000. ? timer->repeat * 2 : LOG_POLL_MOST_MS / 1000.;
	ev_timer_again(loop, timer);
}

static void on_before_sleep(struct ev_loop *loop, ev_prepare *prepare, int events)
{
	struct supervisor *s = prepare->data;
	(void)events;

	if (!log_pending(s->log) || ev_is_active(&s->log_timer))
		return;
	s->log_timer.repeat = LOG_POLL_MS / 1000.;
	ev_timer_again(loop, &s->log_timer);
}

static void on_watchdog(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct supervisor *s = timer->data;
	const struct board_header *h = board_header(s->board);
	int64_t beat = atomic_load(&h->reaper_beat_mono_ms);
	int64_t planned = atomic_load(&h->reaper_wakes_mono_ms);
	int64_t due = planned > beat && planned != INT64_MAX ? planned : beat;
	(void)loop;
	(void)events;

	if (clock_mono_ms() - due < REAPER_LATE_MS)
		notify_alive();
}

static void start_watchdog(struct supervisor *s)
{
	double every = (double)notify_watchdog_ms() / 2000.;

	if (every <= 0)
		return;
	ev_timer_init(&s->watchdog_timer, on_watchdog, every, every);
	s->watchdog_timer.data = s;
	ev_timer_start(s->loop, &s->watchdog_timer);
}

/* ---- what it is made of ---- */

static int open_log(struct supervisor *s)
{
	const struct config *c = s->config;
	size_t size = log_shared_size();

	s->log_fd = memfd_create("xackd-log", MFD_CLOEXEC);
	if (s->log_fd < 0 || ftruncate(s->log_fd, (off_t)size) < 0)
		return -errno;
	s->log_shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, s->log_fd, 0);
	if (s->log_shared == MAP_FAILED) {
		s->log_shared = NULL;
		return -errno;
	}
	log_shared_init(s->log_shared);
	s->log = log_new(STDERR_FILENO, (enum log_style)c->log_format, (enum event_level)c->log_level, c->name, s->log_shared);
	return s->log ? 0 : -ENOMEM;
}

static int open_inheritance(struct supervisor *s)
{
	int r = generation_new(s->config, s->source, 0, &s->gen);
	if (r < 0)
		return r;
	config_source_free(TAKE(s->source));
	s->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->bell_fd < 0 || pipe2(s->lifeline, O_CLOEXEC) < 0)
		return -errno;
	return 0;
}

static int open_loop(struct supervisor *s)
{
	s->gauges = calloc(s->config->queue_count + 1, sizeof(*s->gauges));
	s->empty_seen_ms = calloc(s->config->queue_count + 1, sizeof(*s->empty_seen_ms));
	s->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV); /* the default loop would reap our children itself */
	if (!s->loop || !s->gauges || !s->empty_seen_ms)
		return -ENOMEM;
	ev_io_init(&s->signal_io, on_signal, s->signal_fd, EV_READ);
	ev_async_init(&s->reaper_news, on_reaper_news);
	ev_prepare_init(&s->before_sleep, on_before_sleep);
	ev_init(&s->log_timer, on_log_timer);
	ev_init(&s->ready_timer, on_ready_timer);
	s->signal_io.data = s->reaper_news.data = s->before_sleep.data = s->log_timer.data = s->ready_timer.data = s;
	ev_io_start(s->loop, &s->signal_io);
	ev_async_start(s->loop, &s->reaper_news);
	ev_prepare_start(s->loop, &s->before_sleep);
	reload_init(s);
	return 0;
}

static int start_reaper(struct supervisor *s)
{
	unsigned long long ticks = 0;

	(void)!fd_process_start(getpid(), &ticks);
	const struct reaper_options options = {
		.config = s->config,
		.target = &s->config->redis,
		.board = s->board,
		.log = s->log,
		.bell_fd = s->bell_fd,
		.started_ticks = ticks,
		.earlier = s->earlier,
		.earlier_count = s->earlier_count,
		.earlier_orderly = s->earlier_orderly,
		.earlier_life_over = true,
		.notify = reaper_notifies,
		.user = s,
	};
	return reaper_start(&options, &s->reaper);
}

static void start_control(struct supervisor *s)
{
	struct fault fault = { 0 };

	if (control_server_start(s->loop, s->config->control_socket, admin_answer, s, &s->control, &fault) < 0)
		event(s->log, DAEMON_WARNING, NULL, F_TEXT("why", fault.text), F_TEXT("advice", "xackctl cannot ask this daemon; see control_socket:"));
}

static int failed(struct supervisor *s, int error, const char *what)
{
	event(s->log, DAEMON_FAILED, NULL, F_TEXT("why", what), F_TEXT("error", strerror(-error)));
	return error;
}

/* 0, or < 0 after having said why. */
static int start(struct supervisor *s)
{
	int r = open_inheritance(s);
	if (r < 0)
		return failed(s, r, "no descriptors for the workers");
	r = runtime_open(s);
	if (r < 0)
		return r;
	groups_open(s);
	r = open_loop(s);
	if (r < 0)
		return failed(s, r, "the event loop cannot be made");
	r = embedded_start(s);
	if (r == 0)
		r = runtime_board(s);
	if (r < 0)
		return r;
	r = slots_init(s);
	if (r < 0)
		return failed(s, r, "no memory for the workers");
	r = start_reaper(s);
	if (r < 0)
		return failed(s, r, "the reaper cannot be started");
	start_control(s);
	metrics_change(s);
	start_watchdog(s);
	return 0;
}

static void close_all(struct supervisor *s)
{
	const int fds[] = { s->log_fd, s->bell_fd, s->lifeline[0], s->lifeline[1], s->signal_fd };

	reaper_free(s->reaper);
	slots_done(s);
	if (s->loop)
		ev_loop_destroy(s->loop);
	log_free(s->log);
	if (s->log_shared)
		(void)munmap(s->log_shared, log_shared_size());
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
	if (!s->gen)
		config_free(s->config);
	while (s->gen) {
		struct generation *g = s->gen;
		s->gen = g->older;
		generation_free(g);
	}
	config_source_free(s->source);
	free(s->gauges);
	free(s->empty_seen_ms);
	free(s);
}

int supervisor_main(const struct supervisor_options *options)
{
	struct supervisor *s = calloc(1, sizeof(*s));
	if (!s)
		return 1;
	*s = (struct supervisor){
		.config = options->config, .source = options->source, .until_empty = options->until_empty,
		.started_mono_ms = clock_mono_ms(), .exit_code = 0,
		.lock_fd = -1, .workers_lock_fd = -1, .log_fd = -1, .bell_fd = -1, .lifeline = { -1, -1 }, .signal_fd = -1, .groups_fd = -1,
	};
	strays_adopt();
	int r = open_signals(s);
	if (r == 0)
		r = open_log(s);
	if (r < 0)
		fprintf(stderr, "xackd: cannot start: %s\n", strerror(-r));
	else
		r = start(s);
	if (r == 0) {
		ev_run(s->loop, 0);
		stop_finish(s);
	} else {
		embedded_stop(s);
		groups_close(s);
		runtime_close(s, false);
		s->exit_code = 1;
	}
	int code = s->exit_code;
	close_all(s);
	return code;
}
