/* How a line stays whole however long it is and however many write: one writer at a time (a robust mutex in shared memory), and a line that is not
 * taken at once waits in the shared tail, which every later writer must get rid of first; so a writer that is killed in the middle of a long line
 * leaves the rest of it to the next. How nobody ever blocks: files take all; pipes and terminals are opened again with O_NONBLOCK where that
 * can be (the descriptor's own flags are never touched: it is shared with whoever started us), else at most PIPE_BUF bytes are written after poll says that there
 * is room; sockets are written with MSG_DONTWAIT. */
#include "log/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

void sink_shared_init(struct sink_shared *shared)
{
	pthread_mutexattr_t attr;

	memset(shared, 0, offsetof(struct sink_shared, tail));
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&shared->lock, &attr);
	pthread_mutexattr_destroy(&attr);
}

static enum sink_kind kind_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || S_ISREG(st.st_mode))
		return SINK_FILE;
	return S_ISSOCK(st.st_mode) ? SINK_SOCKET : SINK_PIPE;
}

/* An open file of our own behind the same pipe or terminal; -1 where the rights or /proc forbid it. */
static int open_again(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

int sink_init(struct sink *s, int fd, void *shared)
{
	*s = (struct sink){ .fd = fd, .own_fd = -1, .kind = kind_of(fd), .shared = shared };
	if (s->kind == SINK_PIPE)
		s->own_fd = open_again(fd);
	if (s->own_fd >= 0)
		s->fd = s->own_fd;
	if (shared)
		return 0;
	s->shared = mmap(NULL, sizeof(*s->shared), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s->shared == MAP_FAILED) {
		s->shared = NULL;
		sink_done(s);
		return -ENOMEM;
	}
	s->own_shared = true;
	sink_shared_init(s->shared);
	return 0;
}

void sink_done(struct sink *s)
{
	if (s->own_fd >= 0)
		(void)close(s->own_fd);
	s->own_fd = -1;
	if (s->own_shared)
		(void)munmap(s->shared, sizeof(*s->shared));
	s->shared = NULL;
}

static bool room(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

/* Write some of it: > 0, 0 = no room now, < 0 = the reader is gone or the disk is full. */
static ssize_t write_some(struct sink *s, const char *p, size_t n)
{
	ssize_t written;

	do {
		if (s->kind == SINK_SOCKET) {
			written = send(s->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		} else if (s->kind == SINK_FILE) {
			written = write(s->fd, p, n);
		} else {
			if (s->own_fd < 0 && !room(s->fd))
				return 0;
			written = write(s->fd, p, n < PIPE_BUF ? n : PIPE_BUF);
		}
	} while (written < 0 && errno == EINTR);
	if (written < 0 && (errno == EAGAIN || errno == ENOBUFS))
		return 0;
	return written < 0 ? -errno : written;
}

static void lock(struct sink *s)
{
	/* A writer that died inside left the rest of its line in the tail. */
	if (pthread_mutex_lock(&s->shared->lock) == EOWNERDEAD)
		pthread_mutex_consistent(&s->shared->lock);
}

static void unlock(struct sink *s)
{
	pthread_mutex_unlock(&s->shared->lock);
}

static void set_rest(struct sink *s, size_t at, size_t n)
{
	atomic_store(&s->shared->rest, n ? (uint64_t)at << 32 | n : 0);
}

/* Write the tail as far as it goes now. True: nothing is left of it. */
static bool flush_tail(struct sink *s)
{
	struct sink_shared *t = s->shared;
	uint64_t rest = atomic_load(&t->rest);
	size_t at = rest >> 32, n = (uint32_t)rest;

	if (at > SINK_TAIL_BYTES || n > SINK_TAIL_BYTES - at) /* nobody writes that; but what is shared is not trusted with addresses */
		n = 0;
	while (n > 0) {
		ssize_t some = write_some(s, t->tail + at, n);
		if (some <= 0)
			return false;
		at += (size_t)some;
		n -= (size_t)some;
		set_rest(s, at, n);
	}
	return true;
}

/* Through the tail, so that whoever comes next can finish it. False: nothing of it was taken. */
static bool write_long(struct sink *s, struct bytes line)
{
	struct sink_shared *t = s->shared;

	if (line.n > SINK_TAIL_BYTES) /* no event is that long */
		return false;
	memcpy(t->tail, line.p, line.n);
	set_rest(s, 0, line.n);
	if (flush_tail(s) || atomic_load(&t->rest) >> 32 > 0)
		return true;
	set_rest(s, 0, 0);
	return false;
}

static bool write_short(struct sink *s, struct bytes line)
{
	ssize_t done = write_some(s, line.p, line.n);

	if (done <= 0)
		return false;
	if ((size_t)done < line.n) {
		memcpy(s->shared->tail, line.p + done, line.n - (size_t)done);
		set_rest(s, 0, line.n - (size_t)done);
		(void)flush_tail(s);
	}
	return true;
}

bool sink_write(struct sink *s, struct bytes line)
{
	lock(s);
	bool taken = flush_tail(s) && (line.n <= PIPE_BUF ? write_short(s, line) : write_long(s, line));
	if (!taken)
		sink_count_dropped(s);
	unlock(s);
	return taken;
}

bool sink_flush(struct sink *s)
{
	lock(s);
	bool done = flush_tail(s);
	unlock(s);
	return done;
}

bool sink_pending(const struct sink *s)
{
	return atomic_load(&s->shared->rest) != 0 || atomic_load(&s->shared->dropped) > 0;
}

void sink_count_dropped(struct sink *s)
{
	atomic_fetch_add(&s->shared->dropped, 1);
	atomic_fetch_add(&s->shared->dropped_ever, 1);
}

uint64_t sink_take_dropped(struct sink *s)
{
	return atomic_exchange(&s->shared->dropped, 0);
}
