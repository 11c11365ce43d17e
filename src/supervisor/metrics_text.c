/* The metrics themselves. Everything comes from the scoreboard and from the reaper's last look at the queues,
 * so writing them asks nobody and waits for nobody; who reads them often makes the reaper look a little more
 * often, never more than every five seconds. Labels are names of the configuration and words of ours: nothing
 * that an entry brings is in here. */
#include "supervisor/state.h"

#include "base/clock.h"
#include "base/openmetrics.h"
#include "domain/entry.h"

enum { FIGURES_AGE_MS = 5000 };

static uint64_t count_of(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- the daemon ---- */

static void one(struct openmetrics *m, const char *name, enum metric_type type, uint64_t value,
		const char *help)
{
	metric_family(m, name, type, help);
	metric_count(m, NO_LABELS, value);
}

static void write_daemon(struct supervisor *s, struct openmetrics *m)
{
	const struct board_header *h = board_header(s->board);

	metric_family(m, "xackd_build", METRIC_INFO, "The version that runs.");
	metric_count(m, LABELS({ "version", PACKAGE_VERSION }), 1);
	metric_family(m, "xackd_start_time_seconds", METRIC_GAUGE, "When the daemon started, Unix time.");
	metric_seconds(m, NO_LABELS, h->started_wall_ms);
	one(m, "xackd_redis_connected", METRIC_GAUGE, atomic_load(&h->redis_connected) != 0,
	    "1 while Redis answers.");
	metric_family(m, "xackd_config_reloads", METRIC_COUNTER, "Reloads of the configuration.");
	metric_count(m, LABELS({ "result", "accepted" }), s->reloads);
	metric_count(m, LABELS({ "result", "refused" }), s->reloads_refused);
	one(m, "xackd_config_last_reload_successful", METRIC_GAUGE, s->reload_error[0] == '\0',
	    "0 while a wrong configuration stands in the file.");
	metric_family(m, "xackd_log_dropped_lines", METRIC_COUNTER,
		      "Lines that were dropped: of a log whose reader is too slow, of handlers that write "
		      "too fast.");
	metric_count(m, LABELS({ "from", "log" }), log_dropped(s->log));
	metric_count(m, LABELS({ "from", "handler" }), count_of(&h->output_dropped));
}

/* ---- workers ---- */

static void write_pool(struct supervisor *s, struct openmetrics *m, const struct pool *pool)
{
	uint64_t in_state[WORKER_STATE_COUNT] = { 0 };

	for (size_t i = 0; i < s->slot_count; i++) {
		const struct worker_slot *w = s->slots[i];
		uint32_t state = atomic_load(&board_slot(s->board, w->index)->state);
		if (strcmp(w->pool->name, pool->name) == 0 && state < WORKER_STATE_COUNT)
			in_state[state]++;
	}
	for (int state = 0; state < WORKER_STATE_COUNT; state++)
		metric_count(m,
			     LABELS({ "pool", pool->name },
				    { "state", state == WORKER_NONE
						       ? "down"
						       : worker_state_name((enum worker_state)state) }),
			     in_state[state]);
}

static void write_workers(struct supervisor *s, struct openmetrics *m)
{
	const struct board_header *h = board_header(s->board);
	uint64_t reconnects = count_of(&h->reaper_reconnects), renewals = 0;

	for (size_t i = 0; i < atomic_load(&h->slot_count);
	     i++) { /* of all that ever lived: a slot's counters outlive its worker */
		const struct slot_counters *c = &board_slot(s->board, i)->counters;
		reconnects += count_of(&c->reconnects);
		renewals += count_of(&c->renewals);
	}
	metric_family(m, "xackd_workers", METRIC_GAUGE, "Workers by what they do.");
	for (size_t i = 0; i < s->config->pool_count; i++) {
		if (s->config->pools[i].queue_count > 0)
			write_pool(s, m, &s->config->pools[i]);
	}
	one(m, "xackd_worker_restarts", METRIC_COUNTER, s->worker_restarts,
	    "Workers that died and were replaced.");
	one(m, "xackd_redis_reconnects", METRIC_COUNTER, reconnects,
	    "Connections to Redis that were lost and are there again, of all workers and of the daemon.");
	one(m, "xackd_lease_renewals", METRIC_COUNTER, renewals,
	    "Leases of running entries that were renewed.");
}

/* ---- jobs ---- */

/* A job in `exec` may end so; others are shown once they occur. */
static bool failure_expected(enum reason r)
{
	return r == REASON_EXIT || r == REASON_SIGNAL || r == REASON_TIMEOUT;
}

static void write_histogram(struct openmetrics *m, const struct job *job, const struct tally_histogram *h)
{
	uint64_t buckets[TALLY_BUCKETS];

	for (size_t i = 0; i < TALLY_BUCKETS; i++)
		buckets[i] = count_of(&h->bucket[i]);
	metric_histogram(m, LABELS({ "job_name", job->name }), tally_bounds_ms, TALLY_BOUNDS, buckets,
			 count_of(&h->sum_ms));
}

static void write_outcomes(struct openmetrics *m, const struct job *job, const struct job_state *state)
{
	for (int o = 0; o < TALLY_OUTCOME_COUNT; o++)
		metric_count(m,
			     LABELS({ "job_name", job->name },
				    { "outcome", tally_outcome_name((enum tally_outcome)o) }),
			     count_of(&state->tally.outcome[o]));
}

static void write_failures(struct openmetrics *m, const struct job *job, const struct job_state *state)
{
	for (int r = REASON_NONE + 1; r < REASON_COUNT; r++) {
		uint64_t n = count_of(&state->tally.failed[r]);
		if (n > 0 || failure_expected((enum reason)r))
			metric_count(
				m,
				LABELS({ "job_name", job->name }, { "reason", reason_name((enum reason)r) }),
				n);
	}
}

static void write_info(struct openmetrics *m, const struct job *job, const struct job_state *state)
{
	(void)state;
	metric_count(m,
		     LABELS({ "job_name", job->name }, { "stream", job->stream }, { "group", job->group },
			    { "pool", job->pool }),
		     1);
}

static void write_run(struct openmetrics *m, const struct job *job, const struct job_state *state)
{
	write_histogram(m, job, &state->tally.run);
}

static void write_wait(struct openmetrics *m, const struct job *job, const struct job_state *state)
{
	write_histogram(m, job, &state->tally.wait);
}

static void write_leases_lost(struct openmetrics *m, const struct job *job, const struct job_state *state)
{
	metric_count(m, LABELS({ "job_name", job->name }), count_of(&state->tally.leases_lost));
}

static void write_suspended(struct openmetrics *m, const struct job *job, const struct job_state *state)
{
	metric_count(m, LABELS({ "job_name", job->name }), atomic_load(&state->suspended) != SUSPENDED_NOT);
}

static const struct {
	const char *name;
	enum metric_type type;
	const char *help;
	void (*write)(struct openmetrics *m, const struct job *job, const struct job_state *state);
} job_families[] = {
	{ "xackd_job", METRIC_INFO, "The jobs of the configuration.", write_info },
	{ "xackd_jobs", METRIC_COUNTER, "Runs by what became of them.", write_outcomes },
	{ "xackd_job_failures", METRIC_COUNTER, "Runs that failed, by reason.", write_failures },
	{ "xackd_job_run_seconds", METRIC_HISTOGRAM, "How long handlers ran, whatever their end.",
	  write_run },
	{ "xackd_job_wait_seconds", METRIC_HISTOGRAM, "From enqueue to the start of the first attempt.",
	  write_wait },
	{ "xackd_job_leases_lost", METRIC_COUNTER, "Runs whose lease ran out while the handler ran.",
	  write_leases_lost },
	{ "xackd_job_suspended", METRIC_GAUGE, "1 while the job's command cannot be executed here.",
	  write_suspended },
};

static void write_jobs(struct supervisor *s, struct openmetrics *m)
{
	for (size_t f = 0; f < ARRAY_LEN(job_families); f++) {
		metric_family(m, job_families[f].name, job_families[f].type, job_families[f].help);
		for (size_t i = 0; i < s->config->job_count; i++)
			job_families[f].write(m, &s->config->jobs[i], board_job(s->board, i));
	}
}

/* ---- queues: what was counted here ---- */

static void write_dead(struct openmetrics *m, const struct queue *q, const struct queue_tally *t)
{
	for (int r = REASON_NONE + 1; r < REASON_COUNT; r++)
		metric_count(m,
			     LABELS({ "stream", q->stream }, { "group", q->group },
				    { "reason", reason_name((enum reason)r) }),
			     count_of(&t->dead[r]));
}

static void write_recovered(struct openmetrics *m, const struct queue *q, const struct queue_tally *t)
{
	for (int w = 0; w < TALLY_RECOVERY_COUNT; w++)
		metric_count(m,
			     LABELS({ "stream", q->stream }, { "group", q->group },
				    { "why", tally_recovery_name((enum tally_recovery)w) }),
			     count_of(&t->recovered[w]));
}

static void write_dropped(struct openmetrics *m, const struct queue *q, const struct queue_tally *t)
{
	metric_count(m, LABELS({ "stream", q->stream }, { "group", q->group }), count_of(&t->dead_dropped));
}

static void write_unmatched(struct openmetrics *m, const struct queue *q, const struct queue_tally *t)
{
	metric_count(m, LABELS({ "stream", q->stream }, { "group", q->group }), count_of(&t->unmatched));
}

static void write_vanished(struct openmetrics *m, const struct queue *q, const struct queue_tally *t)
{
	metric_count(m, LABELS({ "stream", q->stream }, { "group", q->group }), count_of(&t->vanished));
}

static void write_trimmed(struct openmetrics *m, const struct queue *q, const struct queue_tally *t)
{
	metric_count(m, LABELS({ "stream", q->stream }, { "group", q->group }), count_of(&t->trimmed));
}

static const struct {
	const char *name, *help;
	void (*write)(struct openmetrics *m, const struct queue *q, const struct queue_tally *t);
} queue_counters[] = {
	{ "xackd_dead_letters", "Dead letters that this daemon wrote, by reason.", write_dead },
	{ "xackd_dead_letters_dropped", "Dead letters that dead.maxlen removed.", write_dropped },
	{ "xackd_recovered", "Entries that were taken back from workers or hosts that died.",
	  write_recovered },
	{ "xackd_unmatched", "Entries that no job matches and that were acknowledged.", write_unmatched },
	{ "xackd_vanished", "Parked entries that somebody else acknowledged or deleted.", write_vanished },
	{ "xackd_trimmed", "Entries that retain removed from the stream.", write_trimmed },
};

/* ---- queues: what Redis says ---- */

enum { UNKNOWN = -1 };

static int64_t length_of(const struct queue_gauges *g)
{
	return g->length;
}

static int64_t waiting_of(const struct queue_gauges *g)
{
	return g->waiting;
}

static int64_t running_of(const struct queue_gauges *g)
{
	return g->pending > g->parked ? g->pending - g->parked : 0;
}

static int64_t held_of(const struct queue_gauges *g)
{
	return g->held;
}

static int64_t parked_of(const struct queue_gauges *g)
{
	return g->parked;
}

static int64_t due_of(const struct queue_gauges *g)
{
	return g->due_now;
}

static int64_t later_of(const struct queue_gauges *g)
{
	return g->later;
}

static int64_t dead_of(const struct queue_gauges *g)
{
	return g->dead;
}

static int64_t paused_of(const struct queue_gauges *g)
{
	return g->paused;
}

static int64_t age_of(const char *id, const struct queue_gauges *g)
{
	if (!*id)
		return 0;
	int64_t since = entry_id_time_ms(id, g->redis_now_ms);
	return since < 0 ? UNKNOWN : since > g->redis_now_ms ? 0 : g->redis_now_ms - since;
}

static int64_t oldest_waiting_ms(const struct queue_gauges *g)
{
	return age_of(g->oldest_waiting, g);
}

static int64_t oldest_running_ms(const struct queue_gauges *g)
{
	return age_of(g->oldest_pending, g);
}

static const struct {
	const char *name, *help;
	int64_t (*value)(const struct queue_gauges *g); /* < 0: nobody can tell */
	bool in_ms;
} queue_figures[] = {
	{ "xackd_queue_length", "Entries in the stream, done ones included.", length_of, false },
	{ "xackd_queue_waiting", "Entries that were never delivered.", waiting_of, false },
	{ "xackd_queue_running", "Entries in the hands of workers, on all hosts.", running_of, false },
	{ "xackd_queue_parked", "Entries that wait for a retry.", parked_of, false },
	{ "xackd_queue_due", "Of the parked ones: those whose time has come.", due_of, false },
	{ "xackd_queue_held", "Of the parked ones: those that wait because their job is at a limit.", held_of, false },
	{ "xackd_queue_later", "Entries that were added for later and are not due yet.", later_of, false },
	{ "xackd_queue_dead_letters", "Dead letters that are kept.", dead_of, false },
	{ "xackd_queue_paused", "1 while the queue is paused.", paused_of, false },
	{ "xackd_queue_oldest_waiting_seconds", "Age of the oldest entry that was never delivered.",
	  oldest_waiting_ms, true },
	{ "xackd_queue_oldest_running_seconds",
	  "Age, since it was enqueued, of the oldest entry in the hands of a worker.", oldest_running_ms,
	  true },
};

static void write_figure(struct supervisor *s, struct openmetrics *m, size_t figure)
{
	for (size_t i = 0; i < s->config->queue_count; i++) {
		const struct queue *q = &s->config->queues[i];
		int64_t value = queue_figures[figure].value(&s->gauges[i]);
		if (s->gauges[i].redis_now_ms == 0 || value < 0)
			continue; /* not looked at yet: no figure, not a wrong one */
		if (queue_figures[figure].in_ms)
			metric_seconds(m, LABELS({ "stream", q->stream }, { "group", q->group }), value);
		else
			metric_count(m, LABELS({ "stream", q->stream }, { "group", q->group }),
				     (uint64_t)value);
	}
}

static void write_queues(struct supervisor *s, struct openmetrics *m)
{
	for (size_t f = 0; f < ARRAY_LEN(queue_counters); f++) {
		metric_family(m, queue_counters[f].name, METRIC_COUNTER, queue_counters[f].help);
		for (size_t i = 0; i < s->config->queue_count; i++)
			queue_counters[f].write(m, &s->config->queues[i], &board_queue(s->board, i)->tally);
	}
	if (!atomic_load(&board_header(s->board)->redis_connected))
		return; /* what was true before the outage */
	(void)reaper_figures(s->reaper, s->config, FIGURES_AGE_MS, s->gauges);
	for (size_t f = 0; f < ARRAY_LEN(queue_figures); f++) {
		metric_family(m, queue_figures[f].name, METRIC_GAUGE, queue_figures[f].help);
		write_figure(s, m, f);
	}
}

void metrics_write(struct supervisor *s, bool classic, struct buf *out)
{
	struct openmetrics m = { .out = out, .classic = classic };

	write_daemon(s, &m);
	write_workers(s, &m);
	write_jobs(s, &m);
	write_queues(s, &m);
	metrics_end(&m);
}
