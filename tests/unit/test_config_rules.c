/* What concerns several keys, jobs or files: merging, exit codes, queues, pools, users, and errors all at
 * once. */
#include "load_config.h"

#include <pwd.h>

static void test_merge(void **state)
{
	AUTO_LOADED l = load_good(
		"group: main\nlog: { success: summary }\n"
		"defaults:\n  timeout: 5m\n  env: { A: 1, B: 2 }\n  match: { t: x }\n  limits: { files: 10, "
		"cpu: 5s }\n"
		"  retry: { max_attempts: 2, initial: 3s }\n  exec: [ run, '{p}' ]\n"
		"jobs:\n"
		"  a:\n    env: { B: 3, C: 4 }\n    limits: { cpu: 9s }\n    retry: { initial: 4s }\n"
		"  b:\n    timeout: 1s\n    match: { t: y, u: z }\n    success: each\n");
	const struct job *a = &l.config->jobs[0], *b = &l.config->jobs[1];

	(void)state;
	assert_int_equal(a->timeout_ms, 300000);
	assert_int_equal(a->env_count, 3);
	assert_string_equal(a->env[0].value, "1");
	assert_string_equal(a->env[1].value, "3");
	assert_string_equal(a->env[2].name, "C");
	assert_int_equal(a->limits.files, 10);
	assert_int_equal(a->limits.cpu_s, 9);
	assert_int_equal(a->retry.max_attempts, 2);
	assert_int_equal(a->retry.initial_ms, 4000);
	assert_int_equal(a->success, SUCCESS_SUMMARY);
	assert_string_equal(a->group, "main");
	assert_string_equal(a->exec[1], "{p}");
	assert_int_equal(b->timeout_ms, 1000);
	assert_int_equal(b->env_count, 2);
	assert_string_equal(b->env[1].value, "2");
	assert_int_equal(b->match_count, 2);
	assert_string_equal(b->matches[0].value, "y");
	assert_int_equal(b->success, SUCCESS_EACH);
	assert_ptr_equal(config_job(l.config, "b"), b);
	assert_null(config_job(l.config, "c"));
}

static void test_exit_codes(void **state)
{
	AUTO_LOADED l = load_good(
		"defaults: { exit_codes: { later: [ 9, KILL ] } }\n"
		"jobs:\n"
		"  a: { shell: x, exit_codes: { dead: [ 3, 75 ] } }\n"
		"  b: { shell: x, exit_codes: { ack: [ 7 ], later: [], retry: [ SIGTERM, 255 ] } }\n"
		"  c: { shell: x, exit_codes: { dead: [ 9 ] } }\n");
	const struct exit_rules *a = &l.config->jobs[0].exits, *b = &l.config->jobs[1].exits,
				*c = &l.config->jobs[2].exits;

	(void)state;
	assert_int_equal(a->code[3], EXIT_CLASS_DEAD);
	assert_int_equal(a->code[64], EXIT_CLASS_NONE); /* the list is the whole class */
	assert_int_equal(a->code[65], EXIT_CLASS_NONE);
	assert_int_equal(a->code[75], EXIT_CLASS_DEAD); /* named elsewhere */
	assert_int_equal(a->code[9], EXIT_CLASS_LATER);
	assert_int_equal(a->signal[9], EXIT_CLASS_LATER);
	assert_int_equal(a->code[0], EXIT_CLASS_ACK);
	assert_int_equal(b->code[0], EXIT_CLASS_ACK); /* always */
	assert_int_equal(b->code[7], EXIT_CLASS_ACK);
	assert_int_equal(b->code[9], EXIT_CLASS_NONE);
	assert_int_equal(b->signal[9], EXIT_CLASS_NONE);
	assert_int_equal(b->signal[15], EXIT_CLASS_RETRY);
	assert_int_equal(b->code[255], EXIT_CLASS_RETRY);
	assert_int_equal(b->code[64], EXIT_CLASS_DEAD);
	assert_int_equal(c->code[9], EXIT_CLASS_DEAD);
	assert_int_equal(c->signal[9], EXIT_CLASS_LATER);
}

static void test_exit_codes_refused(void **state)
{
	static const struct refusal rows[] = {
		{ "jobs: { a: { shell: x, exit_codes: { dead: [ 0 ] } } }",
		  "main.yaml:1:46: jobs.a.exit_codes.dead[0]: 0 is success and can only stand in ack\n" },
		{ "jobs: { a: { shell: x, exit_codes: { dead: [ 3 ], ack: [ 3 ] } } }",
		  "main.yaml:1:58: jobs.a.exit_codes.ack[0]: \"3\" is named in two classes\n" },
		{ "jobs: { a: { shell: x, exit_codes: { dead: [ 256, -1 ] } } }",
		  "main.yaml:1:46: jobs.a.exit_codes.dead[0]: an exit code is 0 to 255, not \"256\"\n"
		  "main.yaml:1:51: jobs.a.exit_codes.dead[1]: an exit code is 0 to 255, not \"-1\"\n" },
		{ "jobs: { a: { shell: x, exit_codes: { dead: 3 } } }",
		  "main.yaml:1:44: jobs.a.exit_codes.dead: must be a list of exit codes and signals (such as "
		  "[ 75, KILL ])\n" },
		{ "jobs: { a: { shell: x, exit_codes: { dead: [ NOPE ] } } }",
		  "main.yaml:1:46: jobs.a.exit_codes.dead[0]: \"NOPE\" is neither an exit code nor a signal "
		  "(such as 75 or KILL)\n" },
	};

	(void)state;
	check_refusals(rows, ARRAY_LEN(rows));
}

static void test_queues(void **state)
{
	AUTO_LOADED l =
		load_good("workers: 3\npools: { slow: { workers: 2 }, unused: {} }\n"
			  "jobs:\n"
			  "  z: { stream: s2, shell: x, pool: slow }\n"
			  "  b: { stream: s1, shell: x, match: { t: b }, lease: 10s, weight: 4, foreign: "
			  "leave, dead: { maxlen: 5 } }\n"
			  "  a: { stream: s1, shell: x, lease: 90s, foreign: leave, dead: { maxlen: 5 } }\n"
			  "  c: { stream: s0, shell: x }\n");
	const struct config *c = l.config;
	const struct queue *q = &c->queues[1];

	(void)state;
	assert_int_equal(c->queue_count, 3);
	assert_string_equal(c->queues[0].stream, "s0");
	assert_string_equal(q->stream, "s1");
	assert_string_equal(c->queues[2].stream, "s2");
	assert_int_equal(q->job_count, 2);
	assert_string_equal(q->jobs[0]->name, "b"); /* the file's order, not the alphabet's */
	assert_string_equal(q->jobs[1]->name, "a");
	assert_int_equal(q->lease_ms, 90000);
	assert_int_equal(q->weight, 4);
	assert_int_equal(q->foreign, FOREIGN_LEAVE);
	assert_int_equal(q->dead_maxlen, 5);
	assert_int_equal(c->jobs[0].queue, 2);
	assert_int_equal(c->jobs[1].queue, 1);
	assert_int_equal(c->jobs[3].index, 3);

	assert_int_equal(c->pool_count, 3);
	assert_string_equal(c->pools[0].name, "default");
	assert_int_equal(c->pools[0].queue_count, 2);
	assert_int_equal(c->pools[0].queues[0], 0);
	assert_int_equal(c->pools[0].queues[1], 1);
	assert_string_equal(c->pools[1].name, "slow");
	assert_int_equal(c->pools[1].queues[0], 2);
	assert_int_equal(c->pools[2].queue_count, 0);
	assert_int_equal(c->slot_count, 5);
}

static void test_contradictions(void **state)
{
	static const struct refusal rows[] = {
		{ "jobs:\n  a: { stream: s, shell: x, match: { t: 1 }, foreign: leave }\n  b: { stream: s, "
		  "shell: x }\n",
		  "main.yaml:3:3: jobs.b.foreign: is take by default, but leave in job a, which has the same "
		  "stream and group (main.yaml:2:46)\n" },
		{ "jobs:\n  a: { stream: s, shell: x, match: { t: 1 } }\n  b: { stream: s, shell: x, start: "
		  "$, dead: { maxlen: 5 } }\n",
		  "main.yaml:3:29: jobs.b.start: is $, but 0 in job a, which has the same stream and group "
		  "(main.yaml:2:3)\n"
		  "main.yaml:3:47: jobs.b.dead.maxlen: is 5, but 0 in job a, which has the same stream and "
		  "group (main.yaml:2:3)\n" },
		{ "pools: { p: {} }\njobs:\n  a: { stream: s, shell: x, match: { t: 1 }, pool: p }\n  b: { "
		  "stream: s, shell: x }\n",
		  "main.yaml:4:3: jobs.b.pool: is default by default, but p in job a, which has the same "
		  "stream and group (main.yaml:3:46)\n" },
		{ "jobs:\n  a: { stream: s, shell: x }\n  b: { stream: s, shell: x, match: { t: 1 } }\n",
		  "main.yaml:3:3: jobs.b: never gets an entry: job a (main.yaml:2:3) takes all of the same "
		  "stream and group before it (give that one a match:, or put it last)\n" },
		{ "jobs:\n  a: { shell: x, group: g }\n  b: { shell: x }\n",
		  "main.yaml:3:3: jobs.b.group: \"xackd\", but job a of the same pool \"default\" has \"g\" "
		  "(main.yaml:2:18): a pool has one group\n" },
		{ "pools: { video: {} }\njobs: { a: { shell: x, pool: vidoe }, b: { shell: x, pool: other } "
		  "}\n",
		  "main.yaml:2:24: jobs.a.pool: there is no pool \"vidoe\" (did you mean video?)\n"
		  "main.yaml:2:54: jobs.b.pool: there is no pool \"other\" (name it under pools:)\n" },
		{ "workers: 2\npools: { default: { workers: 3 } }\njobs: { a: { shell: x } }\n",
		  "main.yaml:2:10: pools.default: workers: (line 1) gives the size of this pool already "
		  "(take one of the two away)\n" },
		{ "pools: { a/b: {} }\njobs: { a: { shell: x } }\n",
		  "main.yaml:1:10: pools.a/b: \"a/b\" is not a name for a pool (1 to 64 of A-Z a-z 0-9 . _ "
		  "-)\n" },
	};

	(void)state;
	check_refusals(rows, ARRAY_LEN(rows));

	AUTO_LOADED l = load_good(
		"jobs:\n  a: { stream: s, shell: x, match: { t: 1 } }\n  b: { stream: s, shell: x }\n");
	assert_int_equal(l.config->queue_count, 1);
	AUTO_LOADED sized = load_good("pools: { default: { workers: 3 } }\njobs: { a: { shell: x } }\n");
	assert_int_equal(sized.config->pool_count, 1);
	assert_int_equal(sized.config->slot_count, 3);
}

static void test_includes(void **state)
{
	static const char *const good[] = { "defaults: { timeout: 9s }\njobs:\n  a: { shell: x }\n",
					    "jobs: { b: { exec: [ ./y ] } }\n", "# nothing\n" };
	static const char *const bad[] = {
		"jobs:\n  a: { shell: x }\n",
		"name: x\njobs:\n  b: { shell: 1, lease: 1 }\n  a: { shell: x }\nnaem: 1\n",
		"jobs:\n  b: { shell: x }\ncron: {}\nredis: {}\n",
	};
	AUTO_LOADED l = load_texts(good, ARRAY_LEN(good));
	AUTO_LOADED refused = load_texts(bad, ARRAY_LEN(bad));

	(void)state;
	assert_non_null(l.config);
	assert_int_equal(l.config->job_count, 2);
	assert_int_equal(l.config->jobs[1].timeout_ms, 9000);
	assert_string_equal(l.config->jobs[1].exec[0], "/conf/y");
	assert_string_equal(
		refused.report.p,
		"1.yaml:1:1: name: belongs into the main file (an included one may hold only jobs and cron)\n"
		"1.yaml:3:25: jobs.b.lease: \"1\" has no unit (write 1s, or with ms, m, h, d)\n"
		"1.yaml:4:3: jobs.a: there is a job of this name already (main.yaml:2:3)\n"
		"1.yaml:5:1: naem: unknown key (an included file may hold only jobs and cron)\n"
		"2.yaml:2:3: jobs.b: there is a job of this name already (1.yaml:3:3)\n"
		"2.yaml:4:1: redis: belongs into the main file (an included one may hold only jobs and cron)\n");
}

static void test_many_errors(void **state)
{
	AUTO_BUF text = { 0 };
	size_t lines = 0;

	(void)state;
	buf_add_text(&text, "jobs:\n");
	for (int i = 0; i < 3000; i++)
		buf_addf(&text, "  a%d: { shell: x, nope: 1 }\n", i);
	AUTO_LOADED l = load_text(text.p);

	assert_null(l.config);
	for (const char *p = l.report.p; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 51);
	assert_non_null(
		strstr(l.report.p, "main.yaml:51:20: jobs.a49.nope: unknown key\nand 2950 more errors\n"));
}

static void test_users(void **state)
{
	struct passwd *self = getpwuid(geteuid());
	AUTO_BUF text = { 0 };

	(void)state;
	if (!self)
		skip();
	buf_addf(&text, "jobs: { a: { shell: x, user: %s } }", self->pw_name);
	AUTO_LOADED own = load_good(text.p); /* root or not: becoming oneself is always allowed */
	assert_null(own.config->jobs[0].user_missing);
	if (geteuid() != 0) {
		assert_null(own.config->jobs[0].user);
		AUTO_LOADED refused = load_text("jobs: { a: { shell: x, user: no-such-user } }");
		assert_non_null(
			strstr(refused.report.p,
			       "main.yaml:1:24: jobs.a.user: xackd runs without the right to change user"));
		return;
	}
	AUTO_LOADED l = load_good("jobs: { a: { shell: x, user: no-such-user }, b: { shell: x, user: 0 }, c: "
				  "{ shell: x, user: root } }");
	const struct job *jobs = l.config->jobs;

	assert_string_equal(jobs[0].user_missing, "no-such-user");
	assert_null(jobs[0].user);
	assert_string_equal(jobs[1].user->name, "root");
	assert_int_equal(jobs[1].user->uid, 0);
	assert_string_equal(jobs[1].user->home, "/root");
	assert_true(jobs[1].user->group_count >= 1);
	assert_int_equal(jobs[2].user->uid, 0);
}

/* What the kernel would refuse at every run is refused here. */
static void test_too_long(void **state)
{
	AUTO_BUF argument = { 0 }, arguments = { 0 }, variable = { 0 }, variables = { 0 };

	(void)state;
	buf_add_text(&argument, "jobs: { a: { exec: [ x, ");
	for (int i = 0; i < 128 * 1024; i++)
		buf_add_char(&argument, 'y');
	buf_add_text(&argument, " ] } }");
	check_refused(argument.p, "main.yaml:1:25: jobs.a.exec[1]: is too long for an argument (131071 bytes at most)\n");

	buf_add_text(&arguments, "jobs: { a: { exec: [ x");
	for (int i = 0; i < 4000; i++)
		buf_addf(&arguments, ", %0300d", i);
	buf_add_text(&arguments, " ] } }");
	check_refused(arguments.p, "main.yaml:1:20: jobs.a.exec: is too long (1048576 bytes at most in all)\n");

	buf_addf(&variable, "jobs: { a: { shell: x, env: { A: %0131070d } } }", 1);
	check_refused(variable.p,
		      "main.yaml:1:31: jobs.a.env.A: \"A\" is too long (128 KiB at most with its value)\n");

	buf_add_text(&variables, "jobs: { a: { shell: x, env: { A: 1");
	for (int i = 0; i < 900; i++)
		buf_addf(&variables, ", B%d: %0300d", i, i);
	buf_add_text(&variables, " } } }");
	check_refused(variables.p, "main.yaml:1:29: jobs.a.env: is too long (262144 bytes at most in all)\n");
}

static void test_many_jobs(void **state)
{
	AUTO_BUF text = { 0 };

	(void)state;
	buf_add_text(&text, "jobs:\n");
	for (int i = 0; i < 1000; i++)
		buf_addf(&text,
			 "  job%d: { stream: s%d, match: { t: %d }, exec: [ run, '{p}' ], retry: { initial: "
			 "2s } }\n",
			 i, i % 200, i / 200);
	AUTO_LOADED l = load_good(text.p);

	assert_int_equal(l.config->job_count, 1000);
	assert_int_equal(l.config->queue_count, 200);
	assert_int_equal(l.config->queues[7].job_count, 5);
	assert_ptr_equal(config_job(l.config, "job999"), &l.config->jobs[999]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_exit_codes),
		cmocka_unit_test(test_exit_codes_refused),
		cmocka_unit_test(test_queues),
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_includes),
		cmocka_unit_test(test_many_errors),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_many_jobs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
