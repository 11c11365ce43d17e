/* The runtime folder: two locks and the scoreboard, all named after the daemon. The supervisor's lock tells a second daemon off at once; the other is
 * one open file that all workers inherit, so it is free only when the last process of a life is gone. What the old scoreboard still names is killed
 * before anything of it is released. */
#include "supervisor/state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "handler/strays.h"

enum { LOCK_POLL_MS = 20, WORKERS_GONE_MS = 5000, WORKERS_KILLED_MS = 15000 };

static char *path_of(const struct supervisor *s, const char *ending)
{
	char *path = NULL;
	if (asprintf(&path, "%s/%s%s", s->config->runtime_dir, s->config->name, ending) < 0)
		return NULL;
	return path;
}

static int say(struct supervisor *s, int error, const char *what, const char *path)
{
	event(s->log, DAEMON_FAILED, NULL, F_TEXT("why", what), F_TEXT("path", path), F_TEXT("error", strerror(-error)),
	      F_TEXT("advice", "control_socket: says where; its folder must be writable for this user"));
	return error;
}

static int open_lock(struct supervisor *s, const char *ending, int *ret_fd)
{
	AUTO_FREE char *path = path_of(s, ending);
	if (!path)
		return -ENOMEM;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return say(s, -errno, "a lock cannot be opened", path);
	*ret_fd = fd;
	return 0;
}

static int lock_supervisor(struct supervisor *s)
{
	int r = open_lock(s, ".lock", &s->lock_fd);
	if (r < 0)
		return r;
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	char text[160];
	snprintf(text, sizeof(text), "a daemon with the name \"%s\" runs already on this machine", s->config->name);
	event(s->log, DAEMON_REFUSED, NULL, F_TEXT("why", text), F_TEXT("advice", "stop it, or give this one another name:"));
	return -EBUSY;
}

static void kill_if_same(pid_t pid, uint64_t start)
{
	unsigned long long now = 0;
	if (pid > 0 && fd_process_start(pid, &now) == 0 && now == start)
		(void)kill(pid, SIGKILL);
}

static void kill_old_workers(struct board *old)
{
	for (size_t i = 0; i < board_header(old)->slot_count; i++) {
		struct slot_identity id;
		struct slot_run run;
		slot_read(board_slot(old, i), &id, &run);
		kill_if_same(id.pid, id.pid_start);
	}
}

/* Workers that lose their supervisor end by themselves; one that is frozen or stuck is killed. */
static int wait_for_workers(struct supervisor *s, struct board *old)
{
	int64_t begun = clock_mono_ms();
	bool killed = false;

	while (flock(s->workers_lock_fd, LOCK_EX | LOCK_NB) < 0) {
		int64_t waited = clock_mono_ms() - begun;
		const struct timespec pause = { 0, LOCK_POLL_MS * 1000000L };
		if (waited > WORKERS_GONE_MS && old && !killed) {
			kill_old_workers(old);
			killed = true;
		}
		if (waited > WORKERS_KILLED_MS) {
			event(s->log, DAEMON_FAILED, NULL, F_TEXT("why", "workers of an earlier life of this name do not end"));
			return -EBUSY;
		}
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

static void bury_old_life(struct supervisor *s, struct board *old)
{
	size_t n = board_header(old)->slot_count;

	s->earlier_orderly = atomic_load(&board_header(old)->ended_orderly) != 0;
	s->earlier = calloc(n ? n : 1, sizeof(*s->earlier));
	for (size_t i = 0; s->earlier && i < n; i++) {
		struct dead_worker *d = &s->earlier[s->earlier_count];
		*d = (struct dead_worker){ .crashed = !s->earlier_orderly, .earlier_life = true };
		slot_read(board_slot(old, i), &d->identity, &d->run);
		slot_read_done(board_slot(old, i), &d->done);
		if (d->run.handler_pid > 0)
			strays_kill_group(d->run.handler_pid, d->run.handler_start);
		if (d->identity.consumer[0])
			s->earlier_count++;
	}
}

static int take_over(struct supervisor *s)
{
	AUTO_FREE char *path = path_of(s, ".scoreboard");
	struct board *old = NULL;
	if (!path)
		return -ENOMEM;
	if (board_open_old(path, &old) < 0)
		old = NULL; /* none, or of another version: then the leases tell */
	int r = wait_for_workers(s, old);
	if (r == 0 && old)
		bury_old_life(s, old);
	board_free(old);
	return r;
}

int runtime_board(struct supervisor *s)
{
	const struct config *c = s->config;
	AUTO_FREE char *path = path_of(s, ".scoreboard");
	struct fault fault;

	if (!path)
		return -ENOMEM;
	int r = board_create(path, c->name, c->slot_count, c->job_count, c->queue_count, &s->board, &fault);
	if (r < 0)
		return say(s, r, fault.text, path);
	r = board_assign(s->board, &(struct board_rows){ c->jobs, c->job_count, c->queues, c->queue_count }, s->gen->number, 0, false);
	return r < 0 ? say(s, r, "the scoreboard has no room", path) : 0;
}

int runtime_open(struct supervisor *s)
{
	int r = fd_make_folder(s->config->runtime_dir, 0755);
	if (r < 0)
		return say(s, r, "the runtime folder cannot be made", s->config->runtime_dir);
	r = lock_supervisor(s);
	if (r == 0)
		r = open_lock(s, ".workers.lock", &s->workers_lock_fd);
	return r < 0 ? r : take_over(s);
}

void runtime_close(struct supervisor *s, bool all_released)
{
	AUTO_FREE char *path = path_of(s, ".scoreboard");

	if (s->board && path && all_released)
		(void)unlink(path); /* nothing is left to recover */
	else if (s->board)
		atomic_store(&board_header(s->board)->ended_orderly, s->stopping ? 1 : 0);
	board_free(TAKE(s->board));
	free(s->earlier);
	if (s->workers_lock_fd >= 0)
		(void)close(s->workers_lock_fd);
	if (s->lock_fd >= 0)
		(void)close(s->lock_fd);
}
