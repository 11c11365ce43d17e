/* The end, in order: workers (they let their handlers end, and release what is left), then the reaper (it gives back the name), then Redis if it is
 * ours, then the last words. Bounded at each step, so that a stop ends also when Redis is away. */
#include "supervisor/state.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/killpoint.h"

enum {
	MARGIN_MS = 5000,       /* for settling, after the last handler had to be killed */
	REAPER_LEAST_MS = 500,
	LOG_LIMIT_MS = 1000,
};

struct counts {
	uint64_t succeeded, failed, retried, later, dead, released;
};

static struct counts counts_of(struct supervisor *s)
{
	struct counts sum = { .dead = atomic_load(&board_header(s->board)->reaper_dead) };

	for (size_t i = 0; i < atomic_load(&board_header(s->board)->slot_count); i++) {
		const struct slot_counters *c = &board_slot(s->board, i)->counters;
		sum.succeeded += atomic_load(&c->done);
		sum.failed += atomic_load(&c->failed);
		sum.retried += atomic_load(&c->retried);
		sum.later += atomic_load(&c->later);
		sum.dead += atomic_load(&c->dead);
		sum.released += atomic_load(&c->released);
	}
	return sum;
}

static void add_counts(struct buf *out, const struct counts *c)
{
	buf_addf(out, "{\"succeeded\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"retried\":%" PRIu64, c->succeeded, c->failed, c->retried);
	buf_addf(out, ",\"later\":%" PRIu64 ",\"dead\":%" PRIu64 ",\"released\":%" PRIu64 "}", c->later, c->dead, c->released);
}

static int64_t longest_grace_ms(const struct supervisor *s)
{
	int64_t longest = 0;
	for (const struct generation *g = s->gen; g; g = g->older) {
		for (size_t i = 0; i < g->config->job_count; i++)
			longest = g->config->jobs[i].kill_grace_ms > longest ? g->config->jobs[i].kill_grace_ms : longest;
	}
	return longest;
}

static void on_limit(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	slots_event_all(timer->data, SLOT_EV_KILL);
}

static void limit(struct supervisor *s, int64_t within_ms)
{
	s->stop_by_mono_ms = clock_mono_ms() + within_ms;
	ev_timer_stop(s->loop, &s->stop_timer);
	ev_now_update(s->loop);
	ev_timer_init(&s->stop_timer, on_limit, (double)within_ms / 1000., 0.);
	s->stop_timer.data = s;
	ev_timer_start(s->loop, &s->stop_timer);
}

static void hurry(struct supervisor *s)
{
	limit(s, longest_grace_ms(s) + MARGIN_MS);
	slots_event_all(s, SLOT_EV_FAST);
}

static void drain(struct supervisor *s, const char *why)
{
	AUTO_BUF text = { 0 };
	struct counts counts = counts_of(s);
	int64_t within = s->config->drain_timeout_ms + longest_grace_ms(s) + MARGIN_MS;

	KILL_POINT("stop.before");
	s->stopping = true;
	reload_cancel(s);
	slots_event_all(s, SLOT_EV_STOP); /* first: who reads the event may rely on it that nothing more is fetched */
	add_counts(&text, &counts);
	event(s->log, DAEMON_STOPPING, NULL, F_TEXT("why", why), F_I64("drain_timeout_ms", s->config->drain_timeout_ms),
	      F_TEXT("version", PACKAGE_VERSION), F_JSON("counts", buf_bytes(&text)));
	notify_stopping(within + MARGIN_MS);
	ev_timer_stop(s->loop, &s->ready_timer);
	reaper_watch_figures(s->reaper, false);
	limit(s, within);
}

void supervisor_stop(struct supervisor *s, enum stop_kind kind, int exit_code, const char *why)
{
	if (exit_code != 0)
		s->exit_code = exit_code;
	if (!s->stopping)
		drain(s, why);
	if (kind == STOP_FAST)
		hurry(s);
	stop_look(s);
}

void stop_look(struct supervisor *s)
{
	if (s->stopping && slots_all_closed(s))
		ev_break(s->loop, EVBREAK_ALL);
}

static bool stop_reaper(struct supervisor *s)
{
	int64_t left = s->stop_by_mono_ms - clock_mono_ms();

	left = left < REAPER_LEAST_MS ? REAPER_LEAST_MS : left > MARGIN_MS ? MARGIN_MS : left;
	int r = reaper_stop(s->reaper, left);
	if (r < 0)
		s->exit_code = 1;
	return r == 0;
}

static void last_words(struct supervisor *s, bool all_released)
{
	AUTO_BUF text = { 0 };
	struct counts counts = counts_of(s);

	if (s->until_empty && counts.dead > 0)
		s->exit_code = 1;
	add_counts(&text, &counts);
	event(s->log, DAEMON_STOPPED, NULL, F_I64("exit", s->exit_code), F_TEXT("version", PACKAGE_VERSION),
	      F_I64("uptime_ms", clock_mono_ms() - s->started_mono_ms), F_JSON("counts", buf_bytes(&text)));
	if (!all_released)
		event(s->log, DAEMON_WARNING, NULL, F_TEXT("why", "Redis is away: what this daemon had pending is released by its next start or after the lease"));
}

void stop_finish(struct supervisor *s)
{
	metrics_stop(s);
	KILL_POINT("stop.workers");
	bool all_released = stop_reaper(s);
	KILL_POINT("stop.after");

	embedded_stop(s);
	last_words(s, all_released);
	control_server_free(TAKE(s->control));
	groups_close(s);
	runtime_close(s, all_released);
	log_drain(s->log, LOG_LIMIT_MS);
}
