/* Every type of key: what it takes, what it refuses, and in which words. */
#include "load_config.h"

#define JOB "jobs:\n  a:\n    shell: x\n    " /* what follows stands in line 4 from column 5 */

static void test_defaults(void **state)
{
	AUTO_LOADED l = load_good("jobs: { a: { shell: x } }");
	const struct config *c = l.config;
	const struct job *job = &c->jobs[0];

	(void)state;
	assert_string_equal(c->group, "xackd");
	assert_int_equal(c->unmatched, UNMATCHED_DEAD);
	assert_int_equal(c->drain_timeout_ms, 30000);
	assert_string_equal(c->state_dir, "/var/lib/xackd");
	assert_string_equal(c->control_socket, "/run/xackd/control.sock");
	assert_string_equal(c->runtime_dir, "/run/xackd");
	assert_int_equal(c->log_format, LOG_FORMAT_AUTO);
	assert_int_equal(c->log_level, 1);
	assert_string_equal(c->redis.host, "127.0.0.1");
	assert_int_equal(c->redis.port, 6379);
	assert_int_equal(c->redis.connect_timeout_ms, 5000);
	assert_int_equal(c->redis.command_timeout_ms, 10000);
	assert_string_equal(c->name, "web-1.example");
	assert_int_equal(c->pools[0].workers, 4);

	assert_string_equal(job->name, "a");
	assert_string_equal(job->stream, "a");
	assert_string_equal(job->group, "xackd");
	assert_string_equal(job->pool, "default");
	assert_int_equal(job->match_count, 0);
	assert_int_equal(job->weight, 1);
	assert_null(job->exec);
	assert_string_equal(job->shell, "x");
	assert_int_equal(job->stdin_kind, STDIN_JSON);
	assert_string_equal(job->payload_field, "payload");
	assert_int_equal(job->env_count, 0);
	assert_string_equal(job->cwd, "/");
	assert_null(job->user);
	assert_null(job->user_missing);
	assert_int_equal(job->umask, 022);
	assert_int_equal(job->nice, 0);
	assert_int_equal(
		job->limits.memory_bytes + job->limits.cpu_s + job->limits.files + job->limits.processes, 0);
	assert_int_equal(job->timeout_ms, 3600000);
	assert_int_equal(job->kill_grace_ms, 10000);
	assert_int_equal(job->lease_ms, 60000);
	assert_int_equal(job->lease_lost, LEASE_LOST_FINISH);
	assert_int_equal(job->foreign, FOREIGN_TAKE);
	assert_int_equal(job->retry.max_attempts, 5);
	assert_int_equal(job->retry.backoff, BACKOFF_EXPONENTIAL);
	assert_int_equal(job->retry.initial_ms, 1000);
	assert_int_equal(job->retry.max_ms, 900000);
	assert_true(job->retry.jitter > 0.19 && job->retry.jitter < 0.21);
	assert_int_equal(job->exits.code[0], EXIT_CLASS_ACK);
	assert_int_equal(job->exits.code[75], EXIT_CLASS_RETRY);
	assert_int_equal(job->exits.code[64], EXIT_CLASS_DEAD);
	assert_int_equal(job->exits.code[65], EXIT_CLASS_DEAD);
	assert_int_equal(job->exits.code[1], EXIT_CLASS_NONE);
	assert_int_equal(job->output, OUTPUT_LOG);
	assert_int_equal(job->success, SUCCESS_EACH);
	assert_int_equal(job->dead_maxlen, 0);
	assert_int_equal(job->start, START_BEGIN);
	assert_int_equal(job->concurrency, 0);
	assert_int_equal(job->rate.count, 0);
	assert_false(l.config->queues[0].limited);
}

static void test_values(void **state)
{
	AUTO_LOADED l = load_good(
		"name: web-1.x_y\n"
		"redis: { url: 'redis://me@[::1]:7000/3', password_file: secret, connect_timeout: 250ms }\n"
		"control_socket: run/ctl.sock\nstate_dir: ./state\nlog: { level: error, format: text, "
		"success: summary }\n"
		"unmatched: ack\ndrain_timeout: 0\nworkers: 7\n"
		"jobs:\n  a:\n    stream: 'x{tag}y'\n    exec: [ ./bin/run, '{f:-d}', '{{', 5, true, '' ]\n"
		"    umask: 077\n    nice: -20\n    cwd: work\n    timeout: 0\n    lease: 1s\n    start: $\n"
		"    limits: { memory: 512M, cpu: 1500ms, files: 256, processes: 64 }\n"
		"    dead: { maxlen: 10 }\n    retry: { jitter: 0, max: 2h, backoff: linear }\n"
		"    env: { A: 1, B: yes, C: '' }\n    match: { n: 5, 'm x': \"a\\tb\" }\n    weight: 3\n    "
		"mode: exec\n    concurrency: 3\n    rate: 90/m\n");
	const struct job *job = &l.config->jobs[0];

	(void)state;
	assert_string_equal(l.config->name, "web-1.x_y");
	assert_string_equal(l.config->redis.host, "::1");
	assert_string_equal(l.config->redis.username, "me");
	assert_string_equal(l.config->redis.password_file, "/conf/secret");
	assert_int_equal(l.config->redis.connect_timeout_ms, 250);
	assert_string_equal(l.config->control_socket, "/conf/run/ctl.sock");
	assert_string_equal(l.config->runtime_dir, "/conf/run");
	assert_string_equal(l.config->state_dir, "/conf/state");
	assert_int_equal(l.config->log_level, 4);
	assert_int_equal(l.config->log_format, LOG_FORMAT_TEXT);
	assert_int_equal(l.config->unmatched, UNMATCHED_ACK);
	assert_int_equal(l.config->drain_timeout_ms, 0);
	assert_int_equal(l.config->pools[0].workers, 7);
	assert_int_equal(job->success, SUCCESS_SUMMARY);
	assert_int_equal(job->concurrency, 3);
	assert_int_equal(job->rate.count, 90);
	assert_int_equal(job->rate.period_ms, 60000);
	assert_true(l.config->queues[0].limited);
	assert_string_equal(job->stream, "x{tag}y");
	assert_int_equal(job->exec_count, 6);
	assert_string_equal(job->exec[0], "/conf/bin/run");
	assert_string_equal(job->exec[3], "5");
	assert_string_equal(job->exec[4], "true");
	assert_string_equal(job->exec[5], "");
	assert_null(job->exec[6]);
	assert_null(job->templates[0]);
	assert_non_null(job->templates[5]);
	assert_int_equal(job->umask, 077);
	assert_int_equal(job->nice, -20);
	assert_string_equal(job->cwd, "/conf/work");
	assert_int_equal(job->timeout_ms, 0);
	assert_int_equal(job->start, START_END);
	assert_int_equal(job->limits.memory_bytes, 512 << 20);
	assert_int_equal(job->limits.cpu_s, 2);
	assert_int_equal(job->limits.files, 256);
	assert_int_equal(job->limits.processes, 64);
	assert_int_equal(job->dead_maxlen, 10);
	assert_int_equal(job->retry.max_ms, 7200000);
	assert_int_equal(job->retry.initial_ms, 1000);
	assert_string_equal(job->env[1].value, "yes");
	assert_string_equal(job->env[2].value, "");
	assert_string_equal(job->matches[0].value, "5");
	assert_string_equal(job->matches[1].name, "m x");
	assert_string_equal(job->matches[1].value, "a\tb");
}

static void test_null_is_not_given(void **state)
{
	AUTO_LOADED l = load_good("name: ~\nredis:\nworkers: null\njobs:\n  a:\n    shell: x\n    group:\n   "
				  " timeout: ~\n    stream: '~'\n");

	(void)state;
	assert_string_equal(l.config->jobs[0].group, "xackd");
	assert_string_equal(l.config->jobs[0].stream, "~");
	assert_int_equal(l.config->jobs[0].timeout_ms, 3600000);
}

static void test_refused_values(void **state)
{
	static const struct refusal rows[] = {
		{ JOB "timeout: 30",
		  "main.yaml:4:14: jobs.a.timeout: \"30\" has no unit (write 30s, or with ms, m, h, d)\n" },
		{ JOB "timeout: 3 s", "main.yaml:4:14: jobs.a.timeout: \"3 s\" is not a duration (such as "
				      "500ms, 30s, 5m, 2h, 7d or 0)\n" },
		{ JOB "timeout: -3s", "main.yaml:4:14: jobs.a.timeout: \"-3s\" is not a duration (such as "
				      "500ms, 30s, 5m, 2h, 7d or 0)\n" },
		{ JOB "timeout: [ 3s ]", "main.yaml:4:14: jobs.a.timeout: must be one value, not a list\n" },
		{ JOB "lease: 999ms", "main.yaml:4:12: jobs.a.lease: must be at least 1s, not \"999ms\"\n" },
		{ JOB "umask: 888", "main.yaml:4:12: jobs.a.umask: \"888\" is not an octal mask from \"000\" "
				    "to \"777\" (such as \"022\")\n" },
		{ JOB "umask: 7777", "main.yaml:4:12: jobs.a.umask: \"7777\" is not an octal mask from "
				     "\"000\" to \"777\" (such as \"022\")\n" },
		{ JOB "nice: 20", "main.yaml:4:11: jobs.a.nice: must be -20 to 19, not \"20\"\n" },
		{ JOB "weight: 0", "main.yaml:4:13: jobs.a.weight: must be 1 to 1000, not \"0\"\n" },
		{ JOB "weight: 0x10", "main.yaml:4:13: jobs.a.weight: \"0x10\" is not a whole number\n" },
		{ JOB "weight: 99999999999999999999",
		  "main.yaml:4:13: jobs.a.weight: must be 1 to 1000, not \"99999999999999999999\"\n" },
		{ JOB "limits: { memory: 5Q }",
		  "main.yaml:4:23: jobs.a.limits.memory: \"5Q\" is not a size (such as 64K, 10M or 2G)\n" },
		{ JOB "limits: 5",
		  "main.yaml:4:13: jobs.a.limits: must be a mapping of keys (such as KEY: VALUE)\n" },
		{ JOB "retry: { jitter: 1.5 }", "main.yaml:4:22: jobs.a.retry.jitter: \"1.5\" is not a "
						"number from 0 to 1 (such as 0.2)\n" },
		{ JOB "stdin: jsn", "main.yaml:4:12: jobs.a.stdin: \"jsn\" is not json, payload or none (did "
				    "you mean json?)\n" },
		{ JOB "persistent: { window: 0 }",
		  "main.yaml:4:27: jobs.a.persistent.window: must be 1 to 1000, not \"0\"\n" },
		{ JOB "stream: ''", "main.yaml:4:13: jobs.a.stream: must not be empty\n" },
		{ JOB "stream: 'a{b'", "main.yaml:4:13: jobs.a.stream: \"a{b\" has braces that form no valid "
				       "hash tag (one {...} with something in it, or none)\n" },
		{ JOB "group: xackd:x", "main.yaml:4:12: jobs.a.group: \"xackd:x\" is reserved (names of "
					"groups do not begin with xackd:)\n" },
		{ JOB "pool: a/b",
		  "main.yaml:4:11: jobs.a.pool: \"a/b\" is not a name (1 to 64 of A-Z a-z 0-9 . _ -)\n" },
		{ JOB "env: [ A ]",
		  "main.yaml:4:10: jobs.a.env: must be a mapping (such as { NAME: VALUE })\n" },
		{ JOB "env: { XACKD_ID: 1 }", "main.yaml:4:12: jobs.a.env.XACKD_ID: \"XACKD_ID\" is xackd's "
					      "own (XACKD_* and FIELD_* cannot be set)\n" },
		{ JOB "env: { FIELD_X: 1 }", "main.yaml:4:12: jobs.a.env.FIELD_X: \"FIELD_X\" is xackd's own "
					     "(XACKD_* and FIELD_* cannot be set)\n" },
		{ JOB "env: { 1A: 1 }",
		  "main.yaml:4:12: jobs.a.env.1A: \"1A\" is not the name of an environment variable\n" },
		{ JOB "env: { A: }",
		  "main.yaml:4:15: jobs.a.env.A: has no value (write \"\" for an empty text)\n" },
		{ JOB "match: { t: [ x ] }",
		  "main.yaml:4:17: jobs.a.match.t: must be one value, not a list\n" },
		{ JOB "output: \"a\\eb\\nc\"",
		  "main.yaml:4:13: jobs.a.output: \"a\\x1bb\\x0ac\" is not log or discard\n" },
	};

	(void)state;
	check_refusals(rows, ARRAY_LEN(rows));
}

static void test_refused_main(void **state)
{
	static const struct refusal rows[] = {
		{ "name: a b\njobs: { a: { shell: x } }",
		  "main.yaml:1:7: name: \"a b\" is not a name (1 to 64 of A-Z a-z 0-9 . _ -)\n" },
		{ "workers: 1025\njobs: { a: { shell: x } }",
		  "main.yaml:1:10: workers: must be 1 to 1024, not \"1025\"\n" },
		{ "redis: { url: 'rediss://h' }\njobs: { a: { shell: x } }",
		  "main.yaml:1:10: redis.url: \"rediss://h\" is not supported in this version (write "
		  "embedded, redis:// or unix://)\n" },
		{ "redis: { url: 'redis+sentinel://h:1/m/0' }\njobs: { a: { shell: x } }",
		  "main.yaml:1:10: redis.url: \"redis+sentinel://h:1/m/0\" is not supported in this version "
		  "(write embedded, redis:// or unix://)\n" },
		{ "redis: { password_file: a, password_env: B }\njobs: { a: { shell: x } }",
		  "main.yaml:1:28: redis: password_file and password_env exclude each other\n" },
		{ "include: a.yaml\njobs: { a: { shell: x } }",
		  "main.yaml:1:10: include: must be a list (such as [ a, b ])\n" },
		{ "jobs: { a b: { shell: x } }", "main.yaml:1:9: jobs.a b: \"a b\" is not a name for a job "
						 "(1 to 64 of A-Z a-z 0-9 . _ -)\n" },
		{ "jobs: [ a ]", "main.yaml:1:7: jobs: must be a mapping of names (such as jobs: { hello: { "
				 "exec: [ /bin/echo ] } })\n" },
		{ "",
		  "main.yaml:1:1: there are no jobs (give it jobs:, or include: files that have some)\n" },
		{ "jobs: {}",
		  "main.yaml:1:1: there are no jobs (give it jobs:, or include: files that have some)\n" },
		{ "- a", "main.yaml:1:1: must be a mapping of keys (such as jobs: VALUE)\n" },
	};

	(void)state;
	check_refusals(rows, ARRAY_LEN(rows));
}

static void test_unknown_keys(void **state)
{
	static const struct refusal rows[] = {
		{ JOB "timeuot: 5s", "main.yaml:4:5: jobs.a.timeuot: unknown key (did you mean timeout?)\n" },
		{ JOB "kill-grace: 5s",
		  "main.yaml:4:5: jobs.a.kill-grace: unknown key (did you mean kill_grace?)\n" },
		{ JOB "max_attempts: 5",
		  "main.yaml:4:5: jobs.a.max_attempts: unknown key (max_attempts belongs into retry:)\n" },
		{ JOB "zzz: 5", "main.yaml:4:5: jobs.a.zzz: unknown key\n" },
		{ JOB "retain: {}", "main.yaml:4:13: jobs.a.retain: must be all, acked, { age: DURATION } or { maxlen: NUMBER }\n" },
		{ JOB "concurrency: -1", "main.yaml:4:18: jobs.a.concurrency: must be 0 to 10000, not \"-1\"\n" },
		{ JOB "rate: 10", "main.yaml:4:11: jobs.a.rate: \"10\" has no unit of time (write 10/s, or with /m, /h)\n" },
		{ JOB "rate: 0/s",
		  "main.yaml:4:11: jobs.a.rate: must be 1 to 1000000 in a second, minute or hour, not \"0/s\" (0 for no limit)\n" },
		{ JOB "rate: 10/d", "main.yaml:4:11: jobs.a.rate: \"10/d\" is not a rate (such as 10/s, 600/m, 5000/h or 0)\n" },
		{ JOB "retry: { atempts: 1, inital: 2s }",
		  "main.yaml:4:14: jobs.a.retry.atempts: unknown key\n"
		  "main.yaml:4:26: jobs.a.retry.inital: unknown key (did you mean initial?)\n" },
		{ "timeout: 5s\njobs: { a: { shell: x } }",
		  "main.yaml:1:1: timeout: unknown key (timeout belongs into a job, or into defaults:)\n" },
		{ "redis: { tls: {} }\njobs: { a: { shell: x } }",
		  "main.yaml:1:10: redis.tls: is not supported in this version\n" },
	};

	(void)state;
	check_refusals(rows, ARRAY_LEN(rows));
}

static void test_commands(void **state)
{
	static const struct refusal rows[] = {
		{ "jobs:\n  a:\n    stream: x",
		  "main.yaml:2:3: jobs.a: does nothing (give it exec: or shell:)\n" },
		{ "jobs:\n  a:", "main.yaml:2:3: jobs.a: does nothing (give it exec: or shell:)\n" },
		{ "jobs:\n  a:\n    exec: [ x ]\n    shell: y",
		  "main.yaml:4:5: jobs.a: has exec: (line 3) and shell: (line 4), but can only have one\n" },
		{ "jobs:\n  a:\n    exec: []",
		  "main.yaml:3:11: jobs.a.exec: must not be empty (the program and its arguments)\n" },
		{ "jobs:\n  a:\n    exec: ls",
		  "main.yaml:3:11: jobs.a.exec: must be a list (such as [ a, b ])\n" },
		{ "jobs:\n  a:\n    exec: [ 'a{b}' ]",
		  "main.yaml:3:15: jobs.a.exec[0]: the program is no template: braces cannot stand in it\n" },
		{ "jobs:\n  a:\n    exec: [ '' ]", "main.yaml:3:13: jobs.a.exec[0]: must not be empty\n" },
		{ "jobs:\n  a:\n    exec: [ a, ~ ]",
		  "main.yaml:3:16: jobs.a.exec[1]: has no value (write \"\" for an empty text)\n" },
	};
	static const struct refusal columns[] = {
		{ "jobs:\n  a:\n    exec: [ a, 'xy{}' ]", "main.yaml:3:19: jobs.a.exec[1]: " },
		{ "jobs:\n  a:\n    exec:\n    - a\n    - xy}", "main.yaml:5:9: jobs.a.exec[1]: " },
		{ "jobs:\n  a:\n    exec: [ a, '{@nope}' ]", "main.yaml:3:17: jobs.a.exec[1]: " },
		{ "jobs:\n  a:\n    exec: [ a, 'it''s {@no\nx}' ]", "main.yaml:3:16: jobs.a.exec[1]: " },
	};

	(void)state;
	check_refusals(rows, ARRAY_LEN(rows));
	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		AUTO_LOADED l = load_text(columns[i].text);

		assert_null(l.config);
		if (strncmp(l.report.p, columns[i].report, strlen(columns[i].report)) != 0)
			fail_msg("%s: %s", columns[i].text, l.report.p);
		assert_ptr_equal(strchr(l.report.p, '\n'), l.report.p + l.report.n - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),          cmocka_unit_test(test_values),
		cmocka_unit_test(test_null_is_not_given), cmocka_unit_test(test_refused_values),
		cmocka_unit_test(test_refused_main),      cmocka_unit_test(test_unknown_keys),
		cmocka_unit_test(test_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
