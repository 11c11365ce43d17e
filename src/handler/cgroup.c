/* The tree is mounted at /sys/fs/cgroup, or in systemd's hybrid mode a folder deeper, or in a container
 * anywhere: the list of mounts tells. */
#include "handler/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"

#define CGROUP2_MAGIC 0x63677270

enum {
	PROC_MAX_BYTES = 4 * 1024 * 1024,
	FILE_BYTES = 4096,
	MOUNTS_MAX = 16,
	DEPTH_MAX = 32,
	LOOK_AGAIN_MS = 20, /* the kernel tells of changes late */
};

#define LEAF "supervisor"

/* ---- files of a group ---- */

int cgroup_read(int fd, const char *file, char *ret_text, size_t size)
{
	AUTO_FD in = openat(fd, file, O_RDONLY | O_CLOEXEC);

	ret_text[0] = '\0';
	if (in < 0)
		return -errno;
	ssize_t n = read(in, ret_text, size - 1);
	if (n < 0)
		return -errno;
	ret_text[n] = '\0';
	return (int)n;
}

int cgroup_write(int fd, const char *file, const char *text)
{
	AUTO_FD out = openat(fd, file, O_WRONLY | O_CLOEXEC);

	if (out < 0)
		return -errno;
	return write(out, text, strlen(text)) < 0 ? -errno : 0;
}

int64_t cgroup_count(const char *text, const char *key)
{
	size_t n = strlen(key);
	int64_t value = -1;

	for (const char *line = text; *line;) {
		size_t length = strcspn(line, "\n");
		if (length > n && line[n] == ' ' && memcmp(line, key, n) == 0)
			return num_i64((struct bytes){ line + n + 1, length - n - 1 }, &value) < 0 ? -1
												   : value;
		line += length + (line[length] == '\n');
	}
	return -1;
}

static bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = text; *at;) {
		size_t length = strcspn(at, " \n");
		if (length == n && memcmp(at, word, n) == 0)
			return true;
		at += length;
		at += strspn(at, " \n");
	}
	return false;
}

static unsigned controllers_in(int fd, const char *file)
{
	char text[FILE_BYTES];

	if (cgroup_read(fd, file, text, sizeof(text)) < 0)
		return 0;
	return (has_word(text, "memory") ? CGROUP_MEMORY : 0U) |
	       (has_word(text, "pids") ? CGROUP_PROCESSES : 0U);
}

unsigned cgroup_controllers(int fd)
{
	return controllers_in(fd, "cgroup.subtree_control");
}

/* One by one: where the one is refused the other is still good. */
static void hand_down_controllers(int fd)
{
	unsigned missing = controllers_in(fd, "cgroup.controllers") & ~cgroup_controllers(fd);

	if (missing & CGROUP_MEMORY)
		(void)!cgroup_write(fd, "cgroup.subtree_control", "+memory");
	if (missing & CGROUP_PROCESSES)
		(void)!cgroup_write(fd, "cgroup.subtree_control", "+pids");
}

int cgroup_open(int parent_fd, const char *name)
{
	struct statfs about;
	int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &about) == 0 && about.f_type == CGROUP2_MAGIC)
		return fd;
	(void)close(fd);
	return -ENOENT;
}

int cgroup_make(int parent_fd, const char *name)
{
	if (mkdirat(parent_fd, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	AUTO_FD fd = cgroup_open(parent_fd, name);
	if (fd < 0)
		return fd;
	hand_down_controllers(fd);
	return 0;
}

/* ---- its processes ---- */

bool cgroup_populated(int fd)
{
	char text[FILE_BYTES];
	return cgroup_read(fd, "cgroup.events", text, sizeof(text)) > 0 &&
	       cgroup_count(text, "populated") > 0;
}

void cgroup_kill(int fd)
{
	(void)!cgroup_write(fd, "cgroup.kill", "1");
}

int cgroup_wait_empty(int fd, int64_t limit_ms)
{
	int64_t until_ms = clock_mono_ms() + limit_ms;
	AUTO_FD events = openat(fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	char text[FILE_BYTES];

	while (events >= 0) {
		ssize_t n = pread(events, text, sizeof(text) - 1, 0);
		text[n > 0 ? n : 0] = '\0';
		if (cgroup_count(text, "populated") <= 0)
			break;
		if (clock_mono_ms() >= until_ms)
			return -ETIMEDOUT;
		(void)poll(&(struct pollfd){ .fd = events, .events = POLLPRI }, 1, LOOK_AGAIN_MS);
	}
	return 0;
}

static void remove_below(int fd, int depth)
{
	int list = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	DIR *folder = list < 0 ? NULL : fdopendir(list);

	for (struct dirent *d; folder && (d = readdir(folder));) {
		if (d->d_type != DT_DIR || d->d_name[0] == '.')
			continue;
		AUTO_FD child = openat(fd, d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (child >= 0 && depth < DEPTH_MAX)
			remove_below(child, depth + 1);
		(void)unlinkat(fd, d->d_name, AT_REMOVEDIR);
	}
	if (folder)
		(void)closedir(folder);
	else if (list >= 0)
		(void)close(list);
}

void cgroup_remove(int parent_fd, const char *name)
{
	AUTO_FD fd = cgroup_open(parent_fd, name);

	if (fd < 0)
		return;
	remove_below(fd, 0);
	(void)unlinkat(parent_fd, name, AT_REMOVEDIR);
}

/* ---- where we are ---- */

static struct bytes next_word(struct bytes *line)
{
	size_t n = 0;
	while (n < line->n && line->p[n] != ' ')
		n++;
	const struct bytes word = { line->p, n };
	n += n < line->n;
	*line = (struct bytes){ line->p + n, line->n - n };
	return word;
}

static struct bytes next_line(struct bytes *text)
{
	const char *end = text->n > 0 ? memchr(text->p, '\n', text->n) : NULL;
	size_t n = end ? (size_t)(end - text->p) : text->n;
	const struct bytes line = { text->p, n };
	n += n < text->n;
	*text = (struct bytes){ text->p + n, text->n - n };
	return line;
}

static bool is_octal(const char *p)
{
	return p[0] >= '0' && p[0] <= '3' && p[1] >= '0' && p[1] <= '7' && p[2] >= '0' && p[2] <= '7';
}

/* Spaces and the like stand as \040 in the list of mounts. */
static void add_unescaped(struct buf *out, struct bytes text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\\' && text.n - i >= 4 && is_octal(text.p + i + 1)) {
			buf_add_char(out, (char)((text.p[i + 1] - '0') * 64 + (text.p[i + 2] - '0') * 8 +
						 (text.p[i + 3] - '0')));
			i += 3;
		} else {
			buf_add_char(out, text.p[i]);
		}
	}
}

/* ID PARENT DEVICE ROOT POINT OPTIONS … - TYPE SOURCE OPTIONS. False: of another type. */
static bool parse_mount(struct bytes line, struct bytes *ret_root, struct bytes *ret_point)
{
	for (int i = 0; i < 3; i++)
		(void)next_word(&line);
	*ret_root = next_word(&line);
	*ret_point = next_word(&line);
	while (line.n > 0 && !bytes_eq(next_word(&line), bytes_of("-")))
		;
	return bytes_eq(next_word(&line), bytes_of("cgroup2"));
}

/* The line "0::PATH". */
static bool find_own(struct bytes text, struct bytes *ret_path)
{
	while (text.n > 0) {
		struct bytes line = next_line(&text);
		if (line.n <= 3 || memcmp(line.p, "0::/", 4) != 0)
			continue;
		*ret_path = (struct bytes){ line.p + 3, line.n - 3 };
		/* Seen from another namespace of groups: above the mount, or not to be seen at all. */
		return !(ret_path->n >= 3 && memcmp(ret_path->p, "/..", 3) == 0);
	}
	return false;
}

/* What of the path is below the mount's root. */
static bool below(struct bytes path, struct bytes root, struct bytes *ret_rest)
{
	if (bytes_eq(root, bytes_of("/"))) {
		*ret_rest = bytes_eq(path, root) ? (struct bytes){ path.p, 0 } : path;
		return true;
	}
	if (path.n < root.n || memcmp(path.p, root.p, root.n) != 0 ||
	    (path.n > root.n && path.p[root.n] != '/'))
		return false;
	*ret_rest = (struct bytes){ path.p + root.n, path.n - root.n };
	return true;
}

int cgroup_own_path(struct bytes mountinfo, struct bytes own, size_t number, struct buf *ret_path)
{
	struct bytes path, root, point, rest;

	if (!find_own(own, &path))
		return -ENOENT;
	while (mountinfo.n > 0) {
		if (!parse_mount(next_line(&mountinfo), &root, &point) || !below(path, root, &rest) ||
		    number-- > 0)
			continue;
		add_unescaped(ret_path, point);
		buf_add_bytes(ret_path, rest);
		return ret_path->failed ? -ENOMEM : 0;
	}
	return -ENOENT;
}

/* The first one that is really there: a mount may be hidden by a later one. */
static int open_own(struct buf *ret_path)
{
	AUTO_BUF mountinfo = { 0 };
	AUTO_BUF own = { 0 };

	if (fd_read_file("/proc/self/mountinfo", PROC_MAX_BYTES, &mountinfo) < 0 ||
	    fd_read_file("/proc/self/cgroup", PROC_MAX_BYTES, &own) < 0)
		return -ENOENT;
	for (size_t i = 0; i < MOUNTS_MAX; i++) {
		buf_clear(ret_path);
		int r = cgroup_own_path(buf_bytes(&mountinfo), buf_bytes(&own), i, ret_path);
		if (r < 0)
			return r;
		int fd = cgroup_open(AT_FDCWD, ret_path->p);
		if (fd >= 0 && faccessat(fd, ".", W_OK, AT_EACCESS) == 0)
			return fd;
		if (fd >= 0)
			(void)close(fd);
	}
	return -ENOENT;
}

/* ---- our own group ---- */

static bool alone_in(int fd)
{
	char text[FILE_BYTES];
	int64_t pid = 0;
	int n = cgroup_read(fd, "cgroup.procs", text, sizeof(text));

	return n > 0 && num_i64((struct bytes){ text, strcspn(text, "\n") }, &pid) == 0 && pid == getpid() &&
	       strcspn(text, "\n") + 1 == (size_t)n;
}

static bool marked(int fd, const char *mark)
{
	char value = '0';
	return fgetxattr(fd, mark, &value, 1) == 1 && value == '1';
}

/* Only what was handed to us may be changed: by systemd's mark; as the root of a container; or as what is
 * ours within what is not. */
static bool delegated(int fd)
{
	struct statfs about;
	struct stat own, around;

	if (faccessat(fd, "cgroup.type", F_OK, 0) < 0)
		return false; /* the root of the whole tree */
	if (marked(fd, "user.delegate") || marked(fd, "trusted.delegate"))
		return true;
	AUTO_FD above = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (above < 0 || fstatfs(above, &about) < 0 || fstat(above, &around) < 0 || fstat(fd, &own) < 0)
		return false;
	return about.f_type != CGROUP2_MAGIC || (own.st_uid == geteuid() && around.st_uid != geteuid());
}

/* The kernel gives controllers to the children of a group only while no process is in that group itself. */
static void clear_way(int fd)
{
	if (!delegated(fd) || !alone_in(fd))
		return;
	if (mkdirat(fd, LEAF, 0755) < 0 && errno != EEXIST)
		return;
	AUTO_FD leaf = cgroup_open(fd, LEAF);
	if (leaf < 0 || cgroup_write(leaf, "cgroup.procs", "0") < 0)
		return;
	hand_down_controllers(fd);
}

/* A group below a threaded one cannot be used. */
static bool is_domain(int fd)
{
	char text[FILE_BYTES];
	return cgroup_read(fd, "cgroup.type", text, sizeof(text)) > 0 && strncmp(text, "domain", 6) == 0 &&
	       strncmp(text, "domain invalid", 14) != 0;
}

int cgroup_make_room(const char *name, struct buf *ret_path, int *ret_fd, unsigned *ret_controllers,
		     struct fault *ret_fault)
{
	AUTO_FD own = open_own(ret_path);

	if (own < 0)
		return fault_set(ret_fault, own, "no cgroup v2 that may be written");
	clear_way(own);
	int r = cgroup_make(own, name);
	if (r < 0)
		return fault_set(ret_fault, r, "no group can be made in %s: %s", ret_path->p, strerror(-r));
	AUTO_FD fd = cgroup_open(own, name);
	if (fd < 0 || !is_domain(fd) || faccessat(fd, "cgroup.kill", W_OK, AT_EACCESS) < 0) {
		(void)unlinkat(own, name, AT_REMOVEDIR);
		return fault_set(ret_fault, -ENOTSUP,
				 "a group in %s cannot be killed (kernels before 5.14), or is threaded",
				 ret_path->p);
	}
	buf_add_char(ret_path, '/');
	buf_add_text(ret_path, name);
	if (ret_path->failed)
		return fault_set(ret_fault, -ENOMEM, "out of memory");
	*ret_controllers = cgroup_controllers(fd);
	*ret_fd = TAKE_FD(fd);
	return 0;
}
