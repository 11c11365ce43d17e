/* The text that Prometheus reads, to the byte: both forms, every type, and values that want to be something
 * else. */
#include "unit.h"

#include "base/openmetrics.h"

static void check(bool classic, void (*write)(struct openmetrics *), const char *wanted)
{
	AUTO_BUF out = { 0 };
	struct openmetrics m = { .out = &out, .classic = classic };

	write(&m);
	assert_false(out.failed);
	assert_bytes(buf_bytes(&out), bytes_of(wanted));
}

static void counter(struct openmetrics *m)
{
	metric_family(m, "x_jobs", METRIC_COUNTER, "Jobs.");
	metric_count(m, LABELS({ "job", "a" }, { "outcome", "dead" }), UINT64_MAX);
	metrics_end(m);
}

static void info(struct openmetrics *m)
{
	metric_family(m, "x_build", METRIC_INFO, "Build.");
	metric_count(m, LABELS({ "version", "1" }), 1);
}

static void gauges(struct openmetrics *m)
{
	metric_family(m, "x_age_seconds", METRIC_GAUGE, "Age.");
	metric_seconds(m, NO_LABELS, 12034);
	metric_seconds(m, LABELS({ "q", "b" }), -5);
}

static void hostile(struct openmetrics *m)
{
	metric_family(m, "x", METRIC_GAUGE, "X.");
	metric_count(m, LABELS({ "q", "a\"} 1\nx{q=\"\\" }, { "r", "\xff\xc3\xa4" }, { "s", NULL }), 0);
}

static void histogram(struct openmetrics *m)
{
	static const int64_t bounds[] = { 1, 250, 1000, 30000 };
	static const uint64_t buckets[] = { 2, 0, 3, 0, 1 };

	metric_family(m, "x_run_seconds", METRIC_HISTOGRAM, "Run.");
	metric_histogram(m, LABELS({ "job", "a" }), bounds, ARRAY_LEN(bounds), buckets, 61002);
}

static void test_counter(void **state)
{
	(void)state;
	check(false, counter,
	      "# HELP x_jobs Jobs.\n# TYPE x_jobs counter\nx_jobs_total{job=\"a\",outcome=\"dead\"} "
	      "18446744073709551615\n# EOF\n");
	check(true, counter,
	      "# HELP x_jobs_total Jobs.\n# TYPE x_jobs_total "
	      "counter\nx_jobs_total{job=\"a\",outcome=\"dead\"} 18446744073709551615\n# EOF\n");
}

static void test_info(void **state)
{
	(void)state;
	check(false, info, "# HELP x_build Build.\n# TYPE x_build info\nx_build_info{version=\"1\"} 1\n");
	check(true, info,
	      "# HELP x_build_info Build.\n# TYPE x_build_info gauge\nx_build_info{version=\"1\"} 1\n");
}

static void test_gauges(void **state)
{
	(void)state;
	check(false, gauges,
	      "# HELP x_age_seconds Age.\n# TYPE x_age_seconds gauge\nx_age_seconds "
	      "12.034\nx_age_seconds{q=\"b\"} 0.000\n");
}

static void test_hostile_values(void **state)
{
	(void)state;
	check(false, hostile,
	      "# HELP x X.\n# TYPE x gauge\nx{q=\"a\\\"} "
	      "1\\nx{q=\\\"\\\\\",r=\"\xef\xbf\xbd\xc3\xa4\",s=\"\"} 0\n");
}

static void test_histogram(void **state)
{
	(void)state;
	check(true, histogram,
	      "# HELP x_run_seconds Run.\n# TYPE x_run_seconds histogram\n"
	      "x_run_seconds_bucket{job=\"a\",le=\"0.001\"} 2\n"
	      "x_run_seconds_bucket{job=\"a\",le=\"0.25\"} 2\n"
	      "x_run_seconds_bucket{job=\"a\",le=\"1.0\"} 5\n"
	      "x_run_seconds_bucket{job=\"a\",le=\"30.0\"} 5\n"
	      "x_run_seconds_bucket{job=\"a\",le=\"+Inf\"} 6\n"
	      "x_run_seconds_count{job=\"a\"} 6\n"
	      "x_run_seconds_sum{job=\"a\"} 61.002\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counter),   cmocka_unit_test(test_info),
		cmocka_unit_test(test_gauges),    cmocka_unit_test(test_hostile_values),
		cmocka_unit_test(test_histogram),
	};
	return RUN_GROUP(tests);
}
