/* Starting processes: descriptors in every order, errors by stage, limits that may not be raised, and that nothing of ours is touched. */
#undef NDEBUG
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "handler/spawn.h"

static struct spawner spawner;
static char *no_environment[] = { NULL };

static int setup(void **state)
{
	(void)state;
	return spawner_init(&spawner);
}

static int teardown(void **state)
{
	(void)state;
	spawner_done(&spawner);
	spawner_done(&spawner);
	return 0;
}

static struct spawn_plan plan_of(char **argv)
{
	return (struct spawn_plan){
		.path = argv[0], .argv = argv, .envp = no_environment, .cwd = "/", .fds = { 0, 1, 2, 2 }, .umask = 022,
	};
}

static int wait_for(struct spawned *child)
{
	int status = 0;
	assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
	close(child->pidfd);
	return status;
}

static void start(const struct spawn_plan *plan, struct spawned *ret_child)
{
	enum spawn_stage stage = SPAWN_EXEC;
	assert_int_equal(spawn_start(&spawner, plan, ret_child, &stage), 0);
}

static void refused(const struct spawn_plan *plan, enum spawn_stage stage, int error)
{
	struct spawned child;
	enum spawn_stage got = SPAWN_CLONE;

	assert_int_equal(spawn_start(&spawner, plan, &child, &got), -error);
	assert_int_equal(got, stage);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
	assert_int_equal(errno, ECHILD);
}

#define ARGV(...) ((char *[]){ __VA_ARGS__, NULL })
#define TEXT(text) ((char *)(uintptr_t)(text))

static void test_start(void **state)
{
	struct spawned child;
	unsigned long long ticks = 0;
	(void)state;

	struct spawn_plan plan = plan_of(ARGV(TEXT("/bin/sh"), TEXT("-c"), TEXT("kill -STOP $$; exit 7")));
	start(&plan, &child);
	assert_int_equal(getpgid(child.pid), child.pid);
	assert_int_equal(fcntl(child.pidfd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fd_process_start(child.pid, &ticks), 0);
	assert_true(child.start_ticks == 0 || child.start_ticks == ticks);
	assert_int_equal(waitpid(child.pid, NULL, WUNTRACED), child.pid);
	kill(child.pid, SIGCONT);
	int status = wait_for(&child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
}

static void test_errors_by_stage(void **state)
{
	(void)state;
	struct spawn_plan plan = plan_of(ARGV(TEXT("/no/such")));
	refused(&plan, SPAWN_EXEC, ENOENT);
	plan.path = "/etc/passwd";
	refused(&plan, SPAWN_EXEC, EACCES);
	plan.cwd = "/etc/passwd";
	refused(&plan, SPAWN_CWD, ENOTDIR);
	plan.fds[2] = 987;
	refused(&plan, SPAWN_DESCRIPTORS, EBADF);
	plan.fds[2] = 2;
	plan.limits[0] = (struct spawn_limit){ 9999, { 1, 1 } };
	plan.limit_count = 1;
	refused(&plan, SPAWN_LIMITS, EINVAL);
	plan.limits[0] = (struct spawn_limit){ RLIMIT_CORE, { 2, 1 } };
	refused(&plan, SPAWN_LIMITS, EINVAL);
}

/* Two programs hold the ends of pipes whose numbers are any of 0 … 6 in any order: each must get what it was meant to. */
static void try_order(const int wanted[SPAWN_FDS])
{
	struct spawned child;
	struct spawn_plan plan = plan_of(ARGV(TEXT("/bin/sh"), TEXT("-c"),
					      TEXT("for i in 0 1 2 3; do read x < /proc/self/fd/$i; [ \"$x\" = $i ] || exit 1$i; done; "
						   "[ ! -e /proc/self/fd/4 ] && [ ! -e /proc/self/fd/5 ] && [ ! -e /proc/self/fd/6 ]")));
	int made[SPAWN_FDS];
	char digit[3] = "x\n";

	for (int i = 0; i < SPAWN_FDS; i++) {
		int memory = memfd_create("digit", MFD_CLOEXEC);
		digit[0] = (char)('0' + i);
		assert_int_equal(fd_write_all(memory, bytes_of(digit)), 0);
		made[i] = fcntl(memory, F_DUPFD_CLOEXEC, 20);
		close(memory);
	}
	for (int i = 0; i < SPAWN_FDS; i++) {
		assert_int_equal(dup3(made[i], wanted[i], O_CLOEXEC), wanted[i]);
		close(made[i]);
		plan.fds[i] = wanted[i];
	}
	start(&plan, &child);
	int status = wait_for(&child);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
}

static void test_descriptors_in_every_order(void **state)
{
	(void)state;
	for (int code = 0; code < 7 * 7 * 7 * 7; code++) {
		const int fds[SPAWN_FDS] = { code % 7, code / 7 % 7, code / 49 % 7, code / 343 };
		bool doubled = false;
		for (int i = 0; i < SPAWN_FDS; i++)
			for (int k = 0; k < i; k++)
				doubled = doubled || fds[i] == fds[k];
		if (doubled || (fds[0] + fds[1] + fds[2] + fds[3]) % 3 != 0) /* a third of them is enough */
			continue;
		pid_t pid = fork();
		if (pid == 0)
			try_order(fds);
		int status = 0;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (status != 0)
			fail_msg("%d %d %d %d: %x", fds[0], fds[1], fds[2], fds[3], (unsigned)status);
	}
}

static void test_closing_by_the_list(void **state)
{
	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		for (int fd = 10; fd < 2000; fd += 3)
			if (dup2(2, fd) < 0)
				break;
		spawn_close_listed(4);
		for (int fd = 4; fd < 2000; fd++)
			if (fcntl(fd, F_GETFD) >= 0)
				_exit(1);
		_exit(fcntl(2, F_GETFD) < 0 ? 2 : 0);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_limit_that_may_not_be_raised(void **state)
{
	struct spawned child;
	(void)state;

	pid_t pid = fork();
	if (pid == 0) {
		struct rlimit low = { 300, 400 };
		if (setrlimit(RLIMIT_NOFILE, &low) < 0 || setgid(65534) < 0 || setuid(65534) < 0)
			_exit(77);
		struct spawn_plan plan = plan_of(ARGV(TEXT("/bin/sh"), TEXT("-c"), TEXT("[ $(ulimit -Sn) = 400 ] && [ $(ulimit -Hn) = 400 ]")));
		plan.limits[0] = (struct spawn_limit){ RLIMIT_NOFILE, { 1000, 1000 } };
		plan.limit_count = 1;
		start(&plan, &child);
		_exit(WEXITSTATUS(wait_for(&child)));
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

static void test_user_that_may_not_be_taken(void **state)
{
	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		const struct spawn_user root = { 0 };
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(0);
		struct spawn_plan plan = plan_of(ARGV(TEXT("/bin/true")));
		plan.user = &root;
		refused(&plan, SPAWN_USER, EPERM);
		plan.user = NULL;
		plan.nice = -5;
		refused(&plan, SPAWN_NICE, EACCES);
		_exit(0);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static volatile sig_atomic_t caught;

static void catch(int number)
{
	(void)number;
	caught++;
}

/* What is set in the child is the child's: our mask, dispositions, umask, group, limits, cwd stay; a signal is not lost and not doubled. */
static void test_nothing_of_ours_changes(void **state)
{
	struct sigaction action = { .sa_handler = catch, .sa_flags = SA_RESTART };
	struct sigaction now;
	struct spawned child;
	sigset_t mask;
	sigset_t before;
	struct rlimit core;
	struct rlimit core_after;
	char cwd[256];
	(void)state;

	assert_int_equal(sigaction(SIGUSR2, &action, NULL), 0);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	assert_int_equal(sigprocmask(SIG_SETMASK, &mask, &before), 0);
	mode_t was = umask(031);
	pid_t group = getpgrp();
	int priority = getpriority(PRIO_PROCESS, 0);
	assert_int_equal(getrlimit(RLIMIT_CORE, &core), 0);
	struct spawn_plan plan = plan_of(ARGV(TEXT("/bin/sh"), TEXT("-c"), TEXT("kill -USR2 $PPID; kill -USR2 $$")));
	plan.umask = 077;
	plan.nice = 3;
	plan.cwd = "/usr";
	plan.limits[0] = (struct spawn_limit){ RLIMIT_CORE, { 0, core.rlim_max } };
	plan.limit_count = 1;
	start(&plan, &child);
	int status = wait_for(&child);
	assert_int_equal(umask(was), 031);
	assert_int_equal(sigprocmask(SIG_SETMASK, &before, &mask), 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR2); /* by default in the child */
	assert_int_equal(caught, 1);
	assert_true(sigismember(&mask, SIGUSR1) && !sigismember(&mask, SIGTERM));
	assert_int_equal(sigaction(SIGUSR2, NULL, &now), 0);
	assert_true(now.sa_handler == catch);
	assert_int_equal(getpgrp(), group);
	assert_int_equal(getpriority(PRIO_PROCESS, 0), priority);
	assert_int_equal(getrlimit(RLIMIT_CORE, &core_after), 0);
	assert_int_equal(core_after.rlim_cur, core.rlim_cur);
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_string_not_equal(cwd, "/usr");
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		ROW(test_start), ROW(test_errors_by_stage), ROW(test_descriptors_in_every_order), ROW(test_closing_by_the_list),
		ROW(test_limit_that_may_not_be_raised), ROW(test_user_that_may_not_be_taken), ROW(test_nothing_of_ours_changes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
