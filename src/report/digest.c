/* The table of what each event adds, and the few that add more than one. */
#include "report/digest.h"

#include <stdio.h>

typedef void take_fn(struct digest *t, const struct record *r);

/* ---- pieces that several events share ---- */

static struct digest_job *job_of(struct digest *t, const struct record *r)
{
	return &t->jobs[names_index(&t->job_names, r->job)];
}

static struct digest_bucket *bucket_of(struct digest *t, const struct record *r)
{
	return series_at(&t->series, r->at_ms);
}

static void count(struct digest *t, const struct record *r, enum digest_count what, uint64_t n)
{
	t->count[what] += n;
	if (what >= DIGEST_COUNT_SERIES || n == 0)
		return;
	bucket_of(t, r)->count[what] += n;
	job_of(t, r)->count[what] += n;
}

static void count_run(struct digest *t, const struct record *r, int64_t run_ms)
{
	if (run_ms < 0)
		return;
	histogram_add(&t->run, run_ms);
	histogram_add(&bucket_of(t, r)->run, run_ms);
	histogram_add(&job_of(t, r)->run, run_ms);
}

static void count_wait(struct digest *t, const struct record *r, int64_t wait_ms)
{
	if (wait_ms < 0)
		return;
	histogram_add(&t->wait, wait_ms);
	histogram_add(&bucket_of(t, r)->wait, wait_ms);
	histogram_add(&job_of(t, r)->wait, wait_ms);
}

static void count_attempt(struct digest *t, bool dead, int64_t attempt)
{
	if (attempt >= 1)
		t->attempts[dead][(attempt < DIGEST_ATTEMPTS ? attempt : DIGEST_ATTEMPTS) - 1]++;
}

static void add_text(struct buf *row, const char *name, struct bytes text, size_t most)
{
	if (text.n == 0)
		return;
	json_add_name(row, name);
	json_add_text(row, (struct bytes){ text.p, text.n < most ? text.n : most });
}

static void add_number(struct buf *row, const char *name, int64_t number)
{
	json_add_name(row, name);
	if (number < 0)
		buf_add_text(row, "null");
	else
		json_add_i64(row, number);
}

/* The beginning of a row of any list: when and what. The closing brace is the caller's. */
enum { LONGEST_NAME = 256, LONGEST_WORDS = 1024 };
static void begin_row(struct buf *row, const struct record *r)
{
	buf_add_char(row, '{');
	add_number(row, "at_ms", r->at_ms);
	add_text(row, "event", r->event, LONGEST_NAME);
	add_text(row, "host", r->host, LONGEST_NAME);
	add_text(row, "job", r->job, LONGEST_NAME);
	add_text(row, "stream", r->stream, LONGEST_NAME);
	add_text(row, "id", r->id, LONGEST_NAME);
	if (r->attempt >= 0)
		add_number(row, "attempt", r->attempt);
}

static void rank(struct top *top, const struct record *r, int64_t key, int64_t run_ms, int64_t wait_ms)
{
	if (key < 0 || !top_wants(top, key))
		return;
	AUTO_BUF row = { 0 };
	begin_row(&row, r);
	add_number(&row, "run_ms", run_ms);
	add_number(&row, "wait_ms", wait_ms);
	buf_add_char(&row, '}');
	top_add(top, key, &row);
}

static void add_said(struct buf *row, const struct record *r, const char *name)
{
	int64_t number = record_number(r, name);
	if (number != RECORD_ABSENT)
		add_number(row, name, number);
	else
		add_text(row, name, record_text(r, name), LONGEST_WORDS);
}

static void mark(struct top *top, const struct record *r, const char *const *said, size_t n)
{
	if (!top_wants(top, r->at_ms))
		return;
	AUTO_BUF row = { 0 };
	begin_row(&row, r);
	add_text(&row, "worker", r->worker, LONGEST_NAME);
	for (size_t i = 0; i < n; i++)
		add_said(&row, r, said[i]);
	buf_add_char(&row, '}');
	top_add(top, r->at_ms, &row);
}

/* ---- runs ---- */

static void take_succeeded(struct digest *t, const struct record *r)
{
	int64_t run_ms = record_number(r, "duration_ms"), wait_ms = record_number(r, "wait_ms");
	job_of(t, r)->single++;
	count_run(t, r, run_ms);
	count_wait(t, r, wait_ms);
	count_attempt(t, false, r->attempt);
	rank(&t->slowest, r, run_ms, run_ms, wait_ms);
	rank(&t->waited, r, wait_ms, run_ms, wait_ms);
}

/* An exit code or signal is one reason, whatever else a handler says about it is too much to tell apart. */
static struct digest_reason *reason_of(struct digest *t, const struct record *r)
{
	struct bytes reason = record_text(r, "reason"), detail = record_text(r, "detail");
	bool plain = bytes_eq(reason, bytes_of("exit")) || bytes_eq(reason, bytes_of("signal")) ||
		     bytes_eq(reason, bytes_of("timeout"));
	char key[NAMES_LONGEST];
	int n = snprintf(key, sizeof(key), "%.*s%c%.*s", (int)(reason.n < 40 ? reason.n : 40),
			 reason.p ? reason.p : "", '\n', plain ? (int)(detail.n < 100 ? detail.n : 100) : 0,
			 detail.p ? detail.p : "");
	struct digest_reason *row =
		&t->reasons[names_index(&t->reason_names, (struct bytes){ key, n > 0 ? (size_t)n : 0 })];
	row->job = names_index(&t->job_names, r->job);
	if (r->at_ms > row->last_ms)
		row->last_ms = r->at_ms;
	return row;
}

static struct tail_key key_of(const struct record *r)
{
	return (struct tail_key){ r->stream, r->group, r->id, r->attempt };
}

static void take_failed(struct digest *t, const struct record *r)
{
	int64_t run_ms = record_number(r, "duration_ms");
	struct digest_job *job = job_of(t, r);
	struct bytes detail = record_text(r, "detail");
	struct tail_key key = key_of(r);
	count_run(t, r, run_ms);
	rank(&t->slowest, r, run_ms, run_ms, RECORD_ABSENT);
	reason_of(t, r)->failed++;
	tails_keep(&t->tails, &key, record_text(r, "stderr"));
	if (r->at_ms >= job->failed_ms) {
		job->failed_ms = r->at_ms;
		(void)snprintf(job->failure, sizeof(job->failure), "%.*s",
			       (int)(detail.n < NAMES_LONGEST ? detail.n : NAMES_LONGEST),
			       detail.p ? detail.p : "");
	}
}

static void take_parked(struct digest *t, const struct record *r)
{
	int64_t due_ms = record_number(r, "due_ms");
	struct tail_key key = key_of(r);
	(void)tails_take(&t->tails, &key);
	if (due_ms >= 0)
		++*(uint64_t *)series_at(&t->due, due_ms);
}

static void take_dead(struct digest *t, const struct record *r)
{
	struct tail_key key = key_of(r);
	struct bytes tail = tails_take(&t->tails, &key);
	int64_t attempts = record_number(r, "attempts");
	reason_of(t, r)->dead++;
	count_attempt(t, true, attempts);
	if (!top_wants(&t->dead, r->at_ms))
		return;
	AUTO_BUF row = { 0 };
	begin_row(&row, r);
	add_text(&row, "dead_id", record_text(r, "dead_id"), LONGEST_NAME);
	add_text(&row, "reason", record_text(r, "reason"), LONGEST_NAME);
	add_text(&row, "detail", record_text(r, "detail"), LONGEST_WORDS);
	add_number(&row, "attempts", attempts);
	add_text(&row, "stderr", tail, TAILS_LONGEST);
	buf_add_char(&row, '}');
	top_add(&t->dead, r->at_ms, &row);
}

/* What may have run twice: recovered from a lost run, a lost lease, a late success. */
static void take_recovered(struct digest *t, const struct record *r)
{
	if (!top_wants(&t->recovered, r->at_ms))
		return;
	AUTO_BUF row = { 0 };
	begin_row(&row, r);
	add_text(&row, "why", record_text(r, "why"), LONGEST_WORDS);
	add_text(&row, "from", record_text(r, "from"), LONGEST_NAME);
	add_text(&row, "owner", record_text(r, "owner"), LONGEST_NAME);
	add_number(&row, "idle_ms", record_number(r, "idle_ms"));
	buf_add_char(&row, '}');
	top_add(&t->recovered, r->at_ms, &row);
}

/* A summary says again what stands in the log one by one, except with `success: summary`: then it is all
 * there is of them. What it has more than was told is added, spread as its percentiles say, which makes ours
 * upper bounds. */
static void spread(struct digest *t, const struct record *r, const char *field, uint64_t n)
{
	static const struct {
		const char *name;
		double share;
	} points[] = { { "max", 0.01 }, { "p99", 0.05 }, { "p95", 0.5 }, { "p50", 1 } };
	uint64_t given = 0;
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		int64_t value = record_inner_number(r, field, points[i].name);
		uint64_t up_to = (uint64_t)((double)n * points[i].share),
			 part = up_to > given ? up_to - given : 0;
		if (i == 0 && part == 0 && n > 0)
			part = 1; /* so that the largest is among them */
		if (value < 0)
			continue;
		bool wait = field[0] == 'w';
		struct digest_bucket *bucket = bucket_of(t, r);
		struct digest_job *job = job_of(t, r);
		histogram_add_times(wait ? &t->wait : &t->run, value, part);
		histogram_add_times(wait ? &bucket->wait : &bucket->run, value, part);
		histogram_add_times(wait ? &job->wait : &job->run, value, part);
		given += part;
	}
}

static void take_summary(struct digest *t, const struct record *r)
{
	struct digest_job *job = job_of(t, r);
	int64_t succeeded = record_number(r, "succeeded");
	job->summed += succeeded > 0 ? (uint64_t)succeeded : 0;
	if (job->summed <= job->single + job->added)
		return;
	uint64_t more = job->summed - job->single - job->added;
	job->added += more;
	count(t, r, DIGEST_SUCCEEDED, more);
	spread(t, r, "wait_ms", more);
	spread(t, r, "duration_ms", more);
}

/* ---- the daemon, its workers, Redis ---- */

static struct digest_host *host_of(struct digest *t, const struct record *r)
{
	return &t->hosts[names_index(&t->host_names, r->host)];
}

static void take_daemon(struct digest *t, const struct record *r)
{
	static const char *const said[] = { "why", "version", "advice", "error", "errors", "file" };
	struct bytes version = record_text(r, "version");
	if (version.n > 0 && version.n < sizeof(t->hosts->version)) {
		struct digest_host *host = host_of(t, r);
		memcpy(host->version, version.p, version.n);
		host->version[version.n] = '\0';
	}
	mark(&t->daemon_marks, r, said, ARRAY_LEN(said));
}

static void take_worker(struct digest *t, const struct record *r)
{
	static const char *const said[] = { "why", "state", "signal", "status" };
	mark(&t->worker_marks, r, said, ARRAY_LEN(said));
}

static void take_job_mark(struct digest *t, const struct record *r)
{
	static const char *const said[] = { "why", "reason", "detail" };
	mark(&t->job_marks, r, said, ARRAY_LEN(said));
}

static void take_redis_error(struct digest *t, const struct record *r)
{
	static const char *const said[] = { "why", "advice" };
	mark(&t->job_marks, r, said, ARRAY_LEN(said));
}

/* Of a host, by its reaper: single workers have lines of their own at level debug. */
static void take_lost(struct digest *t, const struct record *r)
{
	struct digest_host *host = host_of(t, r);
	struct bytes why = record_text(r, "why");
	if (r->worker.n > 0)
		return;
	count(t, r, DIGEST_REDIS_LOST, host->lost_ms < 0);
	if (host->lost_ms >= 0)
		return;
	host->lost_ms = r->at_ms;
	(void)snprintf(host->why, sizeof(host->why), "%.*s",
		       (int)(why.n < NAMES_LONGEST ? why.n : NAMES_LONGEST), why.p ? why.p : "");
}

static void take_connected(struct digest *t, const struct record *r)
{
	struct digest_host *host = host_of(t, r);
	if (r->worker.n > 0)
		return;
	host->connected_ever = true;
	if (host->lost_ms < 0)
		return;
	if (top_wants(&t->outages, host->lost_ms)) {
		AUTO_BUF row = { 0 };
		buf_add_char(&row, '{');
		add_text(&row, "host", r->host, LONGEST_NAME);
		add_number(&row, "from_ms", host->lost_ms);
		add_number(&row, "to_ms", r->at_ms);
		add_text(&row, "why", bytes_of(host->why), LONGEST_WORDS);
		buf_add_char(&row, '}');
		top_add(&t->outages, host->lost_ms, &row);
	}
	host->lost_ms = -1;
}

/* ---- the table ---- */

static const struct {
	const char *event;
	enum digest_count count; /* one more of these, DIGEST_NOTHING = take says */
	const char *amount;      /* the field that says how many, NULL = one */
	take_fn *take;           /* NULL = nothing more */
} takes[] = {
	{ "job.succeeded", DIGEST_SUCCEEDED, NULL, take_succeeded },
	{ "job.failed", DIGEST_FAILED, NULL, take_failed },
	{ "job.retry", DIGEST_RETRIED, NULL, take_parked },
	{ "job.later", DIGEST_LATER, NULL, take_parked },
	{ "job.dead", DIGEST_DEAD, NULL, take_dead },
	{ "job.released", DIGEST_RELEASED, NULL, NULL },
	{ "job.recovered", DIGEST_RECOVERED, NULL, take_recovered },
	{ "job.lease_lost", DIGEST_LEASE_LOST, NULL, take_recovered },
	{ "job.stale_ack", DIGEST_STALE_ACK, NULL, take_recovered },
	{ "job.summary", DIGEST_NOTHING, NULL, take_summary },
	{ "job.unmatched", DIGEST_UNMATCHED, NULL, NULL },
	{ "job.vanished", DIGEST_VANISHED, "count", NULL },
	{ "job.suspended", DIGEST_SUSPENDED, NULL, take_job_mark },
	{ "job.resumed", DIGEST_RESUMED, NULL, take_job_mark },
	{ "daemon.ready", DIGEST_STARTS, NULL, take_daemon },
	{ "daemon.reloaded", DIGEST_RELOADS, NULL, take_daemon },
	{ "daemon.stopping", DIGEST_NOTHING, NULL, take_daemon },
	{ "daemon.stopped", DIGEST_STOPS, NULL, take_daemon },
	{ "daemon.refused", DIGEST_REFUSALS, NULL, take_daemon },
	{ "daemon.reload_refused", DIGEST_REFUSALS, NULL, take_daemon },
	{ "daemon.failed", DIGEST_WARNINGS, NULL, take_daemon },
	{ "daemon.warning", DIGEST_WARNINGS, NULL, take_daemon },
	{ "worker.exited", DIGEST_WORKERS_LOST, NULL, take_worker },
	{ "worker.hung", DIGEST_NOTHING, NULL, take_worker },
	{ "redis.lost", DIGEST_NOTHING, NULL, take_lost },
	{ "redis.connected", DIGEST_NOTHING, NULL, take_connected },
	{ "redis.error", DIGEST_REDIS_ERRORS, NULL, take_redis_error },
	{ "dead.dropped", DIGEST_DEAD_DROPPED, "count", NULL },
	{ "log.dropped", DIGEST_LOG_DROPPED, "count", NULL },
};

static size_t take_of(struct bytes event)
{
	size_t i = 0;
	while (i < ARRAY_LEN(takes) && !bytes_eq(event, bytes_of(takes[i].event)))
		i++;
	return i;
}

bool digest_wants(struct bytes event)
{
	return take_of(event) < ARRAY_LEN(takes);
}

size_t digest_event_count(void)
{
	return ARRAY_LEN(takes);
}

static bool in_range(const struct digest_range *range, const struct record *r)
{
	bool of_a_job = r->job.n > 0 || (r->event.n > 4 && memcmp(r->event.p, "job.", 4) == 0);
	if (range->job.n > 0 && of_a_job && !bytes_eq(range->job, r->job))
		return false;
	return r->at_ms >= range->since_ms && (range->until_ms < 0 || r->at_ms < range->until_ms);
}

static void note_time(struct digest *t, const struct record *r)
{
	struct digest_host *host = host_of(t, r);
	t->first_ms = t->first_ms < 0 || r->at_ms < t->first_ms ? r->at_ms : t->first_ms;
	t->last_ms = r->at_ms > t->last_ms ? r->at_ms : t->last_ms;
	host->first_ms = host->first_ms < 0 || r->at_ms < host->first_ms ? r->at_ms : host->first_ms;
	host->last_ms = r->at_ms > host->last_ms ? r->at_ms : host->last_ms;
}

bool digest_take(struct digest *t, const struct record *r)
{
	size_t i = take_of(r->event);
	if (i == ARRAY_LEN(takes))
		return false;
	if (!in_range(&t->range, r)) {
		t->beside++;
		return false;
	}
	t->taken++;
	note_time(t, r);
	(void)bucket_of(t, r); /* the time is part of the picture, also where nothing ran */
	if (takes[i].count != DIGEST_NOTHING) {
		int64_t amount = takes[i].amount ? record_number(r, takes[i].amount) : 1;
		count(t, r, takes[i].count, amount > 0 ? (uint64_t)amount : 1);
	}
	if (takes[i].take)
		takes[i].take(t, r);
	return true;
}

/* The bucket in which the last event lies counts as the past. */
uint64_t digest_to_come(const struct digest *t)
{
	uint64_t n = 0;
	for (size_t i = 0; i < t->due.used; i++)
		n += series_begin_ms(&t->due, i) > t->last_ms ? *(const uint64_t *)series_bucket(&t->due, i)
							      : 0;
	return n;
}
