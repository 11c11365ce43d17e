/* What a worker says: the events of one entry's life, and each job's summary every ten seconds with work. */
#include "worker/state.h"

#include <errno.h>

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"

enum { SUMMARY_EVERY_S = 10 };

struct event_about speak_about(const struct worker *w, const struct run *r)
{
	struct event_about a = { .worker = w->name };
	if (!r || r->stage == RUN_NONE)
		return a;
	a.job = r->job ? r->job->name : NULL;
	a.stream = r->queue->def->stream;
	a.group = r->queue->def->group;
	a.id = r->entry.id;
	a.attempt = r->attempt;
	a.pid = r->handler_pid;
	return a;
}

/* ---- summaries ---- */

static void add_histogram(struct buf *b, const struct histogram *h)
{
	static const struct {
		const char *name;
		double quantile;
	} points[] = { { "p50", 0.5 }, { "p95", 0.95 }, { "p99", 0.99 } };

	buf_clear(b);
	if (h->count == 0) { /* nothing succeeded: no figure, not a wrong one */
		buf_add_text(b, "null");
		return;
	}
	buf_add_char(b, '{');
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		json_add_name(b, points[i].name);
		json_add_i64(b, histogram_quantile(h, points[i].quantile));
	}
	json_add_name(b, "max");
	json_add_i64(b, h->max);
	buf_add_char(b, '}');
}

static void say_summary(struct worker *w, const struct job *job, struct job_numbers *n)
{
	AUTO_BUF wait = { 0 };
	AUTO_BUF duration = { 0 };
	struct event_about about = { .job = job->name, .stream = job->stream, .group = job->group, .worker = w->name };

	add_histogram(&wait, &n->wait);
	add_histogram(&duration, &n->duration);
	event(w->log, JOB_SUMMARY, &about, F_I64("succeeded", (int64_t)n->succeeded), F_I64("failed", (int64_t)n->failed),
	      F_I64("retried", (int64_t)n->retried), F_I64("later", (int64_t)n->later), F_I64("dead", (int64_t)n->dead),
	      F_I64("released", (int64_t)n->released), F_JSON("wait_ms", buf_bytes(&wait)), F_JSON("duration_ms", buf_bytes(&duration)));
}

void speak_summary(struct worker *w)
{
	for (size_t i = 0; i < w->config->job_count; i++) {
		if (!w->numbers[i])
			continue;
		say_summary(w, &w->config->jobs[i], w->numbers[i]);
		free(TAKE(w->numbers[i])); /* a job without work costs nothing until it has some again */
	}
}

static void on_summary(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	speak_summary(timer->data);
}

static struct job_numbers *numbers(struct worker *w, const struct run *r)
{
	struct job_numbers **n = r->job ? &w->numbers[r->job->index] : NULL;

	if (n && !*n)
		*n = calloc(1, sizeof(**n));
	if (n && *n && !ev_is_active(&w->summary)) {
		ev_timer_set(&w->summary, SUMMARY_EVERY_S, 0.);
		ev_timer_start(w->loop, &w->summary);
	}
	return n && *n ? *n : &w->nowhere;
}

int speak_init(struct worker *w)
{
	w->numbers = calloc(w->config->job_count, sizeof(struct job_numbers *));
	if (!w->numbers)
		return -ENOMEM;
	ev_init(&w->summary, on_summary);
	w->summary.data = w;
	return 0;
}

/* ---- for the metrics ---- */

static void count_outcome(struct worker *w, const struct run *r, enum tally_outcome outcome)
{
	struct job_state *s = r->job ? board_job(w->board, r->job->index) : NULL;

	if (s)
		tally_add(&s->tally.outcome[outcome], 1);
}

/* A handler ended. */
static void count_times(struct worker *w, const struct run *r)
{
	struct job_state *s = r->job ? board_job(w->board, r->job->index) : NULL;

	if (!s)
		return;
	tally_time(&s->tally.run, r->usage.duration_ms);
	if (r->attempt == 1 && r->wait_ms >= 0)
		tally_time(&s->tally.wait, r->wait_ms);
}

static void count_success(struct worker *w, const struct run *r)
{
	struct fresh *f = &w->fresh;

	if (f->job != r->job)
		speak_before_sleep(w);
	f->job = r->job;
	f->succeeded++;
	f->run[tally_bucket(r->usage.duration_ms)]++;
	f->run_sum_ms += r->usage.duration_ms > 0 ? (uint64_t)r->usage.duration_ms : 0;
	if (r->attempt == 1 && r->wait_ms >= 0) {
		f->wait[tally_bucket(r->wait_ms)]++;
		f->wait_sum_ms += (uint64_t)r->wait_ms;
	}
	if (!r->job || r->job->mode == MODE_EXEC)
		speak_before_sleep(w); /* at once: the next handler may be this worker's end, and one more addition is nothing beside it */
}

static void add_times(struct tally_histogram *h, const uint64_t fresh[TALLY_BUCKETS], uint64_t sum_ms)
{
	for (size_t i = 0; i < TALLY_BUCKETS; i++) {
		if (fresh[i] > 0)
			tally_add(&h->bucket[i], fresh[i]);
	}
	if (sum_ms > 0)
		tally_add(&h->sum_ms, sum_ms);
}

void speak_before_sleep(struct worker *w)
{
	struct fresh *f = &w->fresh;
	struct job_state *s = f->job ? board_job(w->board, f->job->index) : NULL;

	if (!f->job)
		return;
	atomic_fetch_add(&w->slot->counters.done, f->succeeded);
	if (s) {
		tally_add(&s->tally.outcome[TALLY_SUCCEEDED], f->succeeded);
		add_times(&s->tally.run, f->run, f->run_sum_ms);
		add_times(&s->tally.wait, f->wait, f->wait_sum_ms);
	}
	*f = (struct fresh){ 0 };
}

static void count_failed(struct worker *w, const struct run *r)
{
	struct job_state *s = r->job ? board_job(w->board, r->job->index) : NULL;

	count_times(w, r);
	if (s)
		tally_add(&s->tally.failed[r->outcome.reason], 1);
}

static struct queue_tally *queue_tally(struct worker *w, const struct run *r)
{
	return &board_queue(w->board, r->queue->index)->tally;
}

/* ---- one entry ---- */

void speak_started(struct worker *w, const struct run *r)
{
	if (!log_wants(w->log, JOB_STARTED))
		return;
	struct event_about about = speak_about(w, r);
	/* Told here as well: whoever recovered it may have died before it could say so. */
	const struct event_field after = F_TEXT("after", reason_name(REASON_WORKER_LOST));
	const struct event_field nothing = F_SKIP();
	event(w->log, JOB_STARTED, &about, F_I64_OR_NULL("wait_ms", r->wait_ms, -1), F_I64("delivery", r->entry.delivery),
	      run_last_was_lost(&r->entry) ? after : nothing);
}

void speak_failed(struct worker *w, const struct run *r)
{
	struct event_about about = speak_about(w, r);
	atomic_fetch_add(&w->slot->counters.failed, 1);
	count_failed(w, r);
	numbers(w, r)->failed++;
	event(w->log, JOB_FAILED, &about, F_TEXT("reason", reason_name(r->outcome.reason)), F_TEXT("detail", r->outcome.detail),
	      F_I64_UNLESS("exit", r->outcome.code, -1), F_I64_UNLESS("signal", r->outcome.signal, 0),
	      F_I64("duration_ms", r->usage.duration_ms), F_BYTES("stderr", ((struct bytes){ w->stderr_tail, w->stderr_n })));
}

static void say_succeeded(struct worker *w, const struct run *r, const struct event_about *about)
{
	struct job_numbers *n = numbers(w, r);
	int64_t total = r->wait_ms < 0 ? -1 : r->wait_ms + r->usage.duration_ms;

	count_success(w, r);
	n->succeeded++;
	histogram_add(&n->duration, r->usage.duration_ms);
	if (r->wait_ms >= 0)
		histogram_add(&n->wait, r->wait_ms);
	if (r->job->success == SUCCESS_SUMMARY)
		return;
	event(w->log, JOB_SUCCEEDED, about, F_I64("duration_ms", r->usage.duration_ms), F_I64_OR_NULL("wait_ms", r->wait_ms, -1),
	      F_I64_OR_NULL("total_ms", total, -1), F_I64("user_ms", r->usage.user_ms), F_I64("sys_ms", r->usage.sys_ms),
	      F_I64("maxrss_kb", r->usage.maxrss_kb), F_I64_UNLESS("exit", r->outcome.code, r->outcome.code <= 0 ? r->outcome.code : -1));
}

static void say_stale(struct worker *w, const struct run *r, const struct event_about *about, const struct settle_answer *a)
{
	atomic_fetch_add(&w->slot->counters.stale, 1);
	count_outcome(w, r, TALLY_STALE);
	count_times(w, r);
	event(w->log, JOB_STALE_ACK, about, F_I64("duration_ms", r->usage.duration_ms), F_I64("delivery", r->entry.delivery),
	      F_TEXT("why", a->result == SETTLED_GONE ? "it was no longer pending" : "another had taken it over"),
	      F_TEXT("owner", a->owner[0] ? a->owner : NULL));
}

static void say_acknowledged(struct worker *w, struct run *r, const struct event_about *about, const struct settle_answer *a)
{
	if (r->outcome.reason == REASON_NO_JOB) {
		tally_add(&queue_tally(w, r)->unmatched, 1);
		event(w->log, JOB_UNMATCHED, about, F_TEXT("why", r->outcome.detail));
	} else if (a->result == SETTLED) {
		say_succeeded(w, r, about);
	} else {
		say_stale(w, r, about, a);
	}
}

static void say_dead(struct worker *w, const struct run *r, const struct event_about *about, const struct settle_answer *a)
{
	atomic_fetch_add(&w->slot->counters.dead, 1);
	count_outcome(w, r, TALLY_DEAD);
	tally_add(&queue_tally(w, r)->dead[r->outcome.reason], 1);
	if (a->dropped > 0)
		tally_add(&queue_tally(w, r)->dead_dropped, (uint64_t)a->dropped);
	numbers(w, r)->dead++;
	event(w->log, JOB_DEAD, about, F_TEXT("reason", reason_name(r->outcome.reason)), F_TEXT("detail", r->outcome.detail),
	      F_I64("attempts", r->attempt), F_TEXT("dead_id", a->dead_id[0] ? a->dead_id : NULL));
	if (a->dropped > 0)
		event(w->log, DEAD_DROPPED, (&(struct event_about){ .stream = about->stream, .group = about->group, .worker = w->name }),
		      F_I64("count", a->dropped));
}

static void say_parked(struct worker *w, const struct run *r, const struct event_about *about, const struct settle_answer *a)
{
	int64_t due = a->due_ms > 0 ? a->due_ms : connection_redis_now_ms(w->conn) + r->outcome.delay_ms;

	if (r->outcome.verdict == VERDICT_RETRY) {
		atomic_fetch_add(&w->slot->counters.retried, 1);
		count_outcome(w, r, TALLY_RETRIED);
		numbers(w, r)->retried++;
		event(w->log, JOB_RETRY, about, F_I64("due_ms", due), F_I64("delay_ms", r->outcome.delay_ms));
	} else if (r->outcome.verdict == VERDICT_LATER) {
		atomic_fetch_add(&w->slot->counters.later, 1);
		count_outcome(w, r, TALLY_LATER);
		numbers(w, r)->later++;
		event(w->log, JOB_LATER, about, F_I64("due_ms", due), F_I64("delay_ms", r->outcome.delay_ms));
	} else {
		atomic_fetch_add(&w->slot->counters.released, 1);
		count_outcome(w, r, TALLY_RELEASED);
		numbers(w, r)->released++;
		event(w->log, JOB_RELEASED, about, F_TEXT("why", r->outcome.detail), F_I64("due_ms", due));
	}
}

void speak_settled(struct worker *w, struct run *r, const struct settle_answer *answer)
{
	struct event_about about = speak_about(w, r);

	switch (r->settle) {
	case SETTLE_XACK:
	case SETTLE_ACK:
		say_acknowledged(w, r, &about, answer);
		break;
	case SETTLE_PARK:
	case SETTLE_RELEASE:
		say_parked(w, r, &about, answer);
		break;
	case SETTLE_BURY:
		say_dead(w, r, &about, answer);
		break;
	}
}

void speak_result_dropped(struct worker *w, const struct run *r, const char *why)
{
	struct event_about about = speak_about(w, r);
	event(w->log, JOB_RESULT_DROPPED, &about, F_TEXT("why", why), F_I64_UNLESS("bytes", (int64_t)r->result.n, 0));
}

void speak_lease_lost(struct worker *w, const struct run *r, const char *owner, int64_t delivery)
{
	struct event_about about = speak_about(w, r);
	if (r->job)
		tally_add(&board_job(w->board, r->job->index)->tally.leases_lost, 1);
	event(w->log, JOB_LEASE_LOST, &about, F_I64("delivery", r->entry.delivery), F_TEXT("owner", owner && *owner ? owner : NULL),
	      F_I64_UNLESS("owner_delivery", delivery, 0));
}

void speak_undying(struct worker *w, const struct event_about *about, const char *why)
{
	event(w->log, DAEMON_WARNING, about, F_TEXT("why", "the handler was killed and does not die"), F_TEXT("detail", why),
	      F_TEXT("advice", "its entry stays with it until it has ended: end it by hand"));
}
