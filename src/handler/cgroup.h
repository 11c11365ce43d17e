/* Where this daemon has room in the cgroup v2 tree, and what can be done with a group there: kill all that is
 * in it, wait until it is empty, remove it. The supervisor makes the groups (supervisor/groups.h), a worker's
 * handlers live in them (handler/group.h). A group is held as a descriptor of its folder; reading and writing
 * its files is a matter of microseconds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/fault.h"

/* The folder of the group that this process is in, by the texts of /proc/self/mountinfo and
 * /proc/self/cgroup. Of several mounts the number-th. Pure. 0 with the path (the caller's buffer), -ENOENT:
 * no such mount, or the group is not below it. */
MUST_CHECK int cgroup_own_path(struct bytes mountinfo, struct bytes own, size_t number, struct buf *ret_path);

enum { CGROUP_MEMORY = 1, CGROUP_PROCESSES = 2 }; /* controllers */

/* Make (or find) a group of this name inside our own, where we may. If our own was handed to us (delegated)
 * and nobody else is in it, this process moves to a leaf of it, so that the controllers can be given to the
 * new group. 0 with the new group's folder, its path (the caller's buffer), and which controllers its
 * children have; else -errno and a sentence. To be called before there are other processes of ours. */
MUST_CHECK int cgroup_make_room(const char *name, struct buf *ret_path, int *ret_fd,
				unsigned *ret_controllers, struct fault *ret_fault);
/* A group inside another, whose children have the controllers that it can have. 0 or -errno. */
MUST_CHECK int cgroup_make(int parent_fd, const char *name);
/* The folder of a group; -errno. -ENOENT, too, if that is no cgroup v2. */
MUST_CHECK int cgroup_open(int parent_fd, const char *name);
/* Which controllers the children of this group have. */
unsigned cgroup_controllers(int fd);

/* True if there is a process in it or below it; zombies do not count. */
bool cgroup_populated(int fd);
/* SIGKILL to all that are in it and below, at once: nothing can fork away from it. */
void cgroup_kill(int fd);
/* 0 once nobody is left in it, -ETIMEDOUT. */
MUST_CHECK int cgroup_wait_empty(int fd, int64_t limit_ms);
/* The group and those below it; what is not empty stays. */
void cgroup_remove(int parent_fd, const char *name);

/* A file of a group. */
MUST_CHECK int cgroup_read(int fd, const char *file, char *ret_text,
			   size_t size); /* NUL-terminated, without what does not fit; length or -errno */
MUST_CHECK int cgroup_write(int fd, const char *file, const char *text); /* 0 or -errno */
/* The number behind `key` in a file of lines "key number"; -1 = not there. */
int64_t cgroup_count(const char *text, const char *key);
