/* Speaks journald's native protocol itself (it is stable, and a library would block): a datagram to its socket, never connected, so that a journald that was
 * started again is found; what is too large for a datagram goes as a sealed memory file. A burst may have to wait until journald reads again: the
 * first that finds the socket full waits some milliseconds, and after that was in vain nobody waits until one was taken. So a journald that is
 * frozen or dead costs each worker one short pause, and then events, which are counted. */
#include "log/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fd.h"

enum { WAIT_STEPS = 20, SEND_BUFFER = 4 * 1024 * 1024 };
#define WAIT_STEP_NS 1000000

bool journal_is(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char text[64];
	struct stat st;

	if (!stream || fstat(fd, &st) < 0)
		return false;
	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	return strcmp(stream, text) == 0;
}

bool journal_open(struct journal *j)
{
	const char *path = getenv("XACKD_JOURNAL_SOCKET");
	const int buffer = SEND_BUFFER;

	if (j->fd >= 0)
		return true;
	if (!path || !*path)
		path = "/run/systemd/journal/socket";
	if (strlen(path) >= sizeof(j->address.sun_path) || access(path, W_OK) < 0)
		return false;
	j->address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(j->address.sun_path, path, strlen(path) + 1);
	j->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (j->fd < 0)
		return false;
	(void)setsockopt(j->fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	j->stalled = false;
	return true;
}

void journal_close(struct journal *j)
{
	if (j->fd >= 0)
		(void)close(j->fd);
	j->fd = -1;
}

/* 0 or -errno. passed: a descriptor that goes with it, -1 = none. */
static int send_once(struct journal *j, struct bytes fields, int passed)
{
	struct iovec part = { .iov_base = (void *)(uintptr_t)fields.p, .iov_len = fields.n };
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .space = { 0 } };
	struct msghdr message = { .msg_name = &j->address, .msg_namelen = sizeof(j->address) };

	if (passed < 0) {
		message.msg_iov = &part;
		message.msg_iovlen = 1;
	} else {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.head), &passed, sizeof(passed));
	}
	return sendmsg(j->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int send_patiently(struct journal *j, struct bytes fields, int passed)
{
	const struct timespec pause = { 0, WAIT_STEP_NS };
	int r = send_once(j, fields, passed);

	for (int i = 0; i < WAIT_STEPS && !j->stalled && (r == -EAGAIN || r == -EINTR); i++) {
		(void)nanosleep(&pause, NULL);
		r = send_once(j, fields, passed);
	}
	return r;
}

static int send_as_file(struct journal *j, struct bytes fields)
{
	AUTO_FD fd = memfd_create("xackd-journal", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	int r = fd_write_all(fd, fields);
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	return send_patiently(j, (struct bytes){ NULL, 0 }, fd);
}

bool journal_send(struct journal *j, struct bytes fields)
{
	int r = send_patiently(j, fields, -1);

	if (r == -EMSGSIZE || r == -ENOBUFS)
		r = send_as_file(j, fields);
	j->stalled = r < 0;
	return r == 0;
}
