/* Killing what others leave: own children of every kind, those to keep, and the group of a dead worker's handler, but never a stranger's. */
#include "unit.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "handler/strays.h"

enum { LIMIT_MS = 10 * 1000 };

/* In the child: ready for whatever comes. */
static _Noreturn void wait_for_death(int ready)
{
	if (write(ready, "r", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

struct family {
	int ready[2];
};

static int setup(void **state)
{
	struct family *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(pipe(f->ready), 0);
	strays_adopt();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct family *f = *state;

	close(f->ready[0]);
	close(f->ready[1]);
	free(f);
	(void)strays_kill(NULL, 0, LIMIT_MS);
	return 0;
}

static void await_ready(struct family *f, size_t count)
{
	char byte;

	for (size_t i = 0; i < count; i++) {
		struct pollfd up = { .fd = f->ready[0], .events = POLLIN };
		assert_int_equal(poll(&up, 1, LIMIT_MS), 1);
		assert_int_equal(read(f->ready[0], &byte, 1), 1);
	}
}

static pid_t child(struct family *f, bool own_group)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	if (own_group && setpgid(0, 0) < 0)
		_exit(1);
	(void)signal(SIGTERM, SIG_IGN);
	wait_for_death(f->ready[1]);
}

static bool dead(pid_t pid)
{
	return kill(pid, 0) < 0 && errno == ESRCH;
}

/* True if it has died and waits to be reaped, or does so soon. */
static bool dies(pid_t pid)
{
	AUTO_FD pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };

	return poll(&ended, 1, LIMIT_MS) == 1;
}

static bool lives(pid_t pid)
{
	return waitpid(pid, NULL, WNOHANG) == 0;
}

static void test_nobody_there(void **state)
{
	(void)state;
	assert_int_equal(strays_kill(NULL, 0, LIMIT_MS), 0);
	assert_int_equal(strays_kill(NULL, 0, 0), 0);
}

static void test_children_are_killed_and_reaped(void **state)
{
	struct family *f = *state;
	pid_t pids[20];

	for (size_t i = 0; i < ARRAY_LEN(pids); i++)
		pids[i] = child(f, i % 2);
	await_ready(f, ARRAY_LEN(pids));
	assert_int_equal(kill(pids[3], SIGSTOP), 0);
	assert_int_equal(kill(pids[4], SIGKILL), 0);
	assert_true(strays_kill(NULL, 0, LIMIT_MS) >= ARRAY_LEN(pids) - 1);
	for (size_t i = 0; i < ARRAY_LEN(pids); i++)
		assert_true(dead(pids[i]));
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* During a run: orphans that ended are reaped, its leader never, who lives is left alone. */
static void test_orphans_of_a_long_run(void **state)
{
	struct family *f = *state;
	pid_t living = child(f, false);
	pid_t leader = child(f, true);
	pid_t orphans[3] = { child(f, false), child(f, false), child(f, true) };

	await_ready(f, 5);
	strays_reap(leader);
	for (size_t i = 0; i < ARRAY_LEN(orphans); i++) {
		assert_int_equal(kill(orphans[i], SIGKILL), 0);
		assert_true(dies(orphans[i]));
	}
	strays_reap(leader);
	for (size_t i = 0; i < ARRAY_LEN(orphans); i++)
		assert_true(dead(orphans[i]));
	assert_true(lives(living) && lives(leader));
	assert_int_equal(kill(leader, SIGKILL), 0);
	assert_true(dies(leader));
	strays_reap(leader);
	assert_int_equal(waitpid(leader, NULL, WNOHANG), leader);
	assert_true(lives(living));
}

/* Each generation in a session of its own; the middle ones live too, so the last only falls to us when they die. */
static void make_generations(struct family *f, int left)
{
	pid_t pid = fork();

	if (pid != 0)
		return;
	(void)setsid();
	if (left > 0)
		make_generations(f, left - 1);
	wait_for_death(f->ready[1]);
}

static void test_generations(void **state)
{
	struct family *f = *state;

	make_generations(f, 5);
	await_ready(f, 6);
	assert_true(strays_kill(NULL, 0, LIMIT_MS) >= 1);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void test_keep(void **state)
{
	struct family *f = *state;
	pid_t keep[2] = { child(f, false), child(f, true) };
	pid_t others[3] = { child(f, false), child(f, true), child(f, true) };

	await_ready(f, 5);
	assert_int_equal(strays_kill(keep, 2, LIMIT_MS), 3);
	for (size_t i = 0; i < 3; i++)
		assert_true(dead(others[i]));
	assert_true(lives(keep[0]) && lives(keep[1]));
	int64_t before_ms = clock_mono_ms();
	assert_int_equal(strays_kill(keep, 2, LIMIT_MS), 0);
	assert_true(clock_mono_ms() - before_ms < LIMIT_MS / 2); /* none to kill: nothing to wait for */
	assert_int_equal(strays_kill(keep, 1, LIMIT_MS), 1);
	assert_true(lives(keep[0]) && dead(keep[1]));
	assert_int_equal(strays_kill(NULL, 0, LIMIT_MS), 1);
}

static unsigned long long start_of(pid_t pid)
{
	unsigned long long ticks = 0;

	assert_int_equal(fd_process_start(pid, &ticks), 0);
	return ticks;
}

static void test_group_of_a_living_leader(void **state)
{
	struct family *f = *state;
	pid_t leader = child(f, true);
	pid_t member = child(f, false);

	await_ready(f, 2);
	assert_int_equal(setpgid(member, leader), 0);
	assert_int_equal(kill(member, SIGSTOP), 0);
	strays_kill_group(leader, start_of(leader) + 1); /* the number was given to another */
	strays_kill_group(leader, start_of(leader) - 1);
	assert_true(lives(leader) && lives(member));
	strays_kill_group(leader, start_of(leader));
	assert_true(dies(leader) && dies(member));
}

/* A worker that died left the leader a zombie or nothing; the members are ours by then, as their subreaper. */
static void test_group_without_its_leader(void **state)
{
	struct family *f = *state;
	pid_t leader = child(f, true);
	pid_t member = child(f, false);

	await_ready(f, 2);
	unsigned long long start = start_of(leader);
	assert_int_equal(setpgid(member, leader), 0);
	assert_int_equal(kill(leader, SIGKILL), 0);
	assert_int_equal(waitpid(leader, NULL, 0), leader);
	strays_kill_group(leader, start_of(member) + 1); /* no member can be older than its leader: another's group */
	assert_true(lives(member));
	strays_kill_group(leader, start);
	assert_true(dies(member));
}

/* Not our child, but a handler's by its environment: what a new life finds after a kill -9 of everything. */
static pid_t foreign_member(struct family *f, const char *mark, pid_t *ret_leader, unsigned long long *ret_start)
{
	char *const argv[] = { (char *)(uintptr_t)"sh", (char *)(uintptr_t)"-c", (char *)(uintptr_t)"echo >&$READY; kill -STOP $$", NULL };
	char ready[32];
	char *const envp[] = { ready, (char *)(uintptr_t)mark, NULL };
	int numbers[2];
	pid_t pids[2];

	snprintf(ready, sizeof(ready), "READY=%d", f->ready[1]);
	assert_int_equal(pipe(numbers), 0);
	pid_t parent = fork();
	assert_true(parent >= 0);
	if (parent == 0) { /* another subreaper stands between the group and us */
		(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
		for (int i = 0; i < 2; i++) {
			pids[i] = fork();
			if (pids[i] == 0) {
				(void)setpgid(0, i == 0 ? 0 : pids[0]);
				execve("/bin/sh", argv, envp);
				_exit(1);
			}
			(void)setpgid(pids[i], pids[0]);
		}
		if (write(numbers[1], pids, sizeof(pids)) != sizeof(pids))
			_exit(1);
		(void)waitpid(pids[0], NULL, 0);
		wait_for_death(f->ready[1]);
	}
	assert_int_equal(read(numbers[0], pids, sizeof(pids)), sizeof(pids));
	close(numbers[0]);
	close(numbers[1]);
	await_ready(f, 2);
	*ret_start = start_of(pids[0]);
	assert_int_equal(kill(pids[0], SIGKILL), 0);
	await_ready(f, 1); /* the leader is reaped */
	*ret_leader = pids[0];
	return pids[1];
}

static void test_group_known_by_its_environment(void **state)
{
	struct family *f = *state;
	unsigned long long start = 0;
	pid_t leader = 0;

	pid_t member = foreign_member(f, "XACKD_NOTIFY_FD=3", &leader, &start);
	strays_kill_group(leader, start);
	assert_true(dies(member));
	assert_true(strays_kill(NULL, 0, LIMIT_MS) >= 1);
	member = foreign_member(f, "NOT_XACKD_NOTIFY_FD=3", &leader, &start);
	strays_kill_group(leader, start); /* a group that got the number later */
	assert_int_equal(kill(member, 0), 0);
	assert_int_equal(kill(member, SIGKILL), 0);
	assert_true(strays_kill(NULL, 0, LIMIT_MS) >= 1);
}

static void test_groups_that_are_nobodys(void **state)
{
	struct family *f = *state;
	pid_t other = child(f, true);

	await_ready(f, 1);
	strays_kill_group(0, 0); /* our own group, */
	strays_kill_group(1, 0);
	strays_kill_group(-1, 0); /* everybody: a wrong number must never come that far */
	strays_kill_group(0x3fffffff, 1);
	assert_true(lives(other));
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_there),
		ROW(test_children_are_killed_and_reaped),
		ROW(test_orphans_of_a_long_run),
		ROW(test_generations),
		ROW(test_keep),
		ROW(test_group_of_a_living_leader),
		ROW(test_group_without_its_leader),
		ROW(test_group_known_by_its_environment),
		ROW(test_groups_that_are_nobodys),
	};
	return RUN_GROUP(tests);
}
