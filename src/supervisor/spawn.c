/* Starting a worker: posix_spawn of our own binary (no copy of page tables, no code between fork and exec), with the inherited descriptors at
 * the numbers of worker/worker.h and nothing else. */
#include "supervisor/state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>

#include "ipc/inherit.h"

static bool kept(const char *variable)
{
	static const char *const dropped[] = { "NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID=", "LISTEN_FDS=", "LISTEN_PID=",
					       "LISTEN_FDNAMES=", (WORKER_ENV "=") };
	for (size_t i = 0; i < ARRAY_LEN(dropped); i++) {
		if (strncmp(variable, dropped[i], strlen(dropped[i])) == 0)
			return false;
	}
	return true;
}

char **child_environment(char *own)
{
	size_t n = 0;
	while (environ[n])
		n++;
	char **envp = calloc(n + 2, sizeof(*envp));
	size_t used = 0;
	for (size_t i = 0; envp && i < n; i++) {
		if (kept(environ[i]))
			envp[used++] = environ[i];
	}
	if (envp)
		envp[used] = own;
	return envp;
}

static int fill_actions(struct supervisor *s, int source_fd, int group_fd, posix_spawn_file_actions_t *actions)
{
	const int from[WORKER_FD_COUNT] = {
		[WORKER_FD_SOURCE - WORKER_FD_SOURCE] = source_fd,
		[WORKER_FD_BOARD - WORKER_FD_SOURCE] = board_fd(s->board),
		[WORKER_FD_LOG - WORKER_FD_SOURCE] = s->log_fd,
		[WORKER_FD_LOCK - WORKER_FD_SOURCE] = s->workers_lock_fd,
		[WORKER_FD_LIFELINE - WORKER_FD_SOURCE] = s->lifeline[0],
		[WORKER_FD_BELL - WORKER_FD_SOURCE] = s->bell_fd,
		[WORKER_FD_GROUP - WORKER_FD_SOURCE] = group_fd,
	};
	/* Through numbers above all of them, so that no source is overwritten before it was copied. */
	int high = WORKER_FD_SOURCE + WORKER_FD_COUNT;
	for (int i = 0; i < WORKER_FD_COUNT; i++)
		high = from[i] >= high ? from[i] + 1 : high;
	int r = 0;
	for (int i = 0; i < WORKER_FD_COUNT && r == 0; i++)
		r = posix_spawn_file_actions_adddup2(actions, from[i], high + i);
	for (int i = 0; i < WORKER_FD_COUNT && r == 0; i++)
		r = posix_spawn_file_actions_adddup2(actions, high + i, WORKER_FD_SOURCE + i);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(actions, WORKER_FD_SOURCE + WORKER_FD_COUNT);
	return r;
}

static int fill_attributes(posix_spawnattr_t *attr)
{
	sigset_t mask, all;
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM); /* until the worker listens: a stop that comes before must not look like a crash */
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGUSR2);
	sigfillset(&all);
	int r = posix_spawnattr_setsigmask(attr, &mask);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attr, &all);
	if (r == 0) /* an own group: a terminal's ^C is for the supervisor, which drains */
		r = posix_spawnattr_setpgroup(attr, 0);
	if (r == 0)
		r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	return r;
}

int worker_spawn(struct supervisor *s, const struct worker_slot *slot, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	char title[128], own[160];

	snprintf(title, sizeof(title), "xackd: worker %s/%d", slot->pool->name, slot->number);
	snprintf(own, sizeof(own), WORKER_ENV "=%zu/%s/%d", slot->index, slot->pool->name, slot->number);
	AUTO_FREE char **envp = child_environment(own);
	if (!envp)
		return -ENOMEM;
	AUTO_FD group_fd = groups_worker(s, slot);
	if (group_fd < 0)
		return -EMFILE;
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	int r = fill_actions(s, slot->gen->source_fd, group_fd, &actions);
	if (r == 0)
		r = fill_attributes(&attr);
	if (r == 0)
		r = posix_spawn(ret_pid, "/proc/self/exe", &actions, &attr, (char *[]){ title, NULL }, envp);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return -r;
}
