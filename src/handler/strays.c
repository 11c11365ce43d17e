/* What a handler leaves. A child subreaper inherits every process whose parent died, so whatever escaped a group ends up among our own
 * children: kill them, reap them, and look again, for their children come next. */
#include "handler/strays.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"

enum {
	STAT_MAX_BYTES = 4096,
	CHILDREN_MAX_BYTES = 1024 * 1024,
	ENVIRON_MAX_BYTES = 4 * 1024 * 1024,
};

/* With SIGCHLD ignored, as a careless parent may have left it, the kernel reaps by itself and keeps no status. */
static void keep_statuses(void)
{
	struct sigaction now;

	if (sigaction(SIGCHLD, NULL, &now) == 0 && (now.sa_handler == SIG_IGN || (now.sa_flags & SA_NOCLDWAIT)))
		(void)signal(SIGCHLD, SIG_DFL);
}

void strays_adopt(void)
{
	keep_statuses();
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

/* ---- who is there ---- */

struct pids {
	struct buf list; /* pid_t[] */
};

static size_t pids_count(const struct pids *p)
{
	return p->list.n / sizeof(pid_t);
}

static pid_t pids_at(const struct pids *p, size_t i)
{
	pid_t pid;
	memcpy(&pid, p->list.p + i * sizeof(pid), sizeof(pid));
	return pid;
}

static void pids_add(struct pids *p, struct bytes digits)
{
	int64_t value = 0;
	pid_t pid;

	if (num_i64(digits, &value) < 0 || value <= 0)
		return;
	pid = (pid_t)value;
	buf_add(&p->list, &pid, sizeof(pid));
}

static bool is_number(const char *name)
{
	return *name >= '1' && *name <= '9' && name[strspn(name, "0123456789")] == '\0';
}

static bool add_children_of_thread(struct pids *p, const char *thread)
{
	char path[64];
	AUTO_BUF text = { 0 };

	snprintf(path, sizeof(path), "/proc/self/task/%.20s/children", thread);
	int r = fd_read_file(path, CHILDREN_MAX_BYTES, &text);
	if (r < 0)
		return r == -EFBIG;
	for (char *at = text.p; at && *at;) {
		size_t n = strcspn(at, " ");
		pids_add(p, (struct bytes){ at, n });
		at += n + strspn(at + n, " ");
	}
	return true;
}

/* The list of children that the kernel keeps for each thread. False: a kernel without it. */
static bool add_children(struct pids *p)
{
	DIR *tasks = opendir("/proc/self/task");
	bool good = tasks != NULL;

	for (struct dirent *d; good && (d = readdir(tasks));) {
		if (is_number(d->d_name))
			good = add_children_of_thread(p, d->d_name);
	}
	if (tasks)
		(void)closedir(tasks);
	return good;
}

struct stat_line {
	pid_t pid;
	pid_t parent;
	pid_t group;
	unsigned long long start;
};

/* The fields behind the name, which may itself hold spaces and parentheses. */
static bool read_stat(const char *pid, struct stat_line *ret_line)
{
	char path[64];
	AUTO_BUF text = { 0 };
	int64_t field[23] = { 0 };

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	if (fd_read_file(path, STAT_MAX_BYTES, &text) < 0)
		return false;
	char *at = text.p ? strrchr(text.p, ')') : NULL;
	for (int i = 3; at && i <= 22; i++) {
		at = strchr(at, ' ');
		if (!at)
			return false;
		at++;
		if (i > 3 && num_i64((struct bytes){ at, strcspn(at, " \n") }, &field[i]) < 0)
			field[i] = 0;
	}
	int64_t number = 0;
	if (!at || num_i64(bytes_of(pid), &number) < 0)
		return false;
	*ret_line = (struct stat_line){ (pid_t)number, (pid_t)field[4], (pid_t)field[5], (unsigned long long)field[22] };
	return true;
}

/* All processes, one by one. */
static void each_process(bool (*take)(void *user, const char *pid, const struct stat_line *line), void *user)
{
	DIR *proc = opendir("/proc");
	struct stat_line line;

	for (struct dirent *d; proc && (d = readdir(proc));) {
		if (is_number(d->d_name) && read_stat(d->d_name, &line) && !take(user, d->d_name, &line))
			break;
	}
	if (proc)
		(void)closedir(proc);
}

static bool take_child(void *user, const char *pid, const struct stat_line *line)
{
	struct pids *p = user;
	if (line->parent == getpid())
		pids_add(p, bytes_of(pid));
	return true;
}

static void list_children(struct pids *p)
{
	buf_clear(&p->list);
	if (add_children(p))
		return;
	buf_clear(&p->list);
	each_process(take_child, p);
}

/* ---- killing ---- */

static bool is_kept(pid_t pid, const pid_t *keep, size_t keep_count)
{
	for (size_t i = 0; i < keep_count; i++) {
		if (keep[i] == pid)
			return true;
	}
	return false;
}

/* Reap one child that was killed; waits until it is dead or the time is up. */
static void reap_until(pid_t pid, int64_t until_ms)
{
	if (waitpid(pid, NULL, WNOHANG) != 0)
		return;
	AUTO_FD pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return;
	int64_t left_ms = until_ms - clock_mono_ms();
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };
	(void)poll(&ended, 1, left_ms > 0 ? (int)left_ms : 0);
	(void)waitpid(pid, NULL, WNOHANG);
}

/* False: it is another user's, whom we may not signal (it became root by sudo); nobody waits for that one. */
static bool kill_child(pid_t pid)
{
	return kill(pid, SIGKILL) == 0 || errno != EPERM;
}

struct round {
	size_t found;
	size_t foreign; /* may not be killed by us */
};

static struct round kill_round(struct pids *p, const pid_t *keep, size_t keep_count, int64_t until_ms)
{
	struct round round = { 0 };
	size_t waited_for = 0;

	list_children(p);
	for (size_t i = 0; i < pids_count(p); i++) {
		pid_t pid = pids_at(p, i);
		if (is_kept(pid, keep, keep_count))
			continue;
		if (kill_child(pid)) {
			memcpy(p->list.p + waited_for++ * sizeof(pid), &pid, sizeof(pid));
			round.found++;
		} else if (waitpid(pid, NULL, WNOHANG) == 0) {
			round.foreign++;
		}
	}
	for (size_t i = 0; i < waited_for; i++)
		reap_until(pids_at(p, i), until_ms);
	return round;
}

bool strays_none(void)
{
	pid_t pid;

	do {
		pid = waitpid(-1, NULL, WNOHANG);
	} while (pid > 0 || (pid < 0 && errno == EINTR));
	return pid < 0;
}

size_t strays_kill(const pid_t *keep, size_t keep_count, int64_t limit_ms)
{
	struct pids p = { 0 };
	size_t killed = 0;

	if (keep_count == 0 && strays_none())
		return 0;
	int64_t until_ms = clock_mono_ms() + limit_ms;
	do {
		struct round round = kill_round(&p, keep, keep_count, until_ms);
		killed += round.found;
		/* The kernel's list may skip some while others end: without anything that stays, only ECHILD is the end. */
		if (keep_count > 0 || round.foreign > 0 ? round.found == 0 : strays_none())
			break;
	} while (clock_mono_ms() < until_ms);
	buf_done(&p.list);
	return killed;
}

void strays_reap(pid_t leader)
{
	for (;;) {
		siginfo_t info = { 0 };
		/* Looked at first: the leader's number must stay taken until its group was killed. */
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0 || info.si_pid == leader)
			return;
		if (waitpid(info.si_pid, NULL, WNOHANG) <= 0)
			return;
	}
}

/* ---- a dead worker's handler ---- */

struct group_search {
	pid_t group;
	unsigned long long since; /* no member can be older than its leader */
	bool ours;
};

/* What every handler is given and hands on to its children. */
static bool has_our_environment(const char *pid)
{
	static const char mark[] = "XACKD_NOTIFY_FD=";
	char path[64];
	AUTO_BUF text = { 0 };

	snprintf(path, sizeof(path), "/proc/%.20s/environ", pid);
	if (fd_read_file(path, ENVIRON_MAX_BYTES, &text) < 0 || !text.p)
		return false;
	for (const char *at = text.p; at < text.p + text.n; at += strlen(at) + 1) {
		if (strncmp(at, mark, sizeof(mark) - 1) == 0)
			return true;
	}
	return false;
}

static bool take_member(void *user, const char *pid, const struct stat_line *line)
{
	struct group_search *search = user;

	if (line->group != search->group || line->start < search->since)
		return true;
	search->ours = line->parent == getpid() || has_our_environment(pid);
	return !search->ours;
}

/* While a group has members its number is not given to anyone. So: if the number names a process that began later, the old group is gone; if
 * it names none, members may be left, but could also be of a later group whose leader has died too. */
static bool group_is_ours(pid_t pgid, unsigned long long start_ticks)
{
	unsigned long long start = 0;
	struct group_search search = { .group = pgid, .since = start_ticks };

	if (fd_process_start(pgid, &start) == 0)
		return start == start_ticks;
	each_process(take_member, &search);
	return search.ours;
}

void strays_kill_group(pid_t pgid, unsigned long long start_ticks)
{
	if (pgid <= 1 || !group_is_ours(pgid, start_ticks))
		return;
	(void)kill(-pgid, SIGCONT);
	(void)kill(-pgid, SIGKILL);
}
