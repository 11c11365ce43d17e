/* Descriptors, small files, and what /proc tells of a process. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/num.h"

int fd_secure_stdio(void)
{
	for (;;) {
		int fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return -errno;
		if (fd > STDERR_FILENO) {
			(void)close(fd);
			return 0;
		}
	}
}

int fd_set_cloexec(int fd)
{
	int flags = fcntl(fd, F_GETFD);
	if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
		return -errno;
	return 0;
}

int fd_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int fd_write_all(int fd, struct bytes data)
{
	while (data.n > 0) {
		ssize_t n = write(fd, data.p, data.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data.p += n;
		data.n -= (size_t)n;
	}
	return 0;
}

int fd_read_all(int fd, size_t max_bytes, struct buf *ret_text)
{
	size_t total = 0;
	for (;;) {
		if (buf_reserve(ret_text, 4096) < 0)
			return -ENOMEM;
		ssize_t n = read(fd, ret_text->p + ret_text->n, ret_text->cap - ret_text->n - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		ret_text->n += (size_t)n;
		ret_text->p[ret_text->n] = '\0';
		total += (size_t)n;
		if (total > max_bytes)
			return -EFBIG;
		if (n == 0)
			return 0;
	}
}

int fd_read_file(const char *path, size_t max_bytes, struct buf *ret_text)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fd_read_all(fd, max_bytes, ret_text);
}

int fd_process_start(pid_t pid, unsigned long long *ret_ticks)
{
	char path[32];
	AUTO_BUF text = { 0 };
	uint64_t ticks = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int r = fd_read_file(path, 4096, &text);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r; /* no descriptor, no memory: that is no proof of a death */
	/* The name in parentheses may hold anything: fields are counted from the last one. */
	char *at = text.p ? strrchr(text.p, ')') : NULL;
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return -ESRCH;
	at++;
	if (num_u64((struct bytes){ at, strcspn(at, " \n") }, &ticks) < 0)
		return -ESRCH;
	*ret_ticks = ticks;
	return 0;
}

int fd_make_folder(const char *path, mode_t mode)
{
	if (!path[0])
		return -ENOENT;
	AUTO_FREE char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	for (char *at = copy + 1; *at; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return -errno;
		*at = '/';
	}
	if (mkdir(copy, mode) < 0 && errno != EEXIST)
		return -errno;
	struct stat st;
	if (stat(copy, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

void fd_random_hex(char *ret_text, size_t random_bytes)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < random_bytes; i++) {
		unsigned char byte = 0;
		while (getrandom(&byte, 1, 0) != 1)
			;
		ret_text[2 * i] = digits[byte >> 4];
		ret_text[2 * i + 1] = digits[byte & 15];
	}
	ret_text[2 * random_bytes] = '\0';
}

void fd_namespace_inode(const char *path, ino_t *ret_inode)
{
	struct stat st;
	*ret_inode = stat(path, &st) == 0 ? st.st_ino : 0;
}
