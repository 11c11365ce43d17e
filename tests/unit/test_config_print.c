/* What is made from the table: the sample loads, the effective configuration loads to itself, the schema is
 * JSON with every key. */
#include "load_config.h"

#include "base/json.h"
#include "config/keys.h"

static void test_sample(void **state)
{
	AUTO_BUF sample = { 0 }, with = { 0 };

	(void)state;
	assert_int_equal(config_print_sample(&sample), 0);
	AUTO_LOADED l = load_good(sample.p);
	assert_int_equal(l.config->job_count, 1);

	AUTO_LOADED bare = load_good("jobs: { hello: { exec: [ /bin/echo, '{name:-world}' ] } }");
	AUTO_BUF one = { 0 }, other = { 0 };
	assert_int_equal(config_print_effective(l.config, &one), 0);
	assert_int_equal(config_print_effective(bare.config, &other), 0);
	assert_string_equal(one.p, other.p); /* the sample is the defaults */

	/* The examples in its comments are right too: "#key: value" is one, "# Text" is not. */
	for (const char *p = sample.p; *p; p++) {
		bool example = *p == '#' && p[1] != ' ' && !strstr((char[2]){ p[1], 0 }, "#");
		if (example && (strncmp(p, "#password_env", 13) == 0 || strncmp(p, "#shell", 6) == 0 ||
				strncmp(p, "#pools", 6) == 0 || strncmp(p, "#user:", 6) == 0))
			example = false; /* excluded by another one, or by who runs this */
		if (!example)
			buf_add_char(&with, *p);
	}
	AUTO_LOADED full = load_good(with.p);
	assert_string_equal(full.config->name, "web1");
	assert_int_equal(full.config->jobs[0].limits.files, 256);
}

static void test_effective(void **state)
{
	AUTO_LOADED l =
		load_good("name: x\nredis: { url: 'unix:///run/r.sock?db=2', password_env: PW }\npools: { p: "
			  "{ workers: 2 } }\n"
			  "defaults: { env: { A: \"q\\\"\\\\\\t\\u0085\\u00e9\" }, exit_codes: { later: [ "
			  "KILL, 9 ] } }\n"
			  "jobs:\n  a: { exec: [ ./x, '{f}', \"l\\nm\" ], pool: p, limits: { cpu: 90s, "
			  "memory: 1G }, nice: -5, match: { '5': '0x5' } }\n"
			  "  b: { shell: \"x\\ny\", stdin: none, umask: '077', start: $, lease: 1500ms }\n");
	AUTO_BUF once = { 0 }, twice = { 0 };

	(void)state;
	assert_int_equal(config_print_effective(l.config, &once), 0);
	AUTO_LOADED again = load_good(once.p);
	assert_int_equal(config_print_effective(again.config, &twice), 0);
	assert_string_equal(once.p, twice.p);
	assert_string_equal(again.config->jobs[0].env[0].value, "q\"\\\t\xc2\x85\xc3\xa9");
	assert_string_equal(again.config->jobs[0].exec[2], "l\nm");
	assert_string_equal(again.config->redis.path, "/run/r.sock");
}

static void test_schema(void **state)
{
	AUTO_BUF schema = { 0 }, reference = { 0 };

	(void)state;
	assert_int_equal(config_print_schema(&schema), 0);
	AUTO_JSON *json = json_parse(buf_bytes(&schema));
	assert_non_null(json);
	json_t *job =
		json_object_get(json_object_get(json_object_get(json_object_get(json, "properties"), "jobs"),
						"additionalProperties"),
				"properties");
	assert_int_equal(config_print_reference(&reference), 0);
	for (size_t i = 0; i < KEY_COUNT; i++) {
		AUTO_BUF line = { 0 };

		if (key_table[i].section == SECTION_JOB)
			assert_non_null(json_object_get(job, key_table[i].name));
		buf_addf(&line, "\n  %s: ", key_table[i].name);
		assert_non_null(strstr(reference.p, line.p));
		assert_non_null(key_table[i].help);
	}
}

static void test_warnings(void **state)
{
	AUTO_LOADED l = load_good("pools: { idle: {} }\njobs:\n  a: { exec: [ /nonexistent/x ] }\n  b: { "
				  "exec: [ no-such-program-anywhere ], cwd: /nonexistent }\n"
				  "  c: { exec: [ /etc/passwd ] }\n  d: { exec: [ sh ] }\n  e: { exec: [ "
				  "/etc ] }\n  f: { shell: x }\n"
				  "  g: { shell: x, stream: s, match: { t: 1 } }\n  h: { shell: x, stream: "
				  "s, match: { u: 2, t: 1 } }\n");
	AUTO_BUF report = { 0 };

	(void)state;
	assert_int_equal(config_warnings(l.config, &report), 7);
	assert_string_equal(
		report.p,
		"jobs.a.exec: warning: /nonexistent/x does not exist: the job will be suspended\n"
		"jobs.b.exec: warning: no-such-program-anywhere does not exist: the job will be suspended\n"
		"jobs.b.cwd: warning: /nonexistent is not a folder: the job will be suspended\n"
		"jobs.c.exec: warning: /etc/passwd is not executable: the job will be suspended\n"
		"jobs.e.exec: warning: /etc is not a file: the job will be suspended\n"
		"jobs.h.match: warning: never gets an entry: job g, which stands before it, takes them all\n"
		"pools.idle: warning: no job uses it\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sample),
		cmocka_unit_test(test_effective),
		cmocka_unit_test(test_schema),
		cmocka_unit_test(test_warnings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
