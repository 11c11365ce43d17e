/* What a group costs a run: nothing where no limit changes and nothing is left behind, but for two short
 * reads where memory is counted. */
#include "handler/group.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "handler/cgroup.h"
#include "handler/clone_into.h"

enum {
	EVENTS_BYTES = 1024,
	NAME_BYTES = 32,
	NUMBERS_MAX = 100,
	CLEAN_SHARE = 16, /* above this share of the limit, what earlier runs left (files in memory) is not
			     counted to the next */
};

#define WORKER_GROUP "worker"
#define PROBE_GROUP  "probe"

/* ---- the worker's own ---- */

/* So that what it starts is in the same group. */
static int move_worker(int slot_fd)
{
	if (mkdirat(slot_fd, WORKER_GROUP, 0755) < 0 && errno != EEXIST)
		return -errno;
	AUTO_FD fd = cgroup_open(slot_fd, WORKER_GROUP);
	return fd < 0 ? fd : cgroup_write(fd, "cgroup.procs", "0");
}

/* A new one: see fresh_group. */
static bool birth_works(int slot_fd)
{
	(void)unlinkat(slot_fd, PROBE_GROUP, AT_REMOVEDIR);
	if (mkdirat(slot_fd, PROBE_GROUP, 0755) < 0)
		return false;
	AUTO_FD fd = cgroup_open(slot_fd, PROBE_GROUP);
	bool works = fd >= 0 && clone_into_works(fd);
	(void)unlinkat(slot_fd, PROBE_GROUP, AT_REMOVEDIR);
	return works;
}

struct group_home group_enter(int inherited_fd)
{
	struct group_home home = { .fd = -1 };
	struct stat st;

	if (fstat(inherited_fd, &st) < 0 || !S_ISDIR(st.st_mode))
		return home;
	home.born = birth_works(inherited_fd);
	if (!home.born && move_worker(inherited_fd) < 0)
		return home;
	home.fd = inherited_fd;
	home.controllers = cgroup_controllers(inherited_fd);
	return home;
}

/* ---- a handler's ---- */

void group_init(struct group *g, const struct group_home *home, const char *name)
{
	*g = (struct group){ .home.fd = -1, .fd = -1, .procs_fd = -1, .events_fd = -1, .name = name };
	if (home)
		g->home = *home;
}

static void close_group(struct group *g)
{
	int *const fds[] = { &g->events_fd, &g->procs_fd, &g->fd };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		if (*fds[i] >= 0)
			(void)close(*fds[i]);
		*fds[i] = -1;
	}
	g->used = false;
	g->memory_bytes = g->processes = 0;
}

void group_done(struct group *g)
{
	close_group(g);
	g->home.fd = -1;
}

static void folder_name(const struct group *g, char name[NAME_BYTES])
{
	if (g->number == 0)
		snprintf(name, NAME_BYTES, "%s", g->name);
	else
		snprintf(name, NAME_BYTES, "%s.%u", g->name, g->number);
}

/* Always one that was made now: kernels since 6.14 (and those that were given the same correction) take
 * whoever is born into a group that was killed once, at any time before, for one who tries to escape that,
 * and kill him. */
static int fresh_group(struct group *g)
{
	char name[NAME_BYTES];

	for (g->number = 0; g->number < NUMBERS_MAX; g->number++) {
		folder_name(g, name);
		cgroup_remove(g->home.fd, name);
		if (mkdirat(g->home.fd, name, 0755) == 0)
			return cgroup_open(g->home.fd, name);
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static int open_group(struct group *g)
{
	int r = fresh_group(g);

	if (r < 0)
		return r;
	g->fd = r;
	g->killed = false;
	if (!g->home.born)
		g->procs_fd = openat(g->fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (!g->home.born && g->procs_fd < 0)
		return -errno;
	if (g->home.controllers & CGROUP_MEMORY) {
		g->events_fd = openat(g->fd, "memory.events", O_RDONLY | O_CLOEXEC);
		(void)!cgroup_write(g->fd, "memory.oom.group", "1"); /* half a handler is of no use */
	}
	return 0;
}

/* A limit that the group has, or "max". Written only when it changes. */
static bool set_limit(struct group *g, const char *file, int64_t value, int64_t *now)
{
	char text[24];

	if (*now == value)
		return true;
	if (value > 0)
		snprintf(text, sizeof(text), "%" PRId64, value);
	else
		snprintf(text, sizeof(text), "max");
	if (cgroup_write(g->fd, file, text) < 0)
		return false;
	*now = value;
	return true;
}

static int64_t oom_kills(const struct group *g)
{
	char text[EVENTS_BYTES];
	ssize_t n = pread(g->events_fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	int64_t count = cgroup_count(text, "oom_kill");
	return count > 0 ? count : 0;
}

static int64_t memory_now(const struct group *g)
{
	char text[64];
	long long bytes = 0;
	if (cgroup_read(g->fd, "memory.current", text, sizeof(text)) <= 0 ||
	    sscanf(text, "%lld", &bytes) != 1)
		return 0;
	return bytes;
}

/* Files that earlier handlers left in memory (on a tmpfs) are counted to the group that wrote them: a new one
 * begins at zero. */
static void begin_clean(struct group *g, int64_t limit_bytes)
{
	if (memory_now(g) <= limit_bytes / CLEAN_SHARE)
		return;
	close_group(g);
	if (open_group(g) < 0)
		close_group(g);
}

static bool limit_memory(struct group *g, int64_t bytes)
{
	if (bytes > 0)
		begin_clean(g, bytes);
	bool had_limit = g->memory_bytes > 0;
	if (g->fd < 0 || !set_limit(g, "memory.max", bytes, &g->memory_bytes))
		return false;
	if (had_limit != (bytes > 0)) /* not there in a kernel without swap */
		(void)!cgroup_write(g->fd, "memory.swap.max", bytes > 0 ? "0" : "max");
	return true;
}

unsigned group_prepare(struct group *g, const struct limits *limits, struct spawn_plan *plan)
{
	unsigned wanted = (limits->memory_bytes > 0 ? CGROUP_MEMORY : 0U) |
			  (limits->processes > 0 ? CGROUP_PROCESSES : 0U);
	unsigned held = 0;

	plan->group_fd = plan->group_procs_fd = 0;
	g->used = false;
	if (g->home.fd < 0 || (!(wanted & g->home.controllers) && !g->home.born))
		return 0;
	if (g->killed)
		close_group(g);
	if (g->fd < 0 && open_group(g) < 0) {
		group_done(g); /* nor the next time */
		return 0;
	}
	if ((g->home.controllers & CGROUP_MEMORY) && limit_memory(g, limits->memory_bytes))
		held |= wanted & CGROUP_MEMORY;
	if (g->fd >= 0 && (g->home.controllers & CGROUP_PROCESSES) &&
	    set_limit(g, "pids.max", limits->processes, &g->processes))
		held |= wanted & CGROUP_PROCESSES;
	if (g->fd < 0)
		return 0;
	g->used = true;
	if (g->events_fd >= 0)
		g->oom_kills = oom_kills(g);
	plan->group_fd = g->home.born ? g->fd : 0;
	plan->group_procs_fd = g->home.born ? 0 : g->procs_fd;
	return held;
}

bool group_failed(struct group *g, int error)
{
	/* EAGAIN and ENOMEM are what any clone may say. */
	static const int faults[] = { ENODEV, ENOENT, EBUSY,      EACCES, EPERM,
				      EINVAL, ENOSYS, EOPNOTSUPP, EBADF,  EROFS };

	for (size_t i = 0; g->used && i < ARRAY_LEN(faults); i++) {
		if (error == faults[i]) {
			group_done(g);
			return true;
		}
	}
	return false;
}

void group_kill(struct group *g)
{
	if (!g->used || !cgroup_populated(g->fd))
		return; /* it stays good for the next run */
	cgroup_kill(g->fd);
	g->killed = true;
}

bool group_was_out_of_memory(const struct group *g)
{
	return g->used && g->events_fd >= 0 && oom_kills(g) > g->oom_kills;
}
