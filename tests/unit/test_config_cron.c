/* Schedules in the configuration: what they become, every mistake with its place, and zones from files and
 * from the environment. */
#include "load_config.h"

#include <sys/stat.h>

#define JOBS "jobs:\n  a: { shell: x, stream: s, match: { t: x } }\n  b: { shell: x, stream: s }\ncron:\n"

static void check_pairs(const struct schedule *s, const char *const *words)
{
	for (size_t i = 0; i < s->pair_count; i++) {
		assert_true(bytes_eq(s->pairs[i].name, bytes_of(words[2 * i])));
		assert_true(bytes_eq(s->pairs[i].value, bytes_of(words[2 * i + 1])));
	}
	assert_null(words[2 * s->pair_count]);
}

static void test_good(void **state)
{
	static const char *const texts[] = {
		JOBS "  one: { schedule: 30 2 * * *, timezone: UTC, job: a, fields: { p: \"/\\xe4\", n: 3, "
		     "e: \"\" }, missed: all }\n"
		     "  two: { schedule: '@daily', job: b }\n",
		"cron:\n  three: { schedule: 0 0 1 1 *, job: a, fields: { t: x } }\n",
		"cron:\njobs:\n",
	};
	static const char *const one[] = { "p", "/\xc3\xa4",      "n",   "3", "e", "", "t",
					   "x", "xackd.schedule", "one", NULL };
	static const char *const two[] = { "xackd.schedule", "two", NULL };
	static const char *const three[] = { "t", "x", "xackd.schedule", "three", NULL };
	AUTO_LOADED l = load_texts(texts, ARRAY_LEN(texts));

	(void)state;
	assert_non_null(l.config);
	assert_int_equal(l.config->schedule_count, 3);
	const struct schedule *s = l.config->schedules;
	assert_string_equal(s[0].name, "one");
	assert_string_equal(s[0].expression, "30 2 * * *");
	assert_string_equal(s[0].timezone, "UTC");
	assert_string_equal(s[0].rule, "30 2 * * * UTC");
	assert_null(s[0].zone);
	assert_ptr_equal(s[0].job, &l.config->jobs[0]);
	assert_int_equal(s[0].missed, MISSED_ALL);
	check_pairs(&s[0], one);
	assert_int_equal(s[1].missed, MISSED_ONCE);
	assert_null(s[1].timezone);
	assert_string_equal(s[1].rule, "@daily");
	check_pairs(&s[1], two);
	check_pairs(&s[2], three);

	AUTO_BUF once = { 0 }, twice = { 0 };
	assert_int_equal(config_print_effective(l.config, &once), 0);
	AUTO_LOADED again = load_good(once.p);
	assert_int_equal(config_print_effective(again.config, &twice), 0);
	assert_string_equal(once.p, twice.p);
	assert_int_equal(again.config->schedule_count, 3);
	check_pairs(&again.config->schedules[0], one);
}

static const struct refusal refusals[] = {
	{ JOBS "  n: { schedule: '0 61 * * *', job: b }",
	  "main.yaml:5:21: cron.n.schedule: \"0 61 * * *\": hour: must be 0 to 23, not 61\n" },
	{ JOBS "  n: { schedule: 0 61 * * *, job: b }",
	  "main.yaml:5:20: cron.n.schedule: \"0 61 * * *\": hour: must be 0 to 23, not 61\n" },
	{ JOBS "  n:\n    schedule: |\n      0 61 * * *\n    job: b",
	  "main.yaml:6:15: cron.n.schedule: \"0 61 * * *\\x0a\": hour: must be 0 to 23, not 61\n" },
	{ JOBS "  n: { schedule: '', job: b }", "main.yaml:5:18: cron.n.schedule: must not be empty\n" },
	{ JOBS "  n: { schedule: [ 1 ], job: b }",
	  "main.yaml:5:18: cron.n.schedule: must be one value, not a list\n" },
	{ JOBS "  n: { schedule: \"\\e[2J * * * *\", job: b }",
	  "main.yaml:5:18: cron.n.schedule: \"\\x1b[2J * * * *\": minute: a number is missing\n" },
	{ JOBS "  n: { schedule: '@daily' }", "main.yaml:5:3: cron.n: does nothing (give it job:)\n" },
	{ JOBS "  n: { job: b }",
	  "main.yaml:5:3: cron.n: never comes (give it schedule:, such as \"0 3 * * *\")\n" },
	{ JOBS "  n:", "main.yaml:5:3: cron.n: never comes (give it schedule:, such as \"0 3 * * "
		       "*\")\nmain.yaml:5:3: cron.n: does nothing (give it job:)\n" },
	{ JOBS "  n: x", "main.yaml:5:6: cron.n: must be a mapping of keys (such as schedule: VALUE)\n" },
	{ JOBS "  n: { schedule: '@daily', job: bb }",
	  "main.yaml:5:28: cron.n.job: there is no job \"bb\" (did you mean b?)\n" },
	{ JOBS "  n: { schedule: '@daily', job: nobody }",
	  "main.yaml:5:28: cron.n.job: there is no job \"nobody\" (name one of jobs:)\n" },
	{ JOBS "  n: { schedule: '@daily', jobs: b }",
	  "main.yaml:5:3: cron.n: does nothing (give it job:)\n"
	  "main.yaml:5:28: cron.n.jobs: unknown key (did you mean job?)\n" },
	{ JOBS "  n: { schedule: '@daily', job: b, missed: never }",
	  "main.yaml:5:44: cron.n.missed: \"never\" is not once, skip or all\n" },
	{ JOBS "  n: { schedule: '@daily', job: a, fields: { t: y } }",
	  "main.yaml:5:36: cron.n.fields: with these fields the entries would be of job b, which "
	  "stands before a and has the same stream and group\n" },
	{ JOBS "  n: { schedule: '@daily', job: b, fields: { t: x } }",
	  "main.yaml:5:36: cron.n.fields: with these fields the entries would be of job a, which "
	  "stands before b and has the same stream and group\n" },
	{ "jobs: { a: { shell: x, match: { t: x } } }\ncron: { n: { schedule: '@daily', job: a, "
	  "fields: { t: y } } }",
	  "main.yaml:2:42: cron.n.fields: with these fields the entries would be of no job: they "
	  "contradict the match of a\n" },
	{ JOBS "  n: { schedule: '@daily', job: b, fields: { xackd.slot: 1 } }",
	  "main.yaml:5:46: cron.n.fields.xackd.slot: \"xackd.slot\" is xackd's own (names of fields "
	  "do not begin with xackd. here)\n" },
	{ JOBS "  n: { schedule: '@daily', job: b, fields: [ a ] }",
	  "main.yaml:5:44: cron.n.fields: must be a mapping (such as { NAME: VALUE })\n" },
	{ JOBS "  n: { schedule: '@daily', job: b, fields: { a: [ b ] } }",
	  "main.yaml:5:49: cron.n.fields.a: must be one value, not a list\n" },
	{ JOBS "  n: { schedule: '@daily', job: b, fields: { a: } }",
	  "main.yaml:5:49: cron.n.fields.a: has no value (write \"\" for an empty text)\n" },
	{ JOBS "  n/m: { schedule: '@daily', job: b }",
	  "main.yaml:5:3: cron.n/m: \"n/m\" is not a name for a schedule (1 to 64 of A-Z a-z 0-9 . _ "
	  "-)\n" },
	{ JOBS "  n: { schedule: '@daily', job: b, timezone: ../etc/passwd }",
	  "main.yaml:5:36: cron.n.timezone: there is no time zone \"../etc/passwd\" in "
	  "/usr/share/zoneinfo (such as Europe/Paris or UTC; the package is tzdata)\n" },
	{ JOBS "  n: { schedule: '@daily', job: b, timezone: CET-1CEST }",
	  "main.yaml:5:36: cron.n.timezone: there is no time zone \"CET-1CEST\" in "
	  "/usr/share/zoneinfo (such as Europe/Paris or UTC; the package is tzdata)\n" },
	{ "jobs: { a: { shell: x } }\ncron: [ n ]",
	  "main.yaml:2:7: cron: must be a mapping of names (such as cron: { nightly: { schedule: \"0 "
	  "3 * * *\", job: hello } })\n" },
	/* Where the jobs are wrong, a job that is not found is none of the mistakes. */
	{ "jobs: { a: { shell: x, lease: 5 } }\ncron: { n: { schedule: '@daily', job: z, missed: x } "
	  "}",
	  "main.yaml:1:31: jobs.a.lease: \"5\" has no unit (write 5s, or with ms, m, h, "
	  "d)\nmain.yaml:2:50: cron.n.missed: \"x\" is not once, skip or all\n" },
};

static void test_refused(void **state)
{
	(void)state;
	unsetenv("TZDIR");
	unsetenv("TZ");
	check_refusals(refusals, ARRAY_LEN(refusals));

	static const char *const twice[] = { JOBS "  n: { schedule: '@daily', job: b }\n",
					     "cron:\n  n: { schedule: '@daily', job: a }\n" };
	AUTO_LOADED l = load_texts(twice, ARRAY_LEN(twice));
	assert_null(l.config);
	assert_string_equal(l.report.p,
			    "1.yaml:2:3: cron.n: there is a schedule of this name already (main.yaml:5:3)\n");
}

static void test_many(void **state)
{
	AUTO_BUF text = { 0 };

	(void)state;
	buf_add_text(&text, JOBS);
	for (int i = 0; i < 1000; i++)
		buf_addf(&text, "  n%d: { schedule: '%d * * * *', job: b }\n", i, i % 60);
	AUTO_LOADED most = load_good(text.p);
	assert_int_equal(most.config->schedule_count, 1000);
	buf_add_text(&text, "  more: { schedule: '@daily', job: b }\n");
	check_refused(text.p, "main.yaml: cron: has 1001 schedules (1000 at most)\n");
}

static int64_t offset_of(const char *text)
{
	AUTO_LOADED l = load_good(text);

	return zone_span(l.config->schedules[0].zone, 1767225600 /* in winter */).offset_s;
}

static void test_zones(void **state)
{
	static const char own[] = JOBS "  n: { schedule: '@daily', job: b }";
	static const char paris[] = JOBS "  n: { schedule: '@daily', job: b, timezone: Europe/Paris }";
	static const char utc[] = JOBS "  n: { schedule: '@daily', job: b, timezone: UTC }";

	(void)state;
	unsetenv("TZDIR");
	assert_int_equal(offset_of(paris), 3600);
	setenv("TZ", "America/New_York", 1);
	assert_int_equal(offset_of(own), -5 * 3600);
	assert_int_equal(offset_of(paris), 3600);
	setenv("TZ", ":America/New_York", 1);
	assert_int_equal(offset_of(own), -5 * 3600);
	setenv("TZ", ":/usr/share/zoneinfo/America/New_York", 1);
	assert_int_equal(offset_of(own), -5 * 3600);
	setenv("TZ", "QQQ-7YYY,M3.5.0,M10.5.0", 1);
	assert_int_equal(offset_of(own), 7 * 3600);
	setenv("TZ", "", 1);
	assert_int_equal(offset_of(own), 0);
	setenv("TZ", "No/Where", 1);
	check_refused(own, "main.yaml:5:3: cron.n.timezone: TZ=\"No/Where\" in the environment names no time "
			   "zone (say timezone: here)\n");
	unsetenv("TZ");

	char folder[] = "/tmp/xackd-zones-XXXXXX";
	assert_non_null(mkdtemp(folder));
	setenv("TZDIR", folder, 1);
	assert_int_equal(offset_of(utc), 0);
	AUTO_LOADED none = load_text(paris);
	assert_null(none.config);
	assert_non_null(strstr(none.report.p, "there is no time zone \"Europe/Paris\" in /tmp/xackd-zones-"));
	AUTO_BUF path = { 0 };
	buf_addf(&path, "%s/Bad", folder);
	FILE *file = fopen(path.p, "w");
	assert_non_null(file);
	fputs("no zone", file);
	fclose(file);
	AUTO_LOADED bad = load_text(JOBS "  n: { schedule: '@daily', job: b, timezone: Bad }");
	assert_null(bad.config);
	assert_non_null(strstr(bad.report.p, "is no time zone that can be used"));
	unlink(path.p);
	rmdir(folder);
	unsetenv("TZDIR");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_zones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
