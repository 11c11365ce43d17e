/* One run from start to end. Running is a small state: RUNNING until someone wants it to end (the timeout, handler_stop), STOPPING after
 * TERM, KILLED after KILL; whatever happens, the end is always the same: the pidfd says that the leader is dead, the rest of its group and
 * what escaped it are killed, the pipes are read to their end, `ended` is called.
 * The leader is not reaped before its group was killed: as long as it is there, nobody else can have that number. */
#include "handler/handler.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "handler/capture.h"
#include "handler/cpu_home.h"
#include "handler/group.h"
#include "handler/input.h"
#include "handler/notify.h"
#include "handler/pipes.h"
#include "handler/plan.h"
#include "handler/refusal.h"
#include "handler/spawn.h"
#include "handler/strays.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

_Static_assert((int)HANDLER_STDERR_TAIL == (int)CAPTURE_TAIL, "the tail is handed on whole");

enum {
	NOTIFY_FD = 3,
	PACE_MS = 1000,         /* of `dropped` and `progress` */
	UNDYING_MS = 3000,
	STRAYS_LIMIT_MS = 3000, /* a process in an uninterruptible wait must not hold us for good */
	TIDY_S = 5,             /* how long an orphan of a long run may stay a zombie */
	LISTEN_AFTER_MS = 3,    /* whoever has ended by then is read at the end: to watch three pipes costs as much as a short handler's start */
};

enum phase { PHASE_IDLE, PHASE_RUNNING, PHASE_STOPPING, PHASE_KILLED };

struct handler {
	struct ev_loop *loop;
	const struct handler_callbacks *callbacks;
	void *user;
	struct spawner spawner;
	struct plan plan;
	struct group group;
	const struct cpu_home *home; /* NULL = the worker never is at one */
	struct input input;
	struct capture capture;
	struct notify notify;
	struct lines notify_lines;
	char notify_room[NOTIFY_LINE_MAX_BYTES];
	struct pipes pipes;
	ev_io exit;
	ev_timer deadline; /* RUNNING: the timeout; STOPPING: the end of the grace; KILLED: that it does not die is told */
	ev_timer pace;
	ev_timer tidy;
	ev_timer listen;
	struct handler *other; /* of the same worker, or NULL */
	bool many;             /* it is given many entries, and replies */
	enum phase phase;
	enum end_kind cause; /* END_EXITED: nobody asked for the end */
	struct spawned child;
	int64_t started_us;
	int64_t timeout_ms, kill_grace_ms;
	int64_t progress_told_ms, dropped_told_ms;
};

static void start_timer(struct handler *h, ev_timer *timer, int64_t after_ms)
{
	ev_timer_stop(h->loop, timer);
	ev_now_update(h->loop);
	ev_timer_set(timer, (double)after_ms / 1000.0, 0.);
	ev_timer_start(h->loop, timer);
}

/* ---- telling what it says, at a pace ---- */

/* True if it may be told now; else *wait_ms is how long until then, if that is sooner. */
static bool may_tell(int64_t *told_ms, int64_t now_ms, bool last, int64_t *wait_ms)
{
	int64_t left_ms = *told_ms + PACE_MS - now_ms;

	if (last || left_ms <= 0) {
		*told_ms = now_ms;
		return true;
	}
	if (*wait_ms < 0 || left_ms < *wait_ms)
		*wait_ms = left_ms;
	return false;
}

static void tell(struct handler *h, bool last)
{
	int64_t now_ms = clock_mono_ms();
	int64_t wait_ms = -1;
	int64_t lines = 0;
	int64_t bytes = 0;

	if (h->phase == PHASE_IDLE)
		return; /* a callback has ended it */
	if (h->notify.progress_news && may_tell(&h->progress_told_ms, now_ms, last, &wait_ms)) {
		h->notify.progress_news = false;
		h->callbacks->progress(h->user, h->notify.progress, (struct bytes){ h->notify.status, h->notify.status_n });
	}
	if (capture_dropping(&h->capture) && may_tell(&h->dropped_told_ms, now_ms, last, &wait_ms)) {
		capture_take_dropped(&h->capture, &lines, &bytes);
		h->callbacks->dropped(h->user, lines, bytes);
	}
	if (wait_ms >= 0 && !ev_is_active(&h->pace))
		start_timer(h, &h->pace, wait_ms);
}

static void on_pace(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	tell(timer->data, false);
}

static void on_output_line(void *user, int fd, struct bytes line, bool cut)
{
	struct handler *h = user;
	h->callbacks->line(h->user, fd, line, cut);
}

static void on_notify_line(void *user, struct bytes line, bool cut)
{
	struct handler *h = user;

	if (h->many && line.n > 0 && !notify_is_notice(line)) {
		h->callbacks->reply(h->user, line, cut);
		return;
	}
	notify_line(&h->notify, line, cut);
}

static void extend_timeout(struct handler *h)
{
	int64_t extend_ms = h->notify.extend_ms;

	h->notify.extend_ms = -1;
	if (extend_ms < 0 || h->phase != PHASE_RUNNING || h->timeout_ms == 0)
		return; /* without a timeout there is none to move */
	h->timeout_ms = (clock_mono_us() - h->started_us) / 1000 + extend_ms;
	start_timer(h, &h->deadline, extend_ms);
}

static void heard(void *user, int fd, struct bytes chunk)
{
	struct handler *h = user;

	if (fd != NOTIFY_FD) {
		capture_feed(&h->capture, fd, chunk, clock_mono_us());
	} else {
		lines_feed(&h->notify_lines, chunk, on_notify_line, h);
		extend_timeout(h);
	}
	tell(h, false);
}

static void fell_silent(void *user, int fd)
{
	struct handler *h = user;

	if (fd == NOTIFY_FD && h->many)
		h->callbacks->mute(h->user);
}

/* ---- the end ---- */

static void unwatch(struct handler *h)
{
	ev_io_stop(h->loop, &h->exit);
	ev_timer_stop(h->loop, &h->deadline);
	ev_timer_stop(h->loop, &h->pace);
	ev_timer_stop(h->loop, &h->tidy);
	ev_timer_stop(h->loop, &h->listen);
}

static void on_listen(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct handler *h = timer->data;
	(void)loop;
	(void)events;
	pipes_watch(&h->pipes);
}

static void on_tidy(struct ev_loop *loop, ev_timer *timer, int events)
{
	const struct handler *h = timer->data;
	(void)loop;
	(void)events;
	if (!h->other || h->other->phase == PHASE_IDLE) /* else its leader might be taken for an orphan */
		strays_reap(h->child.pid);
}

/* Both the group and its leader, who may have moved to another group. */
static void signal_all(struct handler *h, int number)
{
	pid_t pid = h->child.pid;

	if (kill(-pid, number) < 0 || getpgid(pid) != pid)
		(void)syscall(SYS_pidfd_send_signal, h->child.pidfd, number, NULL, 0);
}

static bool leader_is_dead(const struct handler *h)
{
	siginfo_t info = { 0 };
	int r = waitid(P_PIDFD, (id_t)h->child.pidfd, &info, WEXITED | WNOHANG | WNOWAIT);
	return r == 0 ? info.si_pid != 0 : errno == ECHILD; /* or someone else has reaped it */
}

/* Kill what it left, while its number is still its own; then let it go. */
static int reap(struct handler *h, struct rusage *ret_usage)
{
	int status = SIGKILL; /* what it would be if someone else had reaped it */

	(void)kill(-h->child.pid, SIGKILL);
	while (wait4(h->child.pid, &status, 0, ret_usage) < 0 && errno == EINTR)
		;
	(void)close(TAKE_FD(h->child.pidfd));
	bool two = h->other && h->other->phase != PHASE_IDLE;
	if (!two && strays_none())
		return status;
	group_kill(&h->group); /* all at once: nothing can fork away from it */
	(void)strays_kill(two ? &h->other->child.pid : NULL, two ? 1 : 0, STRAYS_LIMIT_MS);
	return status;
}

static struct run_end end_of(const struct handler *h, int status)
{
	struct run_end end = { .kind = h->cause, .code = -1 };

	if (WIFEXITED(status))
		end.code = WEXITSTATUS(status);
	else
		end.signal = WTERMSIG(status);
	if (h->cause == END_TIMED_OUT)
		end.timeout_ms = h->timeout_ms;
	if (h->cause == END_EXITED && end.signal != 0)
		end.kind = END_SIGNALLED;
	end.oom = end.kind <= END_SIGNALLED && end.code != 0 && group_was_out_of_memory(&h->group);
	if (h->cause == END_STOPPED && end.code == 0)
		end.kind = END_EXITED; /* it was done */
	return end;
}

static int64_t ms_of(struct timeval time)
{
	return (int64_t)time.tv_sec * 1000 + time.tv_usec / 1000;
}

/* The last call of a run. The next run may begin inside of it, so all that it is given lies here. */
static void report(struct handler *h, const struct run_end *end, const struct handler_usage *usage)
{
	char tail[CAPTURE_TAIL];
	struct bytes kept = capture_tail(&h->capture);
	struct said said = h->notify.said;

	memcpy(tail, kept.p, kept.n);
	said.result = result_take(&h->notify.said.result);
	h->callbacks->ended(h->user, end, &said, (struct bytes){ tail, kept.n }, usage);
	result_done(&said.result);
}

static void finish(struct handler *h)
{
	struct rusage rusage = { 0 };
	struct handler_usage usage = { .duration_ms = (clock_mono_us() - h->started_us) / 1000 };

	unwatch(h);
	int status = reap(h, &rusage);
	pipes_drain(&h->pipes);
	lines_end(&h->notify_lines, on_notify_line, h);
	h->many = false;
	capture_end(&h->capture, clock_mono_us());
	tell(h, true);
	unwatch(h); /* its last words may have set a deadline */
	usage.user_ms = ms_of(rusage.ru_utime);
	usage.sys_ms = ms_of(rusage.ru_stime);
	usage.maxrss_kb = rusage.ru_maxrss;
	struct run_end end = end_of(h, status);
	h->phase = PHASE_IDLE;
	report(h, &end, &usage);
}

/* A pidfd is readable once its process has ended, and not before. */
static void on_exit_event(struct ev_loop *loop, ev_io *io, int events)
{
	struct handler *h = io->data;
	(void)loop;
	if ((events & EV_ERROR) == 0 || leader_is_dead(h))
		finish(h);
}

/* ---- ending it ---- */

static void kill_all(struct handler *h)
{
	h->phase = PHASE_KILLED;
	signal_all(h, SIGKILL);
	group_kill(&h->group);
	start_timer(h, &h->deadline, UNDYING_MS);
}

static void tell_undying(struct handler *h)
{
	bool forbidden = kill(h->child.pid, 0) < 0 && errno == EPERM;

	if (h->callbacks->undying)
		h->callbacks->undying(h->user, forbidden ? "it runs as another user by now (sudo?), whom this daemon may not kill" : "it hangs in the kernel");
}

/* CONT, since a stopped process does not hear TERM. */
static void stop_all(struct handler *h, enum end_kind cause, int64_t grace_ms)
{
	h->cause = cause;
	if (grace_ms <= 0) {
		kill_all(h);
		return;
	}
	h->phase = PHASE_STOPPING;
	signal_all(h, SIGTERM);
	signal_all(h, SIGCONT);
	start_timer(h, &h->deadline, grace_ms);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct handler *h = timer->data;
	(void)loop;
	(void)events;
	if (leader_is_dead(h))
		return; /* in time: its end is the next event */
	if (h->phase == PHASE_KILLED) {
		tell_undying(h);
		return;
	}
	if (h->phase != PHASE_RUNNING) {
		kill_all(h);
		return;
	}
	/* What it said in time counts, also if both are found in the same turn of the loop. */
	pipes_read(&h->pipes, NOTIFY_FD);
	if (h->phase == PHASE_RUNNING && !ev_is_active(&h->deadline))
		stop_all(h, END_TIMED_OUT, h->kill_grace_ms);
}

void handler_stop(struct handler *h, enum end_kind kind, int64_t grace_ms)
{
	if (h->phase == PHASE_IDLE || h->child.pidfd < 0 || leader_is_dead(h))
		return; /* or it is reaped, and this is about its last words */
	if (h->phase == PHASE_RUNNING) {
		stop_all(h, kind, grace_ms);
		return;
	}
	/* The first reason stands, but what an operator asked for is not lost in a drain or behind a timeout. */
	if ((h->cause == END_STOPPED || h->cause == END_TIMED_OUT) && (kind == END_CANCELLED || kind == END_CANCELLED_RETRY))
		h->cause = kind;
	if (h->phase == PHASE_KILLED)
		return;
	if (grace_ms <= 0)
		kill_all(h);
	else if ((double)grace_ms / 1000.0 < ev_timer_remaining(h->loop, &h->deadline))
		start_timer(h, &h->deadline, grace_ms);
}

void handler_kill_now(struct handler *h)
{
	struct rusage unused;

	if (h->phase == PHASE_IDLE)
		return;
	unwatch(h);
	signal_all(h, SIGKILL);
	group_kill(&h->group);
	struct pollfd ended = { .fd = h->child.pidfd, .events = POLLIN };
	if (poll(&ended, 1, STRAYS_LIMIT_MS) > 0 && leader_is_dead(h))
		(void)reap(h, &unused);
	else
		(void)close(TAKE_FD(h->child.pidfd));
	pipes_close(&h->pipes);
	h->phase = PHASE_IDLE;
}

/* ---- the start ---- */

/* What the child gets; closed when it has them. */
static void close_ends(int ends[SPAWN_FDS])
{
	for (int i = 0; i < SPAWN_FDS; i++) {
		if (ends[i] >= 0)
			(void)close(TAKE_FD(ends[i]));
	}
}

static enum plan_answer open_ends(struct handler *h, const struct run_facts *facts, int ends[SPAWN_FDS], int *ret_stdin, struct run_end *ret_end)
{
	int r = ret_stdin ? input_open(&ends[STDIN_FILENO], ret_stdin) : input_make(&h->input, facts, &ends[STDIN_FILENO]);

	if (r == INPUT_MISSING_FIELD)
		return refusal_no_payload(ret_end, facts->job->payload_field);
	if (r < 0)
		return refusal_resources(ret_end, "stdin", -r);
	r = pipes_open(&h->pipes, facts->job->output == OUTPUT_DISCARD, h->plan.spawn.user, ends);
	if (r < 0)
		return refusal_resources(ret_end, "stdout, stderr and fd 3", -r);
	return PLAN_OK;
}

/* Someone took the group away: what it held are the process's own limits from now on. */
static int start_without_group(struct handler *h, const struct run_facts *facts, enum spawn_stage *ret_stage, struct run_end *ret_end)
{
	h->plan.held = group_prepare(&h->group, &facts->job->limits, &h->plan.spawn);
	if (plan_make(&h->plan, facts, ret_end) != PLAN_OK)
		return -ENOMEM;
	return spawn_start(&h->spawner, &h->plan.spawn, &h->child, ret_stage);
}

static enum plan_answer launch(struct handler *h, const struct run_facts *facts, int ends[SPAWN_FDS], int *ret_stdin, struct run_end *ret_end)
{
	enum spawn_stage stage = SPAWN_CLONE;

	h->plan.held = group_prepare(&h->group, &facts->job->limits, &h->plan.spawn);
	h->plan.spawn.cpus = h->home ? cpu_home_handlers(h->home) : NULL;
	if (plan_make(&h->plan, facts, ret_end) != PLAN_OK || open_ends(h, facts, ends, ret_stdin, ret_end) != PLAN_OK)
		return PLAN_REFUSED;
	memcpy(h->plan.spawn.fds, ends, sizeof(h->plan.spawn.fds));
	int r = spawn_start(&h->spawner, &h->plan.spawn, &h->child, &stage);
	if (r < 0 && stage == SPAWN_CLONE && group_failed(&h->group, -r))
		r = start_without_group(h, facts, &stage, ret_end);
	if (r == 0)
		return PLAN_OK;
	refusal_spawn(ret_end, facts->job, h->plan.spawn.path, stage, -r);
	return PLAN_REFUSED;
}

static void watch(struct handler *h)
{
	start_timer(h, &h->listen, LISTEN_AFTER_MS);
	ev_io_set(&h->exit, h->child.pidfd, EV_READ);
	ev_io_start(h->loop, &h->exit);
	ev_timer_set(&h->tidy, TIDY_S, TIDY_S);
	ev_timer_start(h->loop, &h->tidy);
	if (h->timeout_ms > 0)
		start_timer(h, &h->deadline, h->timeout_ms);
}

static void refuse(struct handler *h, const struct run_end *end)
{
	const struct handler_usage usage = { .duration_ms = (clock_mono_us() - h->started_us) / 1000 };

	pipes_close(&h->pipes);
	report(h, end, &usage);
}

static void start(struct handler *h, const struct run_facts *facts, int *ret_stdin)
{
	int ends[SPAWN_FDS] = { -1, -1, -1, -1 };
	struct run_end end = { .kind = END_NO_RESOURCES, .code = -1 };

	h->started_us = clock_mono_us();
	h->progress_told_ms = h->dropped_told_ms = h->started_us / 1000 - PACE_MS;
	h->timeout_ms = facts->job->timeout_ms;
	h->kill_grace_ms = facts->job->kill_grace_ms;
	h->cause = END_EXITED;
	h->many = ret_stdin != NULL;
	capture_begin(&h->capture, facts->job->output == OUTPUT_LOG, h->started_us);
	notify_begin(&h->notify, facts->job->mode == MODE_EXEC && facts->job->result_ttl_ms > 0);
	lines_begin(&h->notify_lines);
	enum plan_answer answer = launch(h, facts, ends, ret_stdin, &end);
	close_ends(ends);
	if (answer != PLAN_OK) {
		if (ret_stdin && *ret_stdin >= 0)
			(void)close(TAKE_FD(*ret_stdin));
		refuse(h, &end);
		return;
	}
	h->phase = PHASE_RUNNING;
	watch(h);
}

void handler_start(struct handler *h, const struct run_facts *facts)
{
	start(h, facts, NULL);
}

void handler_start_many(struct handler *h, const struct job *job, bool limited, int *ret_stdin)
{
	struct entry none = { 0 };
	const struct run_facts facts = { .job = job, .entry = &none, .enqueued_ms = -1 };

	*ret_stdin = -1;
	start(h, &facts, ret_stdin);
	if (!limited && h->phase == PHASE_RUNNING) {
		h->timeout_ms = 0;
		ev_timer_stop(h->loop, &h->deadline);
	}
}

void handler_pair(struct handler *a, struct handler *b)
{
	a->other = b;
	b->other = a;
}

/* ---- the object ---- */

void handler_use_group(struct handler *h, const struct group_home *home, const char *name)
{
	group_init(&h->group, home, name);
}

void handler_use_home(struct handler *h, const struct cpu_home *home)
{
	h->home = home;
}

bool handler_running(const struct handler *h)
{
	return h->phase != PHASE_IDLE;
}

pid_t handler_pid(const struct handler *h)
{
	return h->child.pid;
}

uint64_t handler_pid_start(const struct handler *h)
{
	unsigned long long ticks = h->child.start_ticks;

	if (ticks == 0 && fd_process_start(h->child.pid, &ticks) < 0)
		return 0;
	return ticks;
}

static void init_watchers(struct handler *h)
{
	pipes_init(&h->pipes, h->loop, heard, fell_silent, h);
	ev_init(&h->exit, on_exit_event);
	ev_init(&h->deadline, on_deadline);
	ev_init(&h->pace, on_pace);
	ev_init(&h->tidy, on_tidy);
	ev_init(&h->listen, on_listen);
	h->listen.data = h->exit.data = h->deadline.data = h->pace.data = h->tidy.data = h;
}

struct handler *handler_new(struct ev_loop *loop, const struct handler_callbacks *callbacks, void *user, char *const *inherit)
{
	struct handler *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->loop = loop;
	h->callbacks = callbacks;
	h->user = user;
	h->child.pidfd = -1;
	if (spawner_init(&h->spawner) < 0) {
		free(h);
		return NULL;
	}
	plan_init(&h->plan, inherit);
	capture_init(&h->capture, on_output_line, h);
	lines_init(&h->notify_lines, h->notify_room, NOTIFY_LINE_MAX_BYTES);
	group_init(&h->group, NULL, "");
	init_watchers(h);
	strays_adopt();
	return h;
}

void handler_free(struct handler *h)
{
	if (!h)
		return;
	handler_kill_now(h);
	if (h->other)
		h->other->other = NULL;
	plan_done(&h->plan);
	group_done(&h->group);
	input_done(&h->input);
	notify_done(&h->notify);
	spawner_done(&h->spawner);
	free(h);
}
