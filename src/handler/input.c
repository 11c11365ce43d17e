/* stdin: what surely fits into a pipe is written into one before the start, which costs half of a memory file. Anything longer would want a
 * writer beside the loop: it becomes a memory file, which takes 100 MB the same way as one byte. */
#include "handler/input.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "domain/payload.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

enum { KEEP_BYTES = 256 * 1024 }; /* a worker that once saw a huge entry does not stay huge */

static int open_memory(struct input *in)
{
	/* Newer kernels may insist that a memory file is not executable; older ones do not know the flag. */
	if (in->flags == 0)
		in->flags = MFD_CLOEXEC | MFD_NOEXEC_SEAL;
	int fd = memfd_create("stdin", in->flags);
	if (fd < 0 && errno == EINVAL && (in->flags & MFD_NOEXEC_SEAL)) {
		in->flags = MFD_CLOEXEC;
		fd = memfd_create("stdin", in->flags);
	}
	return fd < 0 ? -errno : fd;
}

/* A second descriptor, for reading alone and with its own offset. Without /proc the first one must do. */
static int reopen_to_read(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int reader = open(path, O_RDONLY | O_CLOEXEC);
	if (reader < 0 && (errno == ENOENT || errno == EACCES)) {
		if (lseek(fd, 0, SEEK_SET) < 0)
			return -errno;
		reader = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	}
	return reader < 0 ? -errno : reader;
}

static int memory_file(struct input *in, struct bytes content, int *ret_fd)
{
	AUTO_FD fd = open_memory(in);
	if (fd < 0)
		return fd;
	int r = fd_write_all(fd, content);
	if (r < 0)
		return r;
	r = reopen_to_read(fd);
	if (r < 0)
		return r;
	*ret_fd = r;
	return 0;
}

/* At most PIPE_BUF: the smallest pipe that a user at his limit is given takes that at once. */
static int short_pipe(struct bytes content, int *ret_fd)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	ssize_t n = content.n > 0 ? write(fds[1], content.p, content.n) : 0;
	int r = n == (ssize_t)content.n ? 0 : n < 0 ? -errno : -EIO;
	(void)close(fds[1]);
	if (r < 0)
		(void)close(fds[0]);
	else
		*ret_fd = fds[0];
	return r;
}

static int give(struct input *in, struct bytes content, int *ret_fd)
{
	return content.n <= PIPE_BUF ? short_pipe(content, ret_fd) : memory_file(in, content, ret_fd);
}

static int make_json(struct input *in, const struct run_facts *facts, int *ret_fd)
{
	buf_clear(&in->text);
	int r = payload_json(&in->text, facts);
	if (r == 0)
		r = give(in, buf_bytes(&in->text), ret_fd);
	if (r < 0 || in->text.cap > KEEP_BYTES)
		buf_done(&in->text);
	return r;
}

static int make_payload(struct input *in, const struct run_facts *facts, int *ret_fd)
{
	const struct entry_pair *pair = entry_find(facts->entry, bytes_of(facts->job->payload_field));
	return pair ? give(in, pair->value, ret_fd) : INPUT_MISSING_FIELD;
}

int input_make(struct input *in, const struct run_facts *facts, int *ret_fd)
{
	switch (facts->job->stdin_kind) {
	case STDIN_JSON:
		return make_json(in, facts, ret_fd);
	case STDIN_PAYLOAD:
		return make_payload(in, facts, ret_fd);
	case STDIN_NONE:
		break;
	}
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int input_open(int *ret_read, int *ret_write)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*ret_read = fds[0];
	*ret_write = fds[1];
	return fcntl(fds[1], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

void input_done(struct input *in)
{
	buf_done(&in->text);
}
