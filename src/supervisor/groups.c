/* The cgroups of this daemon's workers, where there is room for them: a folder named after the daemon, in it
 * one group a worker slot. The name holds the identity of the supervisor's lock, so that daemons of one name
 * in different runtime folders do not share it, and the runtime folder notes the path: the next life, which
 * may be started from another group, ends what the last one's still hold. */
#include "supervisor/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "handler/cgroup.h"

enum { NAME_BYTES = 160, PATH_BYTES = 4096, EMPTY_LIMIT_MS = 2000 };

static void name_of_daemon(const struct supervisor *s, char name[NAME_BYTES])
{
	struct stat st = { 0 };

	(void)fstat(s->lock_fd, &st);
	snprintf(name, NAME_BYTES, "xackd-%s-%jx.%jx", s->config->name, (uintmax_t)st.st_dev,
		 (uintmax_t)st.st_ino);
}

/* The row as well: after a reload the old worker of a place may still run beside the new one. */
static void name_of_slot(const struct worker_slot *w, char name[NAME_BYTES])
{
	snprintf(name, NAME_BYTES, "%s-%d.%zu", w->pool->name, w->number, w->index);
}

static char *note_path(const struct supervisor *s)
{
	char *path = NULL;
	return asprintf(&path, "%s/%s.cgroup", s->config->runtime_dir, s->config->name) < 0 ? NULL : path;
}

/* 0 once nobody is in it any more. */
static int empty(struct supervisor *s, int fd, const char *what)
{
	if (!cgroup_populated(fd))
		return 0;
	cgroup_kill(fd);
	int r = cgroup_wait_empty(fd, EMPTY_LIMIT_MS);
	if (r < 0)
		event(s->log, DAEMON_WARNING, NULL, F_TEXT("why", "a killed process does not end"),
		      F_TEXT("cgroup", what));
	return r;
}

/* ---- the last life ---- */

/* Ours alone: a folder of this very name. */
static bool noted(const char *file, const char *name, struct buf *ret_parent)
{
	size_t n = strlen(name);

	if (fd_read_file(file, PATH_BYTES, ret_parent) < 0 || ret_parent->n < n + 2 ||
	    ret_parent->p[0] != '/')
		return false;
	size_t at = ret_parent->n - n;
	if (strlen(ret_parent->p) != ret_parent->n || strcmp(ret_parent->p + at, name) != 0 ||
	    ret_parent->p[at - 1] != '/')
		return false;
	ret_parent->p[at - 1] = '\0';
	return true;
}

static void bury_last_life(struct supervisor *s, const char *file, const char *name)
{
	AUTO_BUF parent = { 0 };

	if (!noted(file, name, &parent))
		return;
	AUTO_FD parent_fd = open(parent.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD fd = parent_fd < 0 ? -1 : cgroup_open(parent_fd, name);
	struct stat st;
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid()) {
		(void)empty(s, fd, name);
		cgroup_remove(parent_fd, name);
	}
	(void)unlink(file);
}

/* ---- this one ---- */

static int note(const char *file, const struct buf *path)
{
	AUTO_FD fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd_write_all(fd, buf_bytes(path));
}

void groups_open(struct supervisor *s)
{
	AUTO_FREE char *file = note_path(s);
	char name[NAME_BYTES];
	struct fault unused;

	name_of_daemon(s, name);
	if (!file)
		return;
	bury_last_life(s, file, name);
	if (cgroup_make_room(name, &s->groups_path, &s->groups_fd, &s->group_controllers, &unused) < 0)
		return; /* most machines' ordinary users: the subreaper and the process's own limits do
			   without */
	(void)empty(s, s->groups_fd, name);
	if (note(file, &s->groups_path) < 0)
		groups_close(s);
}

void groups_close(struct supervisor *s)
{
	if (s->groups_fd >= 0) {
		AUTO_FREE char *file = note_path(s);
		AUTO_FD parent_fd = openat(s->groups_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		char name[NAME_BYTES];
		name_of_daemon(s, name);
		(void)close(TAKE_FD(s->groups_fd));
		cgroup_remove(parent_fd, name);
		if (file && faccessat(parent_fd, name, F_OK, 0) < 0)
			(void)unlink(file);
	}
	buf_done(&s->groups_path);
}

const char *groups_limits(const struct supervisor *s)
{
	static const char *const words[] = { "", "memory", "processes", "memory processes" };
	return words[s->group_controllers & (CGROUP_MEMORY | CGROUP_PROCESSES)];
}

/* ---- a worker's ---- */

int groups_worker(struct supervisor *s, const struct worker_slot *w)
{
	char name[NAME_BYTES];
	int fd = -1;

	name_of_slot(w, name);
	if (s->groups_fd >= 0 && cgroup_make(s->groups_fd, name) == 0)
		fd = cgroup_open(s->groups_fd, name);
	return fd >= 0 ? fd : open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void groups_kill(struct supervisor *s, const struct worker_slot *w)
{
	char name[NAME_BYTES];

	if (s->groups_fd < 0)
		return;
	name_of_slot(w, name);
	AUTO_FD fd = cgroup_open(s->groups_fd, name);
	if (fd < 0 || !cgroup_populated(fd))
		return;
	(void)empty(s, fd, name);
	cgroup_remove(s->groups_fd, name); /* one that was killed is of no use */
}

void groups_remove(struct supervisor *s, const struct worker_slot *w)
{
	char name[NAME_BYTES];

	if (s->groups_fd < 0)
		return;
	name_of_slot(w, name);
	cgroup_remove(s->groups_fd, name);
}
