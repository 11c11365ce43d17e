/* See digest_json.h. Times over a series are columns, not rows: a third of the size, and what a chart wants.
 */
#include "report/digest_json.h"

#include <stdio.h>

#include "base/json.h"

static const char *const count_names[] = {
#define X(symbol, name) [DIGEST_##symbol] = (name),
	DIGEST_COUNTS(X)
#undef X
};

static const struct {
	const char *name;
	double quantile;
} points[] = { { "p50", 0.5 }, { "p95", 0.95 }, { "p99", 0.99 }, { "max", 1 } };

static void add_u64(struct buf *out, const char *name, uint64_t value)
{
	json_add_name(out, name);
	json_add_i64(out, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

/* -1 is null. */
static void add_ms(struct buf *out, const char *name, int64_t value)
{
	json_add_name(out, name);
	if (value < 0)
		buf_add_text(out, "null");
	else
		json_add_i64(out, value);
}

static void add_text(struct buf *out, const char *name, struct bytes text)
{
	json_add_name(out, name);
	if (text.n == 0)
		buf_add_text(out, "null");
	else
		json_add_text(out, text);
}

static void add_histogram(struct buf *out, const char *name, const struct histogram *h)
{
	json_add_name(out, name);
	buf_add_char(out, '{');
	add_u64(out, "count", h->count);
	for (size_t i = 0; i < ARRAY_LEN(points); i++)
		add_ms(out, points[i].name, histogram_quantile(h, points[i].quantile));
	buf_add_char(out, '}');
}

/* A name and the bracket of a list behind it. */
static void begin_list(struct buf *out, const char *name)
{
	json_add_name(out, name);
	buf_add_char(out, '[');
}

static void next_row(struct buf *out, size_t row)
{
	buf_add_text(out, row ? ",\n{" : "\n{");
}

/* ---- over time ---- */

static void add_percentiles(struct buf *out, const struct series *s, bool wait)
{
	for (size_t k = 0; k < ARRAY_LEN(points); k++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "%s_%s", wait ? "wait" : "run", points[k].name);
		begin_list(out, name);
		for (size_t i = 0; i < s->used; i++) {
			const struct digest_bucket *b = series_bucket(s, i);
			int64_t value = histogram_quantile(wait ? &b->wait : &b->run, points[k].quantile);
			buf_add_text(out, i ? "," : "");
			if (value < 0)
				buf_add_text(out, "null");
			else
				json_add_i64(out, value);
		}
		buf_add_char(out, ']');
	}
}

static void add_series(struct buf *out, const struct series *s)
{
	json_add_name(out, "series");
	buf_add_char(out, '{');
	add_ms(out, "from_ms", s->used ? series_begin_ms(s, 0) : -1);
	add_ms(out, "width_ms", series_width_ms(s));
	add_u64(out, "buckets", s->used);
	for (size_t k = 0; k < DIGEST_COUNT_SERIES; k++) {
		begin_list(out, count_names[k]);
		for (size_t i = 0; i < s->used; i++) {
			const struct digest_bucket *b = series_bucket(s, i);
			buf_add_text(out, i ? "," : "");
			json_add_i64(out, (int64_t)b->count[k]);
		}
		buf_add_char(out, ']');
	}
	add_percentiles(out, s, true);
	add_percentiles(out, s, false);
	buf_add_char(out, '}');
}

static void add_due(struct buf *out, const struct digest *t)
{
	const struct series *s = &t->due;
	json_add_name(out, "due");
	buf_add_char(out, '{');
	add_ms(out, "from_ms", s->used ? series_begin_ms(s, 0) : -1);
	add_ms(out, "width_ms", series_width_ms(s));
	add_u64(out, "to_come", digest_to_come(t));
	begin_list(out, "retries");
	for (size_t i = 0; i < s->used; i++) {
		buf_add_text(out, i ? "," : "");
		json_add_i64(out, (int64_t) * (const uint64_t *)series_bucket(s, i));
	}
	buf_add_text(out, "]}");
}

/* ---- tables ---- */

static void add_jobs(struct buf *out, const struct digest *t)
{
	size_t rows = 0;
	begin_list(out, "jobs");
	for (size_t i = 0; i <= DIGEST_JOBS; i++) {
		const struct digest_job *job = &t->jobs[i];
		uint64_t all = 0;
		for (size_t k = 0; k < DIGEST_COUNT_SERIES; k++)
			all += job->count[k];
		if (all == 0)
			continue;
		next_row(out, rows++);
		add_text(out, "job", names_text(&t->job_names, i));
		for (size_t k = 0; k < DIGEST_COUNT_SERIES; k++)
			add_u64(out, count_names[k], job->count[k]);
		add_histogram(out, "wait_ms", &job->wait);
		add_histogram(out, "run_ms", &job->run);
		add_ms(out, "last_failed_ms", job->failed_ms);
		add_text(out, "last_failure", bytes_of(job->failure));
		buf_add_char(out, '}');
	}
	buf_add_char(out, ']');
}

static void add_reasons(struct buf *out, const struct digest *t)
{
	size_t rows = 0;
	begin_list(out, "reasons");
	for (size_t i = 0; i <= DIGEST_REASONS; i++) {
		const struct digest_reason *reason = &t->reasons[i];
		if (reason->failed + reason->dead == 0)
			continue;
		struct bytes name = names_text(&t->reason_names, i), detail = { 0 };
		const char *end = memchr(name.p, '\n', name.n);
		if (end) {
			detail = (struct bytes){ end + 1, name.n - (size_t)(end + 1 - name.p) };
			name.n = (size_t)(end - name.p);
		}
		next_row(out, rows++);
		add_text(out, "reason", name);
		add_text(out, "detail", detail);
		add_u64(out, "failed", reason->failed);
		add_u64(out, "dead", reason->dead);
		add_ms(out, "last_ms", reason->last_ms);
		add_text(out, "last_job", names_text(&t->job_names, reason->job));
		buf_add_char(out, '}');
	}
	buf_add_char(out, ']');
}

static void add_attempts(struct buf *out, const struct digest *t)
{
	size_t rows = 0;
	begin_list(out, "attempts");
	for (size_t i = 0; i < DIGEST_ATTEMPTS; i++) {
		if (t->attempts[0][i] + t->attempts[1][i] == 0)
			continue;
		next_row(out, rows++);
		add_u64(out, "attempt", i + 1);
		add_u64(out, "succeeded", t->attempts[0][i]);
		add_u64(out, "dead", t->attempts[1][i]);
		buf_add_char(out, '}');
	}
	buf_add_char(out, ']');
}

static void add_hosts(struct buf *out, const struct digest *t)
{
	size_t rows = 0;
	begin_list(out, "hosts");
	for (size_t i = 0; i <= DIGEST_HOSTS; i++) {
		const struct digest_host *host = &t->hosts[i];
		if (host->first_ms < 0)
			continue;
		next_row(out, rows++);
		add_text(out, "host", names_text(&t->host_names, i));
		add_text(out, "version", bytes_of(host->version));
		add_ms(out, "first_ms", host->first_ms);
		add_ms(out, "last_ms", host->last_ms);
		buf_add_char(out, '}');
	}
	buf_add_char(out, ']');
}

/* Those that last, then those that are over, the latest first. */
static void add_outages(struct buf *out, const struct digest *t)
{
	AUTO_BUF over = { 0 };
	size_t rows = 0;
	begin_list(out, "outages");
	for (size_t i = 0; i <= DIGEST_HOSTS; i++) {
		const struct digest_host *host = &t->hosts[i];
		if (host->lost_ms < 0)
			continue;
		next_row(out, rows++);
		add_text(out, "host", names_text(&t->host_names, i));
		add_ms(out, "from_ms", host->lost_ms);
		add_ms(out, "to_ms", -1);
		add_text(out, "why", bytes_of(host->why));
		buf_add_char(out, '}');
	}
	top_write(&over, (const struct top *const[]){ &t->outages }, 1);
	buf_add_text(out, rows && over.n > 2 ? ",\n" : "");
	buf_add_text(out, over.n > 0 ? over.p + 1 : "]"); /* without its bracket */
	out->failed = out->failed || over.failed;
}

static void add_top(struct buf *out, const char *name, const struct top *top)
{
	json_add_name(out, name);
	top_write(out, (const struct top *const[]){ top }, 1);
}

static void add_figures(struct buf *out, const struct digest *t)
{
	struct digest_figure figures[DIGEST_FIGURES];
	size_t n = digest_figures(t, figures);
	begin_list(out, "figures");
	for (size_t i = 0; i < n; i++) {
		next_row(out, i);
		add_text(out, "label", bytes_of(figures[i].label));
		add_text(out, "value", bytes_of(figures[i].value));
		add_text(out, "note", bytes_of(figures[i].note));
		add_text(out, "tone", bytes_of(figures[i].tone));
		buf_add_char(out, '}');
	}
	buf_add_char(out, ']');
}

static void add_source(struct buf *out, const struct digest *t, const struct digest_source *s)
{
	add_text(out, "version", bytes_of(s->version));
	add_ms(out, "made_ms", s->made_ms);
	add_text(out, "source", bytes_of(s->name));
	add_u64(out, "bytes", s->bytes);
	add_u64(out, "lines", s->lines);
	add_u64(out, "events", t->taken);
	add_u64(out, "out_of_range", t->beside);
	add_u64(out, "malformed", s->malformed);
	add_u64(out, "foreign", s->foreign);
	add_u64(out, "unused", s->unused);
	add_text(out, "only_job", t->range.job);
	add_ms(out, "since_ms", t->range.since_ms);
	add_ms(out, "until_ms", t->range.until_ms);
	add_ms(out, "first_ms", t->first_ms);
	add_ms(out, "last_ms", t->last_ms);
}

void digest_write_json(struct buf *out, const struct digest *t, const struct digest_source *source)
{
	buf_add_char(out, '{');
	add_source(out, t, source);
	add_figures(out, t);
	json_add_name(out, "counts");
	buf_add_char(out, '{');
	for (size_t i = 0; i < DIGEST_COUNT_ALL; i++)
		add_u64(out, count_names[i], t->count[i]);
	buf_add_char(out, '}');
	add_histogram(out, "wait_ms", &t->wait);
	add_histogram(out, "run_ms", &t->run);
	add_series(out, &t->series);
	add_due(out, t);
	add_attempts(out, t);
	add_reasons(out, t);
	add_jobs(out, t);
	add_top(out, "slowest", &t->slowest);
	add_top(out, "waited", &t->waited);
	add_top(out, "dead", &t->dead);
	add_top(out, "recovered", &t->recovered);
	add_outages(out, t);
	json_add_name(out, "marks");
	top_write(out, (const struct top *const[]){ &t->daemon_marks, &t->worker_marks, &t->job_marks }, 3);
	add_hosts(out, t);
	buf_add_text(out, "}\n");
}
