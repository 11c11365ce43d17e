/* What a run begins with (argv, stdin, surroundings), why it may not begin at all, and what it says. Real processes, a real loop. */
#include "handler_scene.h"

#include <grp.h>
#include <pwd.h>
#include <sys/resource.h>

/* ---- ends ---- */

static void test_exit_codes(void **state)
{
	struct scene *s = *state;

	scene_exec(s, "/bin/true", NULL, NULL);
	scene_run(s);
	ASSERT_EXITED(s, 0);
	assert_int_equal(s->ended, 1);
	scene_shell(s, "exit 75");
	ASSERT_EXITED(s, 75);
	scene_shell(s, "kill -SEGV $$");
	assert_int_equal(s->end.kind, END_SIGNALLED);
	assert_int_equal(s->end.signal, SIGSEGV);
	assert_int_equal(s->end.code, -1);
}

static void test_usage(void **state)
{
	struct scene *s = *state;

	scene_shell(s, "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; sleep 0.05");
	ASSERT_EXITED(s, 0);
	assert_true(s->usage.duration_ms >= 50);
	assert_true(s->usage.user_ms + s->usage.sys_ms >= 5);
	assert_true(s->usage.maxrss_kb > 100);
}

static void test_many_runs_from_inside_ended(void **state)
{
	struct scene *s = *state;

	scene_exec(s, "/bin/true", NULL, NULL);
	scene_run(s);
	size_t before = scene_descriptors();
	s->again = 4999;
	scene_run(s);
	assert_int_equal(s->ended, 5000);
	assert_int_equal(scene_descriptors(), before);
}

/* ---- argv ---- */

static void test_arguments(void **state)
{
	struct scene *s = *state;

	scene_field(s, bytes_of("a"), bytes_of("one two\n$(id)"));
	scene_exec(s, "/usr/bin/printf", "%s|%s|", "{a}{@id}");
	scene_run(s);
	ASSERT_EXITED(s, 0);
	ASSERT_LINES(s, "1:one two\n1:$(id)1700000000000-0||\n");
}

static void test_arguments_that_cannot_be(void **state)
{
	struct scene *s = *state;
	size_t big = 200 * 1000;
	char *value = malloc(big);

	memset(value, 'x', big);
	scene_exec(s, "/bin/echo", "{nothere}", NULL);
	scene_run(s);
	assert_int_equal(s->end.kind, END_MISSING_FIELD);
	assert_non_null(strstr(s->end.text, "nothere"));
	scene_field(s, bytes_of("a"), (struct bytes){ "x\0y", 3 });
	scene_exec(s, "/bin/echo", "{a}", NULL);
	scene_run(s);
	assert_int_equal(s->end.kind, END_MALFORMED);
	s->pairs[0].value = (struct bytes){ value, big };
	scene_run(s);
	assert_int_equal(s->end.kind, END_MALFORMED);
	s->pairs[0].value = bytes_of("fine");
	scene_run(s);
	ASSERT_LINES(s, "1:fine\n");
	free(value);
}

static void test_arguments_too_long_in_sum(void **state)
{
	struct scene *s = *state;
	struct rlimit was;
	struct rlimit small = { 512 * 1024, RLIM_INFINITY };
	size_t n = 120 * 1000;
	char *value = malloc(n);

	memset(value, 'x', n);
	scene_field(s, bytes_of("a"), (struct bytes){ value, n });
	scene_exec(s, "/bin/true", "{a}", "{a}");
	assert_int_equal(getrlimit(RLIMIT_STACK, &was), 0);
	small.rlim_max = was.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_STACK, &small), 0); /* a quarter of it is for arguments, at least 128 KiB */
	scene_run(s);
	assert_int_equal(setrlimit(RLIMIT_STACK, &was), 0);
	assert_int_equal(s->end.kind, END_MALFORMED);
	assert_true(strlen(s->end.text) > 10);
	free(value);
}

static void test_shell_has_no_templates(void **state)
{
	struct scene *s = *state;

	scene_field(s, bytes_of("a"), bytes_of("$(id)"));
	scene_shell(s, "echo {a} $# \"$FIELD_A\" $XACKD_ID $XACKD_NOTIFY_FD");
	ASSERT_LINES(s, "1:{a} 0 $(id) 1700000000000-0 3\n");
}

/* ---- the program ---- */

static void test_search_path(void **state)
{
	struct scene *s = *state;
	struct env_var env = { (char *)(uintptr_t)"PATH", NULL };
	char path[128];

	scene_file(s, "tool", "#!/bin/sh\necho ran \"$0\" \"$1\"\n", 0755);
	snprintf(path, sizeof(path), "/nowhere:%s:/bin", s->folder);
	env.value = path;
	s->job.env = &env;
	s->job.env_count = 1;
	scene_exec(s, "tool", "x y", NULL);
	scene_run(s);
	ASSERT_EXITED(s, 0);
	assert_non_null(strstr(s->lines.p, "/tool x y\n"));
	scene_exec(s, "no-such-tool", NULL, NULL);
	scene_run(s);
	assert_int_equal(s->end.kind, END_CANNOT_EXEC);
	assert_non_null(strstr(s->end.text, "no-such-tool: not found in PATH /nowhere:"));
}

static void test_relative_search_path_counts_from_cwd(void **state)
{
	struct scene *s = *state;
	struct env_var env = { (char *)(uintptr_t)"PATH", (char *)(uintptr_t)":/bin" };

	scene_file(s, "tool", "#!/bin/sh\necho ran\n", 0755);
	s->job.env = &env;
	s->job.env_count = 1;
	s->job.cwd = s->folder;
	scene_exec(s, "tool", NULL, NULL);
	scene_run(s);
	ASSERT_LINES(s, "1:ran\n");
	scene_exec(s, "./tool", NULL, NULL);
	scene_run(s);
	ASSERT_LINES(s, "1:ran\n");
}

static void test_what_cannot_be_executed(void **state)
{
	struct scene *s = *state;
	const struct {
		const char *path;
		const char *words;
	} rows[] = {
		{ "/no/such/program", "/no/such/program: not found" },
		{ scene_file(s, "plain", "#!/bin/sh\n", 0644), "plain: is not executable" },
		{ scene_file(s, "lost", "#! /no/such/sh -e\n", 0755), "its interpreter /no/such/sh is missing" },
		{ scene_file(s, "noise", "\177no program\n", 0755), "neither a program" },
		{ s->folder, "is a folder" },
		{ "/dev/null/x", "Not a directory" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		scene_exec(s, rows[i].path, NULL, NULL);
		size_t before = scene_descriptors();
		scene_run(s);
		assert_int_equal(s->end.kind, END_CANNOT_EXEC);
		if (!strstr(s->end.text, rows[i].words))
			fail_msg("%s", s->end.text);
		assert_int_equal(s->end.code, -1);
		assert_int_equal(scene_descriptors(), before);
	}
}

static void test_missing_cwd_and_user(void **state)
{
	struct scene *s = *state;

	scene_exec(s, "/bin/true", NULL, NULL);
	s->job.cwd = (char *)(uintptr_t)"/no/such/folder";
	scene_run(s);
	assert_int_equal(s->end.kind, END_CANNOT_EXEC);
	assert_string_equal(s->end.text, "cwd /no/such/folder: No such file or directory");
	s->job.cwd = (char *)(uintptr_t)"/";
	s->job.user_missing = (char *)(uintptr_t)"gone";
	scene_run(s);
	assert_int_equal(s->end.kind, END_CANNOT_EXEC);
	assert_string_equal(s->end.text, "there is no user gone");
}

static void test_no_descriptors(void **state)
{
	struct scene *s = *state;
	struct rlimit was;
	struct rlimit low;
	size_t failed = 0;

	scene_exec(s, "/bin/true", NULL, NULL);
	s->job.stdin_kind = STDIN_JSON;
	scene_run(s);
	size_t used = scene_descriptors();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	low = was;
	for (size_t more = 0; more < 12; more++) {
		low.rlim_cur = used - 1 + more; /* every place where one may be lacking */
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
		scene_run(s);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
		assert_int_equal(scene_descriptors(), used);
		if (s->end.kind == END_EXITED)
			continue;
		assert_int_equal(s->end.kind, END_NO_RESOURCES);
		failed++;
	}
	assert_true(failed >= 5 && failed < 12);
}

static void test_text_file_busy_is_no_deployment_error(void **state)
{
	struct scene *s = *state;
	const char *path = scene_file(s, "tool", "#!/bin/sh\n", 0755);
	int writer = open(path, O_WRONLY | O_CLOEXEC);

	scene_exec(s, path, NULL, NULL);
	scene_run(s);
	close(writer);
	assert_int_equal(s->end.kind, END_NO_RESOURCES);
}

/* ---- stdin ---- */

static void test_stdin_json(void **state)
{
	struct scene *s = *state;

	s->job.stdin_kind = STDIN_JSON;
	scene_field(s, bytes_of("a"), bytes_of("1"));
	scene_exec(s, "/bin/cat", NULL, NULL);
	scene_run(s);
	ASSERT_EXITED(s, 0);
	assert_int_equal(s->line_count, 1);
	assert_non_null(strstr(s->lines.p, "\"id\":\"1700000000000-0\""));
	assert_non_null(strstr(s->lines.p, "\"fields\":{\"a\":\"1\"}"));
}

static void test_stdin_payload(void **state)
{
	struct scene *s = *state;

	s->job.stdin_kind = STDIN_PAYLOAD;
	scene_exec(s, "/bin/cat", NULL, NULL);
	scene_run(s);
	assert_int_equal(s->end.kind, END_MISSING_FIELD);
	assert_non_null(strstr(s->end.text, "payload"));
	scene_field(s, bytes_of("payload"), (struct bytes){ "a\0b", 3 });
	scene_run(s);
	assert_int_equal(s->lines.n, 2 + 3 + 1);
	assert_memory_equal(s->lines.p, "1:a\0b\n", 6);
	s->pairs[0].value = (struct bytes){ NULL, 0 };
	scene_run(s);
	ASSERT_EXITED(s, 0);
	assert_int_equal(s->line_count, 0);
	/* For reading alone: what a handler gets cannot be changed by it. */
	scene_shell(s, "grep flags /proc/self/fdinfo/0; ( : >&0 ) 2>/dev/null || true; (echo x >&0) 2>/dev/null || echo refused");
	assert_non_null(strstr(s->lines.p, "1:refused\n"));
}

static void test_stdin_of_100_megabytes(void **state)
{
	struct scene *s = *state;
	size_t n = 100 * 1000 * 1000;
	char *value = calloc(1, n);

	assert_non_null(value);
	s->job.stdin_kind = STDIN_PAYLOAD;
	scene_field(s, bytes_of("payload"), (struct bytes){ value, n });
	scene_exec(s, "/usr/bin/wc", "-c", NULL);
	scene_run(s);
	ASSERT_LINES(s, "1:100000000\n");
	scene_exec(s, "/bin/true", NULL, NULL); /* nobody has to read it */
	scene_run(s);
	ASSERT_EXITED(s, 0);
	free(value);
}

static void test_stdin_none(void **state)
{
	struct scene *s = *state;

	scene_shell(s, "readlink /proc/self/fd/0; cat | wc -c");
	ASSERT_LINES(s, "1:/dev/null\n1:0\n");
}

/* ---- surroundings ---- */

static void test_cwd_umask_nice(void **state)
{
	struct scene *s = *state;
	char expected[128];

	s->job.cwd = s->folder;
	s->job.umask = 027;
	s->job.nice = 5;
	scene_shell(s, "pwd; umask; nice");
	snprintf(expected, sizeof(expected), "1:%s\n1:0027\n1:5\n", s->folder);
	ASSERT_LINES(s, expected);
}

static void test_limits(void **state)
{
	struct scene *s = *state;

	s->job.limits = (struct limits){ .memory_bytes = 512 << 20, .cpu_s = 60, .files = 64, .processes = 5000 };
	scene_exec(s, "/bin/bash", "-c", "ulimit -v; ulimit -St; ulimit -Ht; ulimit -n; ulimit -u");
	scene_run(s);
	ASSERT_LINES(s, "1:524288\n1:60\n1:61\n1:64\n1:5000\n");
	s->job.limits = (struct limits){ .cpu_s = 1 };
	scene_shell(s, "while :; do :; done");
	assert_int_equal(s->end.kind, END_SIGNALLED);
	assert_int_equal(s->end.signal, SIGXCPU);
}

static void test_soft_limit_of_files_is_the_one_of_the_start(void **state)
{
	struct scene *s = *state;
	struct rlimit was;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	struct rlimit low = { 500, was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	scene_new_handler(s);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	scene_shell(s, "ulimit -Sn; ulimit -Hn");
	assert_int_equal(strncmp(s->lines.p, "1:500\n", 6), 0);
	assert_int_equal(strtoull(s->lines.p + 8, NULL, 10), was.rlim_max);
}

static void test_user(void **state)
{
	struct scene *s = *state;
	gid_t groups[2];
	struct run_user user = { .name = (char *)(uintptr_t)"nobody", .home = (char *)(uintptr_t)"/", .shell = (char *)(uintptr_t)"/bin/sh" };
	const struct passwd *nobody = getpwnam("nobody");

	if (geteuid() != 0 || !nobody)
		skip();
	user.uid = nobody->pw_uid;
	user.gid = groups[0] = nobody->pw_gid;
	groups[1] = 12345;
	user.groups = groups;
	user.group_count = 2;
	s->job.user = &user;
	/* The death signal survives the change of user; /dev/stderr can be opened; the timeout can kill it. */
	scene_shell(s, "id -u; id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' '; echo; echo opened > /dev/stderr; echo > /proc/self/fd/3; sleep 600 & "
		       "trap '' TERM; exit 3");
	ASSERT_EXITED(s, 3);
	assert_string_equal(s->tail, "opened\n");
	assert_non_null(strstr(s->lines.p, "1:65534\n"));
	assert_non_null(strstr(s->lines.p, "1:12345 65534 \n"));
	assert_int_equal(chmod(s->folder, 0700), 0);
	s->job.cwd = s->folder;
	scene_run(s);
	assert_int_equal(s->end.kind, END_CANNOT_EXEC);
	assert_non_null(strstr(s->end.text, "Permission denied"));
}

static void test_nothing_is_inherited(void **state)
{
	struct scene *s = *state;
	char expected[64];
	int leak = open("/etc/passwd", O_RDONLY); /* without close-on-exec, as a library may do */

	assert_true(leak > 3);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGUSR1, SIG_IGN);
	sigset_t blocked;
	sigset_t was;
	sigfillset(&blocked);
	sigprocmask(SIG_BLOCK, &blocked, &was);
	scene_exec(s, "/bin/bash", "-c", "echo /proc/self/fd/*; grep -E '^Sig(Blk|Ign)' /proc/self/status; ps -o pgid= -p $$ | tr -d ' '");
	scene_run(s);
	sigprocmask(SIG_SETMASK, &was, NULL);
	(void)signal(SIGUSR1, SIG_DFL);
	close(leak);
	ASSERT_EXITED(s, 0);
	/* bash's own descriptor for reading the folder is the fifth. */
	assert_non_null(strstr(s->lines.p, "1:/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3"));
	assert_null(strstr(s->lines.p, "/proc/self/fd/5"));
	assert_non_null(strstr(s->lines.p, "1:SigBlk:\t0000000000000000\n1:SigIgn:\t0000000000000000\n"));
	snprintf(expected, sizeof(expected), "1:%d\n", (int)handler_pid(s->handler));
	assert_non_null(strstr(s->lines.p, expected));
}

/* ---- what it says ---- */

static void test_output(void **state)
{
	struct scene *s = *state;

	scene_shell(s, "echo out; echo err >&2; printf '\\n'; printf 'a\\377\\000b\\n'; printf 'no newline'");
	assert_int_equal(s->line_count, 5);
	assert_non_null(memmem(s->lines.p, s->lines.n, "2:err\n", 6)); /* at no fixed place among those of stdout */
	assert_non_null(memmem(s->lines.p, s->lines.n, "1:no newline\n", 13));
	assert_non_null(memmem(s->lines.p, s->lines.n, "1:\n1:a\377\0b\n", 10));
	assert_string_equal(s->tail, "err\n");
}

static void test_output_discarded(void **state)
{
	struct scene *s = *state;

	s->job.output = OUTPUT_DISCARD;
	scene_shell(s, "[ /proc/$$/fd/1 -ef /dev/null ] && echo null >&2; echo out; exit 65");
	ASSERT_EXITED(s, 65);
	assert_int_equal(s->line_count, 0);
	assert_string_equal(s->tail, "null\n");
}

static void test_a_line_of_a_megabyte(void **state)
{
	struct scene *s = *state;

	scene_shell(s, "head -c 1000000 /dev/zero | tr '\\0' x; echo; echo next");
	assert_int_equal(s->line_count, 2);
	assert_int_equal(s->cut_count, 1);
	assert_int_equal(s->lines.n, 2 + 16384 + 1 + strlen("1:next\n"));
}

static void test_flood(void **state)
{
	struct scene *s = *state;

	s->quiet = true;
	scene_shell(s, "yes | head -c 100000000");
	ASSERT_EXITED(s, 0);
	assert_int_equal((int64_t)s->line_count + s->dropped_lines, 50 * 1000 * 1000);
	assert_true(s->line_count >= 2000);
	assert_true((int64_t)s->line_count <= 2000 + 2000 * (s->usage.duration_ms + 1000) / 1000);
	assert_true(s->dropped_bytes == s->dropped_lines);
	assert_true((int64_t)s->dropped_calls <= s->usage.duration_ms / 1000 + 2);
}

static void test_tail_of_stderr(void **state)
{
	struct scene *s = *state;

	scene_shell(s, "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done >&2; exit 1");
	assert_int_equal(s->tail_n, HANDLER_STDERR_TAIL);
	assert_string_equal(s->tail + s->tail_n - strlen("line 1999\n"), "line 1999\n");
}

static void test_fd_3(void **state)
{
	struct scene *s = *state;

	scene_shell(s, "printf 'RETRY_AFTER=30\\nLATER=0.5\\nRETRY_AFTER=0.25\\nDEAD=why' >&3; exit 1");
	ASSERT_EXITED(s, 1);
	assert_int_equal(s->said.retry_after_ms, 250);
	assert_int_equal(s->said.later_ms, 500);
	assert_true(s->said.dead_said);
	assert_string_equal(s->said.dead, "why");
	scene_shell(s, "exec 3>&-; exit 0");
	ASSERT_EXITED(s, 0);
	assert_int_equal(s->said.retry_after_ms, -1);
	assert_int_equal(s->said.later_ms, -1);
	assert_false(s->said.dead_said);
	scene_shell(s, "printf 'LATER=abc\\n=\\n\\0\\377\\nunfinished' >&3; head -c 300000 /dev/zero >&3; exit 1");
	ASSERT_EXITED(s, 1);
	assert_int_equal(s->said.later_ms, -1);
}

static void test_progress_is_paced(void **state)
{
	struct scene *s = *state;

	scene_shell(s, "i=0; while [ $i -le 99 ]; do echo PROGRESS=$i >&3; i=$((i+1)); done; echo STATUS=done >&3");
	assert_int_equal(s->progress, 99);
	assert_string_equal(s->status, "done");
	assert_true(s->progress_calls >= 1 && (int64_t)s->progress_calls <= s->usage.duration_ms / 1000 + 2);
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)
	const struct CMUnitTest tests[] = {
		ROW(test_exit_codes), ROW(test_usage), ROW(test_many_runs_from_inside_ended), ROW(test_arguments),
		ROW(test_arguments_that_cannot_be), ROW(test_arguments_too_long_in_sum), ROW(test_shell_has_no_templates),
		ROW(test_search_path), ROW(test_relative_search_path_counts_from_cwd), ROW(test_what_cannot_be_executed),
		ROW(test_missing_cwd_and_user), ROW(test_no_descriptors), ROW(test_text_file_busy_is_no_deployment_error),
		ROW(test_stdin_json), ROW(test_stdin_payload), ROW(test_stdin_of_100_megabytes), ROW(test_stdin_none),
		ROW(test_cwd_umask_nice), ROW(test_limits), ROW(test_soft_limit_of_files_is_the_one_of_the_start), ROW(test_user),
		ROW(test_nothing_is_inherited), ROW(test_output), ROW(test_output_discarded), ROW(test_a_line_of_a_megabyte),
		ROW(test_flood), ROW(test_tail_of_stderr), ROW(test_fd_3), ROW(test_progress_is_paced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
