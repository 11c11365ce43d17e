/* Nothing here blocks: a pipe is only read when the kernel says how much lies in it, which saves making our end non-blocking for each run
 * (the handler's must block, as programs expect). The end of a pipe says nothing about the handler: it may close its stdout and
 * run on, and someone to whom it passed the pipe may keep it open for long after. */
#include "handler/pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>

enum { DRAIN_MAX_BYTES = 4 * 1024 * 1024 }; /* more than any pipe holds; a writer that nobody can kill must not hold us */

static void close_end(struct pipes *p, struct pipe_end *end)
{
	if (end->fd < 0)
		return;
	ev_io_stop(p->loop, &end->io);
	(void)close(TAKE_FD(end->fd));
}

/* One reading; returns how many bytes came. */
static size_t read_end(struct pipes *p, struct pipe_end *end)
{
	int there = 0;

	if (end->fd < 0 || ioctl(end->fd, FIONREAD, &there) < 0 || there <= 0)
		return 0;
	ssize_t n = read(end->fd, p->chunk, sizeof(p->chunk));
	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0) {
		close_end(p, end);
		return 0;
	}
	p->take(p->user, PIPES_FIRST_FD + (int)(end - p->ends), (struct bytes){ p->chunk, (size_t)n });
	return (size_t)n;
}

static void close_if_ended(struct pipes *p, struct pipe_end *end)
{
	struct pollfd state = { .fd = end->fd, .events = POLLIN };

	if (end->fd >= 0 && poll(&state, 1, 0) == 1 && (state.revents & POLLIN) == 0)
		close_end(p, end);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
	struct pipes *p = io->data;
	(void)loop;
	(void)events;
	for (size_t i = 0; i < PIPES_COUNT; i++) {
		struct pipe_end *end = &p->ends[i];
		if (io != &end->io || read_end(p, end) > 0)
			continue;
		close_if_ended(p, end);
		if (end->fd < 0)
			p->ended(p->user, PIPES_FIRST_FD + (int)i);
	}
}

void pipes_init(struct pipes *p, struct ev_loop *loop, void (*take)(void *user, int fd, struct bytes chunk), void (*ended)(void *user, int fd), void *user)
{
	p->loop = loop;
	p->take = take;
	p->ended = ended;
	p->user = user;
	for (size_t i = 0; i < PIPES_COUNT; i++) {
		p->ends[i].fd = -1;
		ev_init(&p->ends[i].io, on_readable);
		p->ends[i].io.data = p;
	}
}

static int open_pipe(struct pipe_end *end, const struct spawn_user *owner, int *ret_fd)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	end->fd = fds[0];
	*ret_fd = fds[1];
	/* Else another user could write to fd 2, but not open /dev/stderr. */
	if (owner && fchown(fds[1], owner->uid, owner->gid) < 0 && errno != EPERM)
		return -errno;
	return 0;
}

static int open_null(int *ret_fd)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int pipes_open(struct pipes *p, bool discard, const struct spawn_user *owner, int ret_fds[SPAWN_FDS])
{
	for (int fd = PIPES_FIRST_FD; fd < SPAWN_FDS; fd++) {
		int r = fd == STDOUT_FILENO && discard ? open_null(&ret_fds[fd]) : open_pipe(&p->ends[fd - PIPES_FIRST_FD], owner, &ret_fds[fd]);
		if (r < 0) {
			pipes_close(p);
			return r;
		}
	}
	return 0;
}

void pipes_watch(struct pipes *p)
{
	for (size_t i = 0; i < PIPES_COUNT; i++) {
		if (p->ends[i].fd < 0)
			continue;
		ev_io_set(&p->ends[i].io, p->ends[i].fd, EV_READ);
		ev_io_start(p->loop, &p->ends[i].io);
	}
}

void pipes_read(struct pipes *p, int fd)
{
	(void)read_end(p, &p->ends[fd - PIPES_FIRST_FD]);
}

/* Most handlers say nothing: one question for all pipes, and none for each. */
static void poll_ends(const struct pipes *p, bool ret_readable[PIPES_COUNT])
{
	struct pollfd states[PIPES_COUNT];

	for (size_t i = 0; i < PIPES_COUNT; i++)
		states[i] = (struct pollfd){ .fd = p->ends[i].fd, .events = POLLIN }; /* -1 is passed over */
	bool known = poll(states, PIPES_COUNT, 0) >= 0;
	for (size_t i = 0; i < PIPES_COUNT; i++)
		ret_readable[i] = !known || (states[i].revents & POLLIN) != 0;
}

void pipes_drain(struct pipes *p)
{
	bool readable[PIPES_COUNT];

	poll_ends(p, readable);
	for (size_t i = 0; i < PIPES_COUNT; i++) {
		size_t total = 0;
		if (!readable[i])
			continue;
		size_t n = PIPES_CHUNK;
		/* A reading that is not full was the last. */
		while (n == PIPES_CHUNK && total < DRAIN_MAX_BYTES) {
			n = read_end(p, &p->ends[i]);
			total += n;
		}
	}
	pipes_close(p);
}

void pipes_close(struct pipes *p)
{
	for (size_t i = 0; i < PIPES_COUNT; i++)
		close_end(p, &p->ends[i]);
}
