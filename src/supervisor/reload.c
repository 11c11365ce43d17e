/* SIGHUP. The file is read again: a wrong one is refused with all of its errors, and the old configuration goes on. A right one becomes a new
 * generation: first the reaper takes it over (queues that are new are claimed and get their groups), then the workers: those of pools that are the same
 * stay as they are, the others end after what they run, and are replaced at once. A handler that runs is never touched. Either way suspended jobs
 * are tried again at once, for a reload is what people do after they repaired a script. */
#include "supervisor/state.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/privacy.h"

enum { TAKE_OVER_LIMIT_MS = 2000 }; /* for the reaper; queues that are not ready then stay paused until they are */

static void done(struct supervisor *s)
{
	s->reloading = false;
	ev_timer_stop(s->loop, &s->reload_timer);
	atomic_store(&s->calm, s->ready && !s->until_empty && !notify_wanted());
	notify_ready(s);
}

static void refused(struct supervisor *s, const struct buf *report)
{
	struct bytes errors = buf_bytes(report);
	while (errors.n > 0 && errors.p[errors.n - 1] == '\n')
		errors.n--;
	size_t first = 0;
	while (first < errors.n && errors.p[first] != '\n')
		first++;
	snprintf(s->reload_error, sizeof(s->reload_error), "%.*s%s", (int)first, errors.p ? errors.p : "", first < errors.n ? " (and more)" : "");
	s->reloads_refused++;
	event(s->log, DAEMON_RELOAD_REFUSED, NULL, F_TEXT("file", s->config->file), F_BYTES("errors", errors));
	done(s);
}

/* 0 with both, or < 0 with what is wrong in the report. */
static int read_again(struct supervisor *s, struct config_source **ret_source, struct config **ret_config, struct buf *report)
{
	struct config_source *source = NULL;
	int r = config_source_read(s->config->file, &source, report);
	if (r == 0)
		r = config_load(source, ret_config, report);
	if (r != 0) {
		config_source_free(source);
		return r;
	}
	generation_fixed_keys(s->config, *ret_config, report);
	(void)!config_rights(source, *ret_config, report);
	if (report->n > 0) {
		config_free(TAKE(*ret_config));
		config_source_free(source);
		return -EINVAL;
	}
	if (config_has_secret(*ret_config))
		privacy_set(true); /* and it stays so: what was known once may still be in memory */
	*ret_source = source;
	return 0;
}

static int more_figures(struct supervisor *s, size_t queues)
{
	struct queue_gauges *gauges = calloc(queues + 1, sizeof(*gauges));
	int64_t *seen = calloc(queues + 1, sizeof(*seen));

	if (!gauges || !seen) {
		free(gauges);
		free(seen);
		return -ENOMEM;
	}
	free(s->gauges);
	free(s->empty_seen_ms);
	s->gauges = gauges;
	s->empty_seen_ms = seen;
	s->empty_looks = 0;
	return 0;
}

/* Rows of generations before this one belong to nobody. */
static uint64_t free_rows_before(struct supervisor *s)
{
	uint64_t oldest = slots_sweep(s), reaper = reaper_generation(s->reaper, false);
	return reaper_lingers(s->reaper) ? 0 : oldest < reaper ? oldest : reaper;
}

/* From here on this is the configuration. */
static int begin(struct supervisor *s, struct config *fresh, const struct config_source *source)
{
	const struct board_rows rows = { fresh->jobs, fresh->job_count, fresh->queues, fresh->queue_count };
	struct generation *g = NULL;
	bool same_target = generation_same_target(&s->config->redis, &fresh->redis);

	int r = generation_new(fresh, source, s->gen->number + 1, &g);
	if (r < 0)
		return r;
	r = board_assign(s->board, &rows, g->number, free_rows_before(s), true);
	if (r == 0)
		r = more_figures(s, fresh->queue_count);
	if (r < 0) {
		(void)!board_bind(s->board, &(struct board_rows){ s->config->jobs, s->config->job_count, s->config->queues, s->config->queue_count });
		g->config = NULL; /* stays the caller's */
		generation_free(g);
		return r;
	}
	g->older = s->gen;
	s->gen = g;
	s->config = fresh;
	if (!same_target)
		s->target_from = g->number;
	s->reloading = true;
	atomic_store(&s->calm, false);
	reaper_reload(s->reaper, fresh, same_target ? NULL : &fresh->redis, g->number);
	ev_now_update(s->loop);
	ev_timer_set(&s->reload_timer, TAKE_OVER_LIMIT_MS / 1000., 0.);
	ev_timer_start(s->loop, &s->reload_timer);
	return 0;
}

static void start(struct supervisor *s)
{
	AUTO_BUF report = { 0 };
	struct config_source *source = NULL;
	struct config *fresh = NULL;

	s->reload_wanted = false;
	s->reload_mono_ms = clock_mono_ms();
	if (read_again(s, &source, &fresh, &report) != 0) {
		refused(s, &report);
		return;
	}
	int r = begin(s, fresh, source);
	config_source_free(source);
	if (r < 0) {
		config_free(fresh);
		buf_addf(&report, "%s: cannot be taken over: %s", s->config->file, strerror(-r));
		refused(s, &report);
	}
}

/* The reaper is ready for it, or will be: now the workers. */
static void change_workers(struct supervisor *s)
{
	struct slot_changes changes;
	const struct config *c = s->config;

	int r = slots_change(s, s->gen->older, &changes);
	if (r < 0) {
		event(s->log, DAEMON_FAILED, NULL, F_TEXT("why", "the workers of the new configuration cannot be made: the old ones go on"),
		      F_TEXT("error", strerror(-r)), F_TEXT("advice", "restart xackd"));
		done(s);
		return;
	}
	log_change(s->log, (enum log_style)c->log_format, (enum event_level)c->log_level);
	s->reload_error[0] = '\0';
	event(s->log, DAEMON_RELOADED, NULL, F_TEXT("version", PACKAGE_VERSION), F_I64("generation", (int64_t)s->gen->number),
	      F_I64("kept", (int64_t)changes.kept), F_I64("replaced", (int64_t)changes.replaced), F_I64("added", (int64_t)changes.added),
	      F_I64("removed", (int64_t)changes.removed), F_I64("workers", (int64_t)c->slot_count), F_I64("jobs", (int64_t)c->job_count),
	      F_I64("queues", (int64_t)c->queue_count), F_I64("duration_ms", clock_mono_ms() - s->reload_mono_ms));
	(void)admin_resume(s, NULL, "reload", NULL);
	s->reloads++;
	metrics_change(s);
	done(s);
}

static void on_limit(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	struct supervisor *s = timer->data;
	if (s->reloading)
		change_workers(s);
	reload_look(s);
}

void reload_init(struct supervisor *s)
{
	ev_init(&s->reload_timer, on_limit);
	s->reload_timer.data = s;
}

void reload_look(struct supervisor *s)
{
	if (s->stopping)
		return;
	if (s->reloading && reaper_generation(s->reaper, true) >= s->gen->number)
		change_workers(s);
	uint64_t oldest = slots_sweep(s);
	if (oldest != s->oldest_told) {
		s->oldest_told = oldest;
		reaper_workers_since(s->reaper, oldest);
	}
	generations_sweep(s, oldest);
	if (s->reload_wanted && s->ready && !s->reloading)
		start(s);
}

void reload_cancel(struct supervisor *s)
{
	s->reloading = s->reload_wanted = false;
	ev_timer_stop(s->loop, &s->reload_timer);
}

/* Before the daemon is ready, and while another reload is under way, it waits. */
void reload(struct supervisor *s)
{
	if (s->stopping)
		return;
	notify_reloading();
	s->reload_wanted = true;
	reload_look(s);
}
