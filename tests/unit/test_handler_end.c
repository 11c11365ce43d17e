/* How runs are ended (timeout, stop, cancel, a dying worker), and that nothing of a handler outlives its run. Real processes, a real loop. */
#include "handler_scene.h"

#include <poll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "handler/strays.h"

/* The pid that the script wrote into the file of that name. */
static pid_t pid_of(struct scene *s, const char *name)
{
	AUTO_BUF text = { 0 };

	assert_int_equal(fd_read_file(scene_path(s, name), 64, &text), 0);
	pid_t pid = (pid_t)strtol(text.p, NULL, 10);
	assert_true(pid > 1);
	return pid;
}

static bool gone(pid_t pid)
{
	return kill(pid, 0) < 0 && errno == ESRCH;
}

static void assert_childless(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

/* ---- timeout ---- */

static void test_timeout_is_told_by_term(void **state)
{
	struct scene *s = *state;

	s->job.timeout_ms = 200;
	scene_shell(s, "trap 'echo got TERM >&2; exit 7' TERM; echo up; while :; do sleep 0.01; done");
	assert_int_equal(s->end.kind, END_TIMED_OUT);
	assert_int_equal(s->end.code, 7);
	assert_int_equal(s->end.timeout_ms, 200);
	assert_non_null(strstr(s->tail, "got TERM\n"));
	assert_true(s->usage.duration_ms >= 195 && s->usage.duration_ms < 9000);
}

static void test_timeout_kills_after_the_grace(void **state)
{
	struct scene *s = *state;

	s->job.timeout_ms = 150;
	s->job.kill_grace_ms = 150;
	scene_shell(s, "trap '' TERM; (sleep 600; :) & while :; do sleep 600; done");
	assert_int_equal(s->end.kind, END_TIMED_OUT);
	assert_int_equal(s->end.signal, SIGKILL);
	assert_int_equal(s->end.code, -1);
	assert_true(s->usage.duration_ms >= 295);
	assert_childless();
}

static void test_timeout_reaches_the_group_and_the_stopped(void **state)
{
	struct scene *s = *state;

	s->job.timeout_ms = 150;
	scene_shell(s, "(trap 'echo child got it; exit' TERM; while :; do sleep 0.01; done) & kill -STOP $$; wait");
	assert_int_equal(s->end.kind, END_TIMED_OUT);
	assert_int_equal(s->end.signal, SIGTERM);
	s->job.kill_grace_ms = 100;
	scene_shell(s, "trap 'kill -STOP $$' TERM; while :; do sleep 0.01; done");
	assert_int_equal(s->end.signal, SIGKILL);
	assert_childless();
}

static void test_timeout_is_extended(void **state)
{
	struct scene *s = *state;

	s->job.timeout_ms = 300;
	scene_shell(s, "echo EXTEND_TIMEOUT=60 >&3; sleep 0.6");
	ASSERT_EXITED(s, 0);
	s->job.timeout_ms = 60 * 1000;
	scene_shell(s, "echo EXTEND_TIMEOUT=0.2 >&3; sleep 600");
	assert_int_equal(s->end.kind, END_TIMED_OUT);
	assert_true(s->end.timeout_ms >= 200 && s->end.timeout_ms < 10000);
	s->job.timeout_ms = 0;
	scene_shell(s, "echo EXTEND_TIMEOUT=0.01 >&3; sleep 0.2");
	ASSERT_EXITED(s, 0);
}

/* Hold the loop up until the script has said it and the old deadline is over: both are then found in one turn. */
static void be_late(struct scene *s)
{
	struct stat st;
	int64_t until_ms = clock_mono_ms() + 400;

	while (stat(scene_path(s, "said"), &st) < 0 || clock_mono_ms() < until_ms)
		(void)poll(NULL, 0, 1);
}

static void test_timeout_extended_in_time_but_heard_late(void **state)
{
	struct scene *s = *state;
	char text[128];

	s->job.timeout_ms = 300;
	s->when = "up";
	s->then = be_late;
	snprintf(text, sizeof(text), "echo up; sleep 0.1; echo EXTEND_TIMEOUT=60 >&3; : > %s; sleep 0.6", scene_path(s, "said"));
	scene_shell(s, text);
	ASSERT_EXITED(s, 0);
}

/* Words that are found in the pipe when it has ended move nothing that would fire later. */
static void test_timeout_extended_with_its_last_words(void **state)
{
	struct scene *s = *state;

	s->job.timeout_ms = 60 * 1000;
	scene_shell(s, "echo EXTEND_TIMEOUT=0.05 >&3");
	ASSERT_EXITED(s, 0);
	(void)poll(NULL, 0, 100);
	ev_run(s->loop, EVRUN_NOWAIT);
	assert_false(handler_running(s->handler));
}

static void test_end_before_the_timeout_but_noticed_late(void **state)
{
	struct scene *s = *state;
	char text[128];

	s->job.timeout_ms = 300;
	s->when = "up";
	s->then = be_late;
	snprintf(text, sizeof(text), "echo up; : > %s; exit 6", scene_path(s, "said"));
	scene_shell(s, text);
	ASSERT_EXITED(s, 6);
}

/* ---- stop ---- */

static void stop_by_drain(struct scene *s)
{
	handler_stop(s->handler, END_STOPPED, 10000);
}

static void stop_by_lease(struct scene *s)
{
	handler_stop(s->handler, END_LEASE_LOST, 10000);
}

static void stop_at_once(struct scene *s)
{
	handler_stop(s->handler, END_CANCELLED, 0);
}

static void cancel(struct scene *s)
{
	handler_stop(s->handler, END_CANCELLED, 100);
	handler_stop(s->handler, END_STOPPED, 100);
}

/* The operator's word counts also for a handler that is already being ended, and nothing later takes it back. */
static void test_cancel_behind_a_timeout(void **state)
{
	struct scene *s = *state;

	s->job.timeout_ms = 50;
	s->job.kill_grace_ms = 50000;
	s->when = "TERM";
	s->then = cancel;
	scene_shell(s, "trap 'echo TERM' TERM; while :; do sleep 0.01; done");
	assert_int_equal(s->end.kind, END_CANCELLED);
	assert_int_equal(s->end.signal, SIGKILL);
	assert_true(s->usage.duration_ms < 40000);
}

static void stop_and_then_sooner(struct scene *s)
{
	handler_stop(s->handler, END_STOPPED, 50000);
	handler_stop(s->handler, END_STOPPED, 60000);
	handler_stop(s->handler, END_CANCELLED_RETRY, 100);
}

static void test_stop(void **state)
{
	struct scene *s = *state;
	static const char obedient[] = "trap 'exit $CODE' TERM; echo up; while :; do sleep 0.01; done";
	static const char stubborn[] = "trap '' TERM; echo up; while :; do sleep 0.01; done";
	struct env_var env = { (char *)(uintptr_t)"CODE", (char *)(uintptr_t)"0" };

	s->job.env = &env;
	s->job.env_count = 1;
	s->when = "up";
	s->then = stop_by_drain;
	scene_shell(s, obedient);
	ASSERT_EXITED(s, 0);
	s->then = stop_by_lease;
	scene_shell(s, obedient);
	assert_int_equal(s->end.kind, END_LEASE_LOST);
	assert_int_equal(s->end.code, 0);
	env.value = (char *)(uintptr_t)"3";
	s->then = stop_by_drain;
	scene_new_handler(s); /* what belongs to a job is made once */
	scene_shell(s, obedient);
	assert_int_equal(s->end.kind, END_STOPPED);
	assert_int_equal(s->end.code, 3);
	s->then = stop_at_once;
	scene_shell(s, stubborn);
	assert_int_equal(s->end.kind, END_CANCELLED);
	assert_int_equal(s->end.signal, SIGKILL);
	s->then = stop_and_then_sooner;
	scene_shell(s, stubborn);
	assert_int_equal(s->end.kind, END_CANCELLED_RETRY);
	assert_true(s->usage.duration_ms < 40000);
	handler_stop(s->handler, END_STOPPED, 0); /* nothing runs */
}

static void test_kill_now(void **state)
{
	struct scene *s = *state;
	ev_timer limit;

	s->job.shell = (char *)(uintptr_t)"setsid sleep 600 & sleep 600";
	size_t before = scene_descriptors();
	scene_begin(s);
	pid_t pid = handler_pid(s->handler);
	assert_true(handler_running(s->handler) && !gone(pid));
	handler_kill_now(s->handler);
	assert_false(handler_running(s->handler));
	assert_true(gone(pid));
	assert_childless();
	assert_int_equal(scene_descriptors(), before);
	ev_timer_init(&limit, scene_on_limit, 0.01, 0.);
	ev_timer_start(s->loop, &limit);
	ev_run(s->loop, 0);
	assert_int_equal(s->ended, 0);
	scene_shell(s, "exit 4");
	ASSERT_EXITED(s, 4);
}

/* ---- what it leaves ---- */

static void test_what_it_leaves_in_its_group(void **state)
{
	struct scene *s = *state;
	char text[256];

	snprintf(text, sizeof(text), "sleep 600 & echo $! > %s; echo hello; exit 5", scene_path(s, "kid"));
	scene_shell(s, text);
	ASSERT_EXITED(s, 5);
	ASSERT_LINES(s, "1:hello\n"); /* although the child held stdout */
	assert_true(gone(pid_of(s, "kid")));
	assert_childless();
}

static void test_what_escaped_its_group(void **state)
{
	struct scene *s = *state;
	char text[512];

	/* A session of its own, its parent dead, a child of its own, TERM ignored; it writes its pid when it is all that. */
	const char *kid = scene_path(s, "kid");
	snprintf(text, sizeof(text),
		 "setsid sh -c '(trap \"\" TERM; sleep 600 & echo $! > %s.child; (exec sh -c \"echo \\$PPID\") > %s; wait) & exit 0'; "
		 "while [ ! -s %s ]; do sleep 0.01; done; exit 0",
		 kid, kid, kid);
	scene_shell(s, text);
	ASSERT_EXITED(s, 0);
	assert_true(gone(pid_of(s, "kid")));
	assert_true(gone(pid_of(s, "kid.child")));
	assert_childless();
}

static void test_what_escaped_and_was_stopped(void **state)
{
	struct scene *s = *state;
	char text[256];

	snprintf(text, sizeof(text), "setsid sh -c 'echo $$ > %s; kill -STOP $$' & while [ ! -s %s ]; do sleep 0.01; done",
		 scene_path(s, "kid"), scene_path(s, "kid"));
	scene_shell(s, text);
	ASSERT_EXITED(s, 0);
	assert_true(gone(pid_of(s, "kid")));
	assert_childless();
}

static void test_leader_that_left_its_group(void **state)
{
	struct scene *s = *state;

	/* It may join another group of our session: neither TERM nor KILL to the group then reaches it. */
	s->job.timeout_ms = 300;
	scene_exec(s, "/usr/bin/python3", "-c", "import os, signal, time\nos.setpgid(0, os.getpgid(os.getppid()))\nos.write(1, b'moved\\n')\ntime.sleep(600)");
	scene_run(s);
	ASSERT_LINES(s, "1:moved\n");
	assert_int_equal(s->end.kind, END_TIMED_OUT);
	assert_int_equal(s->end.signal, SIGTERM);
}

static void test_closed_descriptors_are_not_the_end(void **state)
{
	struct scene *s = *state;

	scene_shell(s, "exec 0<&- 1>&- 2>&- 3>&-; sleep 0.2; exit 9");
	ASSERT_EXITED(s, 9);
	assert_true(s->usage.duration_ms >= 195);
}

static void test_killed_by_someone(void **state)
{
	struct scene *s = *state;

	scene_shell(s, "echo last words >&2; kill -KILL $$");
	assert_int_equal(s->end.kind, END_SIGNALLED);
	assert_int_equal(s->end.signal, SIGKILL);
	assert_string_equal(s->tail, "last words\n");
}

static void test_start_time_is_that_of_proc(void **state)
{
	struct scene *s = *state;
	unsigned long long ticks = 0;

	s->job.shell = (char *)(uintptr_t)"sleep 600";
	for (int i = 0; i < 30; i++) {
		scene_begin(s);
		assert_int_equal(fd_process_start(handler_pid(s->handler), &ticks), 0);
		assert_int_equal(handler_pid_start(s->handler), ticks);
		handler_kill_now(s->handler);
	}
}

/* A worker that dies, by SIGKILL even, takes its handler with it. */
static void dies_with_its_worker(struct scene *s, struct run_user *user)
{
	int gate[2];
	char byte;
	unsigned long long start = 0;

	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	pid_t worker = fork();
	assert_true(worker >= 0);
	if (worker == 0) {
		struct scene mine = *s;
		mine.loop = ev_loop_new(EVFLAG_AUTO);
		mine.handler = NULL;
		mine.job.user = user;
		scene_new_handler(&mine);
		mine.job.shell = (char *)(uintptr_t)"sleep 600; :";
		scene_start(&mine);
		pid_t pid = handler_pid(mine.handler);
		if (write(gate[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		(void)pause();
		_exit(0);
	}
	close(gate[1]);
	pid_t handler = 0;
	assert_int_equal(read(gate[0], &handler, sizeof(handler)), sizeof(handler));
	AUTO_FD pidfd = pidfd_open(handler, 0);
	assert_true(pidfd >= 0);
	assert_int_equal(fd_process_start(handler, &start), 0);
	kill(worker, SIGKILL);
	assert_int_equal(waitpid(worker, NULL, 0), worker);
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };
	assert_int_equal(poll(&ended, 1, 10000), 1);
	assert_int_equal(read(gate[0], &byte, 1), 0);
	close(gate[0]);
	waitpid(handler, NULL, 0);
	strays_kill_group(handler, start); /* the rest of the group is what a supervisor is there for */
	while (waitpid(-1, NULL, 0) > 0)
		;
	assert_childless();
}

static void test_it_dies_with_its_worker(void **state)
{
	struct scene *s = *state;
	struct run_user nobody = {
		.name = (char *)(uintptr_t)"nobody", .home = (char *)(uintptr_t)"/", .shell = (char *)(uintptr_t)"/bin/sh",
		.uid = 65534, .gid = 65534,
	};

	dies_with_its_worker(s, NULL);
	if (geteuid() == 0)
		dies_with_its_worker(s, &nobody);
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)
	const struct CMUnitTest tests[] = {
		ROW(test_timeout_is_told_by_term), ROW(test_timeout_kills_after_the_grace),
		ROW(test_timeout_reaches_the_group_and_the_stopped), ROW(test_timeout_is_extended),
		ROW(test_timeout_extended_in_time_but_heard_late),
		ROW(test_timeout_extended_with_its_last_words), ROW(test_end_before_the_timeout_but_noticed_late), ROW(test_cancel_behind_a_timeout),
		ROW(test_stop), ROW(test_kill_now),
		ROW(test_what_it_leaves_in_its_group), ROW(test_what_escaped_its_group), ROW(test_what_escaped_and_was_stopped),
		ROW(test_leader_that_left_its_group), ROW(test_closed_descriptors_are_not_the_end), ROW(test_killed_by_someone),
		ROW(test_start_time_is_that_of_proc), ROW(test_it_dies_with_its_worker),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
