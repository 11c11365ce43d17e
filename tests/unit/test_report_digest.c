/* The report's figures out of lines of a log: what is counted, what is left out, and that nothing grows. */
#include "unit.h"

#include "report/feed.h"

static const struct digest_range everything = { .since_ms = -1, .until_ms = -1 };

static void begin(struct feed *f, const struct digest_range *range)
{
	*f = (struct feed){ .source = { .name = "test", .version = "0" } };
	assert_int_equal(digest_new(range, &f->digest), 0);
}

static void end(struct feed *f)
{
	digest_free(f->digest);
	feed_done(f);
}

static void say(struct feed *f, const char *format, ...) PRINTF_LIKE(2, 3);
static void say(struct feed *f, const char *format, ...)
{
	char line[2048];
	va_list arguments;
	va_start(arguments, format);
	int n = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	assert_true(n >= 0 && (size_t)n < sizeof(line));
	feed_bytes(f, (struct bytes){ line, (size_t)n });
	feed_bytes(f, BYTES("\n"));
}

/* The digest as the JSON that users get. */
static json_t *told(const struct feed *f)
{
	AUTO_BUF out = { 0 };
	digest_write_json(&out, f->digest, &f->source);
	json_t *j = json_parse(buf_bytes(&out));
	assert_true(json_is_object(j));
	return j;
}

static int64_t number(json_t *j, const char *list, size_t row, const char *key)
{
	json_t *value = json_object_get(json_array_get(json_object_get(j, list), row), key);
	assert_true(json_is_integer(value));
	return json_integer_value(value);
}

static const char *text(json_t *j, const char *list, size_t row, const char *key)
{
	return json_string_value(json_object_get(json_array_get(json_object_get(j, list), row), key));
}

#define AT(second) "\"ts\":\"2026-01-01T00:00:" second ".000000Z\",\"level\":\"info\","
#define OF(event)  "\"event\":\"" event "\",\"host\":\"h\",\"job\":\"j\",\"stream\":\"j\",\"group\":\"g\","

static void test_one_life(void **state)
{
	(void)state;
	struct feed f;
	begin(&f, &everything);
	say(&f, "{" AT("01") OF("job.failed") "\"id\":\"1-0\",\"attempt\":1,\"reason\":\"exit\",\"detail\":"
					      "\"exit 3\",\"duration_ms\":40,\"stderr\":\"first\"}");
	say(&f,
	    "{" AT("01") OF(
		    "job.retry") "\"id\":\"1-0\",\"attempt\":1,\"due_ms\":1767225700000,\"delay_ms\":99000}");
	say(&f,
	    "{" AT("02") OF("job.failed") "\"id\":\"2-0\",\"attempt\":2,\"reason\":\"signal\",\"detail\":"
					  "\"signal 9 (KILL)\",\"duration_ms\":10,\"stderr\":\"the end\"}");
	say(&f, "{" AT("02") OF("job.dead") "\"id\":\"2-0\",\"attempt\":2,\"reason\":\"signal\",\"detail\":"
					    "\"signal 9 (KILL)\",\"attempts\":2,\"dead_id\":\"3-0\"}");
	say(&f, "{" AT("03") OF(
			"job.succeeded") "\"id\":\"4-0\",\"attempt\":1,\"duration_ms\":7,\"wait_ms\":null}");
	say(&f, "{" AT("04") OF(
			"job.succeeded") "\"id\":\"5-0\",\"attempt\":25,\"duration_ms\":8,\"wait_ms\":12}");
	AUTO_JSON *j = told(&f);
	json_t *counts = json_object_get(j, "counts");
	assert_int_equal(json_integer_value(json_object_get(counts, "succeeded")), 2);
	assert_int_equal(json_integer_value(json_object_get(counts, "failed")), 2);
	assert_int_equal(json_integer_value(json_object_get(counts, "retried")), 1);
	assert_int_equal(json_integer_value(json_object_get(counts, "dead")), 1);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "due"), "to_come")), 1);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "wait_ms"), "count")), 1);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "run_ms"), "count")), 4);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "run_ms"), "max")), 40);
	assert_string_equal(text(j, "dead", 0, "stderr"), "the end");
	assert_int_equal(number(j, "slowest", 0, "run_ms"), 40);
	assert_int_equal(json_array_size(json_object_get(j, "waited")), 1);
	assert_int_equal(json_array_size(json_object_get(j, "reasons")), 2);
	assert_int_equal(number(j, "attempts", 0, "attempt"), 1);
	assert_int_equal(number(j, "attempts", 1, "dead"), 1);
	assert_int_equal(number(j, "attempts", 2, "attempt"), DIGEST_ATTEMPTS);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "series"), "buckets")), 4);
	end(&f);
}

/* A dead letter shows the stderr of its own last attempt, never another's. */
static void test_stderr_of_another_attempt(void **state)
{
	(void)state;
	struct feed f;
	begin(&f, &everything);
	say(&f, "{" AT("01") OF("job.failed") "\"id\":\"1-0\",\"attempt\":1,\"reason\":\"exit\",\"detail\":"
					      "\"exit 3\",\"stderr\":\"old\"}");
	say(&f,
	    "{" AT("02")
		    OF("job.dead") "\"id\":\"1-0\",\"attempt\":2,\"reason\":\"worker_lost\",\"attempts\":2}");
	say(&f,
	    "{" AT("02") OF("job.dead") "\"id\":\"2-0\",\"attempt\":1,\"reason\":\"no_job\",\"attempts\":1}");
	AUTO_JSON *j = told(&f);
	assert_null(text(j, "dead", 0, "stderr"));
	assert_null(text(j, "dead", 1, "stderr"));
	end(&f);
}

static void test_what_is_no_event(void **state)
{
	(void)state;
	struct feed f;
	begin(&f, &everything);
	say(&f, "Nov 26 systemd[1]: Started xackd.");
	say(&f, "[1,2]");
	say(&f, "{\"ts\":\"2026-01-01T00:00:01Z\",\"ev");
	say(&f, "{\"level\":\"info\",\"message\":\"of another program\"}");
	say(&f, "{\"ts\":\"yesterday\",\"event\":\"job.succeeded\"}");
	say(&f, "{" AT("01") OF(
			"job.output") "\"fd\":1,\"line\":\"\\\"event\\\":\\\"job.dead\\\"\",\"cut\":false}");
	say(&f, "{" AT("01") OF("job.of_a_later_version") "\"x\":1}");
	say(&f, "%s", "");
	say(&f,
	    "{" AT("02") OF(
		    "job.succeeded") "\"id\":\"4-0\",\"attempt\":1,\"duration_ms\":\"x\",\"wait_ms\":-5}\r");
	assert_int_equal(f.source.lines, 8);
	assert_int_equal(f.source.malformed, 3);
	assert_int_equal(f.source.foreign, 2);
	assert_int_equal(f.source.unused, 2);
	assert_int_equal(f.digest->taken, 1);
	assert_int_equal(f.digest->count[DIGEST_SUCCEEDED], 1);
	end(&f);
}

/* However the text is cut into pieces, the same lines come out of it; one that is too long is one line that
 * is left out. */
static void test_pieces(void **state)
{
	(void)state;
	static char log[3 * FEED_LONGEST_LINE];
	const char good[] =
		"{" AT("02") OF("job.succeeded") "\"id\":\"4-0\",\"attempt\":1,\"duration_ms\":5}\n";
	size_t n = 0;
	memcpy(log, good, sizeof(good) - 1);
	n += sizeof(good) - 1;
	memset(log + n, 'x', FEED_LONGEST_LINE + 5);
	n += FEED_LONGEST_LINE + 5;
	log[n++] = '\n';
	memcpy(log + n, good, sizeof(good) - 2); /* without its newline */
	n += sizeof(good) - 2;
	const size_t sizes[] = { 7, 100, 4096, 1 << 18, sizeof(log) };
	for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
		struct feed f;
		begin(&f, &everything);
		for (size_t at = 0; at < n; at += sizes[k])
			feed_bytes(&f, (struct bytes){ log + at, n - at < sizes[k] ? n - at : sizes[k] });
		feed_end(&f);
		assert_int_equal(f.source.bytes, n);
		assert_int_equal(f.source.lines, 3);
		assert_int_equal(f.source.malformed, 1);
		assert_int_equal(f.digest->count[DIGEST_SUCCEEDED], 2);
		assert_true(f.line.cap <= 4 * (size_t)FEED_LONGEST_LINE);
		end(&f);
	}
}

static void test_range(void **state)
{
	(void)state;
	struct feed f;
	const struct digest_range range = { .job = BYTES("j"),
					    .since_ms = 1767225602000,
					    .until_ms = 1767225603000 };
	begin(&f, &range);
	say(&f, "{" AT("01") OF("job.succeeded") "\"duration_ms\":1}");
	say(&f, "{" AT("02") OF("job.succeeded") "\"duration_ms\":1}");
	say(&f, "{" AT("03") OF("job.succeeded") "\"duration_ms\":1}");
	say(&f,
	    "{" AT("02") "\"event\":\"job.succeeded\",\"host\":\"h\",\"job\":\"other\",\"duration_ms\":1}");
	say(&f, "{" AT("02") "\"event\":\"job.dead\",\"host\":\"h\",\"reason\":\"no_job\"}");
	say(&f, "{" AT("02") "\"event\":\"daemon.ready\",\"host\":\"h\",\"version\":\"1\"}");
	assert_int_equal(f.digest->count[DIGEST_SUCCEEDED], 1);
	assert_int_equal(f.digest->count[DIGEST_DEAD], 0);
	assert_int_equal(f.digest->count[DIGEST_STARTS], 1);
	assert_int_equal(f.digest->beside, 4);
	end(&f);
}

/* A summary repeats what was told one by one, or, with success: summary, stands for it. */
static void test_summaries(void **state)
{
	(void)state;
	struct feed f;
	begin(&f, &everything);
	for (int i = 0; i < 10; i++)
		say(&f,
		    "{" AT("01") OF(
			    "job.succeeded") "\"id\":\"%d-0\",\"attempt\":1,\"duration_ms\":5,\"wait_ms\":1}",
		    i);
	say(&f, "{" AT("10") OF(
			"job.summary") "\"succeeded\":10,\"wait_ms\":{\"p50\":1,\"p95\":1,\"p99\":1,\"max\":"
				       "1},\"duration_ms\":{\"p50\":5,\"p95\":5,\"p99\":5,\"max\":5}}");
	assert_int_equal(f.digest->count[DIGEST_SUCCEEDED], 10);
	say(&f,
	    "{" AT("20") OF(
		    "job.summary") "\"succeeded\":1000,\"wait_ms\":{\"p50\":2,\"p95\":20,\"p99\":200,\"max\":"
				   "3000},\"duration_ms\":{\"p50\":4,\"p95\":6,\"p99\":8,\"max\":10}}");
	assert_int_equal(f.digest->count[DIGEST_SUCCEEDED], 1010);
	assert_int_equal(f.digest->wait.count, 1010);
	assert_int_equal(histogram_quantile(&f.digest->wait, 0.5), 2);
	assert_in_range(histogram_quantile(&f.digest->wait, 0.94), 19, 22);
	assert_int_equal(histogram_quantile(&f.digest->wait, 1), 3000);
	assert_int_equal(histogram_quantile(&f.digest->run, 1), 10);
	end(&f);
}

static void test_outages(void **state)
{
	(void)state;
	struct feed f;
	begin(&f, &everything);
	const char *const hosts[] = { "a", "b" };
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		say(&f, "{" AT("01") "\"event\":\"redis.connected\",\"host\":\"%s\"}", hosts[i]);
		say(&f, "{" AT("02") "\"event\":\"redis.lost\",\"host\":\"%s\",\"why\":\"EOF\"}", hosts[i]);
		say(&f, "{" AT("03") "\"event\":\"redis.lost\",\"host\":\"%s\",\"why\":\"refused\"}",
		    hosts[i]);
		say(&f,
		    "{" AT("04") "\"event\":\"redis.connected\",\"host\":\"%s\",\"worker\":\"default/0\"}",
		    hosts[i]);
	}
	say(&f, "{" AT("05") "\"event\":\"redis.connected\",\"host\":\"a\"}");
	AUTO_JSON *j = told(&f);
	assert_int_equal(f.digest->count[DIGEST_REDIS_LOST], 2);
	assert_int_equal(json_array_size(json_object_get(j, "outages")), 2);
	assert_string_equal(text(j, "outages", 0, "host"), "b"); /* lasts */
	assert_true(json_is_null(json_object_get(json_array_get(json_object_get(j, "outages"), 0), "to_ms")));
	assert_int_equal(number(j, "outages", 1, "from_ms"), 1767225602000);
	assert_int_equal(number(j, "outages", 1, "to_ms"), 1767225605000);
	end(&f);
}

/* As many names as one likes: a bounded number of rows, and nothing is lost from the sums. */
static void test_bounds(void **state)
{
	(void)state;
	struct feed f;
	enum { MANY = 5000 };
	begin(&f, &everything);
	for (int i = 0; i < MANY; i++) {
		say(&f,
		    "{\"ts\":\"%d-01-01T00:00:00Z\",\"level\":\"info\",\"event\":\"job.failed\",\"host\":\"h%"
		    "d\",\"job\":\"j%d\",\"id\":\"%d-0\",\"attempt\":%d,"
		    "\"reason\":\"r%d\",\"detail\":\"d%d\",\"duration_ms\":%d,\"stderr\":\"%01000d\"}",
		    1970 + i, i, i, i, i, i, i, i, i);
		say(&f,
		    "{\"ts\":\"%d-01-01T00:00:00Z\",\"level\":\"info\",\"event\":\"job.dead\",\"host\":\"h%"
		    "d\",\"job\":\"j%d\",\"id\":\"%d-0\",\"attempt\":%d,"
		    "\"reason\":\"r%d\",\"attempts\":%d}",
		    1970 + i, i, i, i, i, i, i);
	}
	AUTO_JSON *j = told(&f);
	json_t *row;
	size_t i;
	int64_t failed = 0, reasons = 0, attempts = 0;
	assert_int_equal(json_array_size(json_object_get(j, "jobs")), DIGEST_JOBS + 1);
	assert_int_equal(json_array_size(json_object_get(j, "hosts")), DIGEST_HOSTS + 1);
	assert_int_equal(json_array_size(json_object_get(j, "reasons")), DIGEST_REASONS + 1);
	assert_int_equal(json_array_size(json_object_get(j, "dead")), DIGEST_LISTED);
	assert_int_equal(json_array_size(json_object_get(j, "slowest")), DIGEST_RANKED);
	json_array_foreach (json_object_get(j, "jobs"), i, row)
		failed += json_integer_value(json_object_get(row, "failed"));
	json_array_foreach (json_object_get(j, "reasons"), i, row)
		reasons += json_integer_value(json_object_get(row, "dead"));
	json_array_foreach (json_object_get(j, "attempts"), i, row)
		attempts += json_integer_value(json_object_get(row, "dead"));
	assert_int_equal(failed, MANY);
	assert_int_equal(reasons, MANY);
	assert_int_equal(attempts, MANY - 1); /* there is no attempt 0 */
	assert_true(json_integer_value(json_object_get(json_object_get(j, "series"), "buckets")) <=
		    SERIES_BUCKETS);
	end(&f);
}

/* The events that the report looks at are events that there are. */
static void test_catalogue(void **state)
{
	(void)state;
	static const char *const names[] = {
#define EVENT(symbol, name, level, text_, id) name,
#include "log/events.def"
#undef EVENT
	};
	size_t wanted = 0;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		wanted += digest_wants(bytes_of(names[i]));
	assert_int_equal(wanted, digest_event_count());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_life),
		cmocka_unit_test(test_stderr_of_another_attempt),
		cmocka_unit_test(test_what_is_no_event),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_summaries),
		cmocka_unit_test(test_outages),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_catalogue),
	};
	return RUN_GROUP(tests);
}
