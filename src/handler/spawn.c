/* clone(CLONE_VM | CLONE_VFORK): what posix_spawn does, with the settings that posix_spawn does not know (limits, user, umask, nice, death
 * signal). The child runs on a stack of its own in our memory while we are suspended, so a big parent costs nothing, and its errno is simply
 * there when we go on. The price: nothing here may touch memory that we rely on. Functions named child_… run in the child; they make raw
 * system calls only, and no sanitizer may instrument them (they never return, so the marks on their stack would stay).
 * All signals are blocked around it: no handler of ours may ever run in the child. */
#include "handler/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "handler/clone_into.h"

#define CHILD_CODE __attribute__((no_sanitize("address", "undefined", "thread"), no_instrument_function))

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif

enum {
	STACK_BYTES = 64 * 1024,
	LAST_SIGNAL = 64,
	CHILD_FAILED = 127, /* never seen by anyone: what failed is in struct job_of_child */
};

/* The kernel's struct sigaction: the handler comes first on every machine, the rest is zero. */
struct kernel_sigaction {
	unsigned long handler;
	unsigned long rest[4];
};

struct linux_dirent {
	uint64_t inode;
	int64_t offset;
	unsigned short length;
	unsigned char type;
	char name[];
};

struct job_of_child {
	const struct spawn_plan *plan;
	pid_t parent;
	uint64_t signals;
	enum spawn_stage stage;
	int error;             /* 0 = the exec went well */
	struct timespec born;
};

int spawner_init(struct spawner *s)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	s->ticks_per_s = sysconf(_SC_CLK_TCK);
	s->size = STACK_BYTES + page;
	char *stack = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return -errno;
	if (mprotect(stack, page, PROT_NONE) < 0) {
		int r = -errno;
		(void)munmap(stack, s->size);
		return r;
	}
	s->stack = stack;
	return 0;
}

void spawner_done(struct spawner *s)
{
	if (s->stack)
		(void)munmap(TAKE(s->stack), s->size);
}

/* ---- in the child ---- */

CHILD_CODE static bool child_reset_signals(uint64_t signals)
{
	static const struct kernel_sigaction by_default;

	for (int number = 1; number <= LAST_SIGNAL; number++) {
		if ((signals >> (number - 1) & 1) == 0)
			continue;
		if (syscall(SYS_rt_sigaction, number, &by_default, NULL, LAST_SIGNAL / 8) < 0)
			return false;
	}
	return true;
}

/* "123" of a folder of /proc, or -1. */
CHILD_CODE static int child_number(const char *text)
{
	int value = 0;

	for (; *text; text++) {
		if (*text < '0' || *text > '9' || value > 100 * 1000 * 1000)
			return -1;
		value = value * 10 + (*text - '0');
	}
	return value;
}

CHILD_CODE static bool child_close_some(int folder, int first)
{
	_Alignas(struct linux_dirent) char entries[2048];
	bool closed = false;

	for (;;) {
		long n = syscall(SYS_getdents64, folder, entries, sizeof(entries));
		if (n <= 0)
			return closed;
		for (long at = 0; at < n;) {
			const struct linux_dirent *entry = (const void *)(entries + at);
			int fd = child_number(entry->name);
			if (fd >= first && fd != folder && syscall(SYS_close, fd) == 0)
				closed = true;
			at += entry->length;
		}
	}
}

CHILD_CODE void spawn_close_listed(int first)
{
	int folder = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

	if (folder < 0) { /* no /proc: as many as a process usually has */
		for (int fd = first; fd < 4096; fd++)
			(void)syscall(SYS_close, fd);
		return;
	}
	/* Closing while reading may make the list skip some: again until a whole reading closes none. */
	while (child_close_some(folder, first))
		(void)syscall(SYS_lseek, folder, 0, SEEK_SET);
	(void)syscall(SYS_close, folder);
}

CHILD_CODE static bool child_set_descriptors(const struct spawn_plan *plan)
{
	int fds[SPAWN_FDS];

	/* First out of the way: dup3 onto 0 … 3 must not close one that is still to come. */
	for (int i = 0; i < SPAWN_FDS; i++) {
		fds[i] = plan->fds[i];
		if (fds[i] < SPAWN_FDS)
			fds[i] = (int)syscall(SYS_fcntl, fds[i], F_DUPFD_CLOEXEC, SPAWN_FDS);
		if (fds[i] < 0)
			return false;
	}
	for (int i = 0; i < SPAWN_FDS; i++) {
		if (syscall(SYS_dup3, fds[i], i, 0) < 0)
			return false;
	}
#ifdef SYS_close_range
	if (syscall(SYS_close_range, SPAWN_FDS, ~0U, 0) == 0)
		return true;
#endif
	spawn_close_listed(SPAWN_FDS);
	return true;
}

CHILD_CODE static bool child_set_limits(const struct spawn_plan *plan)
{
	for (size_t i = 0; i < plan->limit_count; i++) {
		const struct spawn_limit *limit = &plan->limits[i];
		struct rlimit value = limit->value;
		struct rlimit now;
		if (syscall(SYS_prlimit64, 0, limit->resource, &value, NULL) == 0)
			continue;
		/* What may not be raised is already stricter than what was asked for. */
		if (errno != EPERM || syscall(SYS_prlimit64, 0, limit->resource, NULL, &now) < 0)
			return false;
		value.rlim_max = value.rlim_max < now.rlim_max ? value.rlim_max : now.rlim_max;
		value.rlim_cur = value.rlim_cur < value.rlim_max ? value.rlim_cur : value.rlim_max;
		if (syscall(SYS_prlimit64, 0, limit->resource, &value, NULL) < 0)
			return false;
	}
	return true;
}

/* It is no reason not to start: if none of them is allowed any more, those that are. */
CHILD_CODE static bool child_set_cpus(const cpu_set_t *cpus)
{
	cpu_set_t every;

	if (!cpus || syscall(SYS_sched_setaffinity, 0, sizeof(*cpus), cpus) == 0)
		return true;
	for (size_t i = 0; i < sizeof(every.__bits) / sizeof(every.__bits[0]); i++)
		every.__bits[i] = ~(__cpu_mask)0;
	(void)syscall(SYS_sched_setaffinity, 0, sizeof(every), &every);
	return true;
}

/* By raw system calls: libc's functions would change the user of all our threads. */
CHILD_CODE static bool child_set_user(const struct spawn_user *user)
{
	if (!user)
		return true;
	return syscall(SYS_setgroups, user->group_count, user->groups) == 0 &&
	       syscall(SYS_setresgid, user->gid, user->gid, user->gid) == 0 &&
	       syscall(SYS_setresuid, user->uid, user->uid, user->uid) == 0;
}

/* After the change of user, which clears it. The parent may have died before it was set. */
CHILD_CODE static bool child_die_with(pid_t parent)
{
	if (syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return false;
	if (syscall(SYS_getppid) == parent)
		return true;
	errno = ESRCH;
	return false;
}

CHILD_CODE static bool child_unblock_signals(void)
{
	static const uint64_t none;
	return syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, LAST_SIGNAL / 8) == 0;
}

/* While it is still our user's. */
CHILD_CODE static bool child_move(const struct spawn_plan *plan)
{
	return plan->group_procs_fd <= 0 || syscall(SYS_write, plan->group_procs_fd, "0", 1) == 1;
}

CHILD_CODE static bool child_step(struct job_of_child *job, enum spawn_stage stage)
{
	const struct spawn_plan *plan = job->plan;

	switch (stage) {
	case SPAWN_CLONE:
		return syscall(SYS_clock_gettime, CLOCK_BOOTTIME, &job->born) == 0 && child_move(plan);
	case SPAWN_GROUP:
		return syscall(SYS_setpgid, 0, 0) == 0 && child_reset_signals(job->signals);
	case SPAWN_DESCRIPTORS:
		return child_set_descriptors(plan);
	case SPAWN_LIMITS:
		return child_set_limits(plan) && syscall(SYS_umask, plan->umask) >= 0;
	case SPAWN_NICE:
		return child_set_cpus(plan->cpus) && (plan->nice == 0 || syscall(SYS_setpriority, PRIO_PROCESS, 0, plan->nice) == 0);
	case SPAWN_USER:
		return child_set_user(plan->user);
	case SPAWN_PARENT:
		return child_die_with(job->parent) && child_unblock_signals();
	case SPAWN_CWD:
		return syscall(SYS_chdir, plan->cwd) == 0;
	case SPAWN_EXEC:
		return syscall(SYS_execve, plan->path, plan->argv, plan->envp) == 0;
	}
	return false;
}

CHILD_CODE static int child_main(void *argument)
{
	struct job_of_child *job = argument;

	for (enum spawn_stage stage = SPAWN_CLONE; stage <= SPAWN_EXEC; stage++) {
		if (child_step(job, stage))
			continue;
		job->stage = stage;
		job->error = errno;
		break;
	}
	syscall(SYS_exit_group, CHILD_FAILED);
	return CHILD_FAILED;
}

/* ---- in the parent ---- */

/* Asked once: a worker sets its signals up before its first handler. Reset in the child for each run, all of them would be sixty system calls. */
static uint64_t signals_to_reset(struct spawner *s)
{
	struct kernel_sigaction now;

	for (int number = 1; !s->signals_known && number <= LAST_SIGNAL; number++) {
		bool fixed = number == SIGKILL || number == SIGSTOP;
		if (!fixed && (syscall(SYS_rt_sigaction, number, NULL, &now, LAST_SIGNAL / 8) < 0 || now.handler != 0))
			s->signals |= UINT64_C(1) << (number - 1);
	}
	s->signals_known = true;
	return s->signals;
}

static int64_t ticks_of(const struct timespec *time, long per_s)
{
	return (int64_t)time->tv_sec * per_s + (int64_t)time->tv_nsec / (1000L * 1000 * 1000 / per_s);
}

/* The kernel took the start time between these two readings: if both fall into one tick, that is what /proc will show. */
static uint64_t start_between(const struct timespec *before, const struct timespec *born, long per_s)
{
	int64_t ticks = ticks_of(before, per_s);
	return ticks == ticks_of(born, per_s) ? (uint64_t)ticks : 0;
}

static void reap_failed(pid_t pid, int pidfd)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (pidfd >= 0)
		(void)close(pidfd);
}

static int clone_child(struct spawner *s, struct job_of_child *job, int *ret_pidfd)
{
	if (job->plan->group_fd > 0)
		return clone_into(job->plan->group_fd, child_main, s->stack, s->size, job, ret_pidfd);
	int pid = clone(child_main, s->stack + s->size, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, job, ret_pidfd);
	return pid < 0 ? -errno : pid;
}

int spawn_start(struct spawner *s, const struct spawn_plan *plan, struct spawned *ret_child, enum spawn_stage *ret_stage)
{
	static const uint64_t all = ~UINT64_C(0);
	struct job_of_child job = { .plan = plan, .parent = getpid(), .signals = signals_to_reset(s) };
	struct timespec before = { 0 };
	uint64_t mask = 0;
	int pidfd = -1;

	*ret_stage = SPAWN_CLONE;
	(void)clock_gettime(CLOCK_BOOTTIME, &before);
	/* Raw: libc would leave two signals of its own unblocked. */
	if (syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof(all)) < 0)
		return -errno;
	int pid = clone_child(s, &job, &pidfd);
	int error = pid < 0 ? -pid : job.error;
	(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	if (pid < 0)
		return -error;
	if (pidfd < 0) { /* a kernel before 5.3, that does not know the flag */
		(void)kill(pid, SIGKILL);
		error = ENOSYS;
		job.stage = SPAWN_CLONE;
	}
	if (error != 0) {
		*ret_stage = job.stage;
		reap_failed(pid, pidfd);
		return -error;
	}
	*ret_child = (struct spawned){
		.pid = pid,
		.pidfd = pidfd,
		.start_ticks = start_between(&before, &job.born, s->ticks_per_s),
	};
	return 0;
}
