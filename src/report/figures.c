/* The dozen figures at the top of the report, in words. */
#include <inttypes.h>
#include <stdio.h>

#include "report/digest_json.h"

enum { WORDS = 32 };

static const char *add_digits(char out[WORDS], uint64_t n)
{
	/* In threes: 1,234,567. */
	char digits[24];
	int length = snprintf(digits, sizeof(digits), "%" PRIu64, n), at = 0;
	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			out[at++] = ',';
		out[at++] = digits[i];
	}
	out[at] = '\0';
	return out;
}
#define DIGITS(n) add_digits((char[WORDS]){ 0 }, n)

static const char *duration(char out[WORDS], int64_t ms)
{
	static const struct {
		int64_t ms;
		const char *name;
		int64_t part_ms;
		const char *part;
	} units[] = { { 86400000, "d", 3600000, "h" },
		      { 3600000, "h", 60000, "min" },
		      { 60000, "min", 1000, "s" } };
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (ms >= units[i].ms) {
			(void)snprintf(out, WORDS, "%" PRId64 " %s %" PRId64 " %s", ms / units[i].ms,
				       units[i].name, ms % units[i].ms / units[i].part_ms, units[i].part);
			return out;
		}
	}
	if (ms >= 1000)
		(void)snprintf(out, WORDS, ms >= 10000 ? "%.1f s" : "%.2f s", (double)ms / 1000);
	else if (ms >= 0)
		(void)snprintf(out, WORDS, "%" PRId64 " ms", ms);
	else
		(void)snprintf(out, WORDS, "–");
	return out;
}
#define DURATION(ms) duration((char[WORDS]){ 0 }, ms)

static struct digest_figure *begin(struct digest_figure *figures, size_t *n, const char *label,
				   const char *tone)
{
	struct digest_figure *f = &figures[(*n)++];
	*f = (struct digest_figure){ .label = "" };
	(void)snprintf(f->label, sizeof(f->label), "%s", label);
	(void)snprintf(f->tone, sizeof(f->tone), "%s", tone);
	return f;
}

static void add_count(struct digest_figure *figures, size_t *n, const char *label, uint64_t value,
		      const char *tone, const char *note)
{
	struct digest_figure *f = begin(figures, n, label, value > 0 ? tone : "");
	(void)snprintf(f->value, sizeof(f->value), "%s", DIGITS(value));
	(void)snprintf(f->note, sizeof(f->note), "%s", note);
}

static void add_percentiles(struct digest_figure *figures, size_t *n, const char *label,
			    const struct histogram *h)
{
	struct digest_figure *f = begin(figures, n, label, "");
	(void)snprintf(f->value, sizeof(f->value), "%s", DURATION(histogram_quantile(h, 0.5)));
	(void)snprintf(f->note, sizeof(f->note), "p95 %s · p99 %s · max %s",
		       DURATION(histogram_quantile(h, 0.95)), DURATION(histogram_quantile(h, 0.99)),
		       DURATION(histogram_quantile(h, 1)));
}

static void add_rate(struct digest_figure *figures, size_t *n, const struct digest *t)
{
	uint64_t failed = t->count[DIGEST_FAILED], runs = failed + t->count[DIGEST_SUCCEEDED];
	double rate = runs ? 100. * (double)failed / (double)runs : 0;
	struct digest_figure *f = begin(figures, n, "Failure rate",
					rate >= 20  ? "bad"
					: rate >= 1 ? "warn"
						    : "");
	(void)snprintf(f->value, sizeof(f->value), runs ? "%.*f %%" : "–", rate > 0 && rate < 1 ? 3 : 1,
		       rate);
	(void)snprintf(f->note, sizeof(f->note), "%s of %s runs failed", DIGITS(failed), DIGITS(runs));
}

static void add_throughput(struct digest_figure *figures, size_t *n, const struct digest *t)
{
	char note[96] = "";
	double s = (double)(t->last_ms - t->first_ms) / 1000;
	if (s > 0)
		(void)snprintf(note, sizeof(note), "%.*f a second on average",
			       (double)t->count[DIGEST_SUCCEEDED] / s < 10 ? 2 : 0,
			       (double)t->count[DIGEST_SUCCEEDED] / s);
	add_count(figures, n, "Succeeded", t->count[DIGEST_SUCCEEDED], "good", note);
}

static void add_to_come(struct digest_figure *figures, size_t *n, const struct digest *t)
{
	char note[96];
	(void)snprintf(note, sizeof(note), "%s due after the last event", DIGITS(digest_to_come(t)));
	add_count(figures, n, "Retries", t->count[DIGEST_RETRIED], "", note);
}

static void add_outages(struct digest_figure *figures, size_t *n, const struct digest *t)
{
	int64_t lasts = 0;
	for (size_t i = 0; i <= DIGEST_HOSTS; i++)
		lasts += t->hosts[i].lost_ms >= 0;
	add_count(figures, n, "Redis outages", t->count[DIGEST_REDIS_LOST], "warn",
		  lasts ? "one had not ended yet" : "");
}

size_t digest_figures(const struct digest *t, struct digest_figure ret_figures[DIGEST_FIGURES])
{
	const uint64_t *count = t->count;
	uint64_t twice = count[DIGEST_RECOVERED] + count[DIGEST_LEASE_LOST] + count[DIGEST_STALE_ACK];
	char note[96];
	size_t n = 0;
	add_throughput(ret_figures, &n, t);
	add_rate(ret_figures, &n, t);
	add_to_come(ret_figures, &n, t);
	add_count(ret_figures, &n, "Dead letters", count[DIGEST_DEAD], "bad", "");
	add_percentiles(ret_figures, &n, "Median wait", &t->wait);
	add_percentiles(ret_figures, &n, "Median run time", &t->run);
	add_count(ret_figures, &n, "Recovered", twice, "warn", "runs that were lost, or overtaken");
	add_outages(ret_figures, &n, t);
	(void)snprintf(note, sizeof(note), "reloads: %s, stops: %s", DIGITS(count[DIGEST_RELOADS]),
		       DIGITS(count[DIGEST_STOPS]));
	add_count(ret_figures, &n, "Starts", count[DIGEST_STARTS], "", note);
	add_count(ret_figures, &n, "Workers lost", count[DIGEST_WORKERS_LOST], "warn", "");
	return n;
}
