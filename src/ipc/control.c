/* The control socket, both ends. The server reads one line, answers one line, closes; every peer has five seconds and 64 KiB. */
#include "ipc/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/fd.h"

enum {
	REQUEST_MAX_BYTES = 64 * 1024,
	ANSWER_MAX_BYTES = 64 * 1024 * 1024,
	PEER_LIMIT_MS = 5000,
	PEERS_MAX = 64,
	BACKLOG = 64,
	ACCEPT_PAUSE_MS = 200, /* without descriptors or memory: a socket that stays readable must not turn the loop */
};

struct peer {
	struct control_server *server;
	struct peer *next, *previous;
	int fd;
	ev_io io;
	ev_timer timer;
	struct buf in, out;
	size_t written;
};

struct control_server {
	struct ev_loop *loop;
	control_handler_fn *fn;
	void *user;
	char *path;
	int fd;
	ev_io io;
	ev_timer pause;
	struct peer *peers;
	size_t peer_count;
};

static int address_of(const char *path, struct sockaddr_un *ret_address, struct fault *f)
{
	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(ret_address->sun_path))
		return fault_set(f, -ENAMETOOLONG, "the path of the control socket is too long (%zu bytes at most): %.150s",
				 sizeof(ret_address->sun_path) - 1, path);
	memcpy(ret_address->sun_path, path, strlen(path) + 1);
	return 0;
}

/* ---- server ---- */

static void peer_free(struct peer *p)
{
	struct control_server *s = p->server;

	ev_io_stop(s->loop, &p->io);
	ev_timer_stop(s->loop, &p->timer);
	(void)close(p->fd);
	buf_done(&p->in);
	buf_done(&p->out);
	if (p->next)
		p->next->previous = p->previous;
	if (p->previous)
		p->previous->next = p->next;
	else
		s->peers = p->next;
	if (s->peer_count-- == PEERS_MAX)
		ev_io_start(s->loop, &s->io);
	free(p);
}

static void answer(struct peer *p)
{
	struct control_server *s = p->server;
	AUTO_JSON *request = json_parse((struct bytes){ p->in.p, strcspn(p->in.p, "\n") });
	AUTO_JSON *reply = json_is_object(request) ? s->fn(s->user, request) : json_pack("{s:s}", "error", "not a JSON object");
	AUTO_FREE char *text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;

	buf_add_text(&p->out, text ? text : "{\"error\":\"out of memory\"}");
	buf_add_char(&p->out, '\n');
	ev_io_stop(s->loop, &p->io);
	ev_io_set(&p->io, p->fd, EV_WRITE);
	ev_io_start(s->loop, &p->io);
}

static void peer_read(struct peer *p)
{
	char chunk[4096];
	ssize_t n = read(p->fd, chunk, sizeof(chunk));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || p->in.n + (size_t)n > REQUEST_MAX_BYTES) {
		peer_free(p);
		return;
	}
	buf_add(&p->in, chunk, (size_t)n);
	if (!p->in.failed && memchr(chunk, '\n', (size_t)n))
		answer(p);
}

static void peer_write(struct peer *p)
{
	ssize_t n = send(p->fd, p->out.p + p->written, p->out.n - p->written, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		p->written += (size_t)n;
	if (n <= 0 || p->written == p->out.n)
		peer_free(p);
}

static void on_peer(struct ev_loop *loop, ev_io *io, int events)
{
	struct peer *p = io->data;
	(void)loop;
	if (events & EV_WRITE)
		peer_write(p);
	else
		peer_read(p);
}

static void on_peer_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	peer_free(timer->data);
}

static void on_pause_end(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct control_server *s = timer->data;
	(void)events;
	if (s->peer_count < PEERS_MAX)
		ev_io_start(loop, &s->io);
}

static int accept_peer(struct control_server *s)
{
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	bool exhausted = fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS);
	if (exhausted) {
		ev_io_stop(s->loop, &s->io);
		ev_timer_set(&s->pause, ACCEPT_PAUSE_MS / 1000., 0.);
		ev_timer_start(s->loop, &s->pause);
	}
	return fd;
}

static void on_connect(struct ev_loop *loop, ev_io *io, int events)
{
	struct control_server *s = io->data;
	(void)events;
	int fd = accept_peer(s);
	if (fd < 0)
		return;
	struct peer *p = calloc(1, sizeof(*p));
	if (!p) {
		(void)close(fd);
		return;
	}
	ev_now_update(loop);
	p->server = s;
	p->fd = fd;
	p->next = s->peers;
	if (s->peers)
		s->peers->previous = p;
	s->peers = p;
	if (++s->peer_count == PEERS_MAX) /* the others wait in the backlog until one of these is done or has had its time */
		ev_io_stop(loop, &s->io);
	ev_io_init(&p->io, on_peer, fd, EV_READ);
	ev_timer_init(&p->timer, on_peer_time, PEER_LIMIT_MS / 1000., 0.);
	p->io.data = p->timer.data = p;
	ev_io_start(loop, &p->io);
	ev_timer_start(loop, &p->timer);
}

static bool answers(const struct sockaddr_un *address)
{
	AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN); /* its backlog is full */
}

static int listen_at(const char *path, int *ret_fd, struct fault *f)
{
	struct sockaddr_un address;
	struct stat st;
	int r = address_of(path, &address, f);
	if (r < 0)
		return r;
	if (answers(&address))
		return fault_set(f, -EADDRINUSE, "another daemon answers on %s", path);
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(path);
	AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, 0660) < 0 || listen(fd, BACKLOG) < 0)
		return fault_set(f, -errno, "the control socket %s cannot be made: %s", path, strerror(errno));
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int control_server_start(struct ev_loop *loop, const char *path, control_handler_fn *fn, void *user, struct control_server **ret_server,
			 struct fault *ret_fault)
{
	int fd = -1;
	int r = listen_at(path, &fd, ret_fault);
	if (r < 0)
		return r;
	struct control_server *s = calloc(1, sizeof(*s));
	char *copy = strdup(path);
	if (!s || !copy) {
		free(s);
		free(copy);
		(void)close(fd);
		return fault_set(ret_fault, -ENOMEM, "out of memory");
	}
	*s = (struct control_server){ .loop = loop, .fn = fn, .user = user, .path = copy, .fd = fd };
	ev_io_init(&s->io, on_connect, fd, EV_READ);
	ev_init(&s->pause, on_pause_end);
	s->io.data = s->pause.data = s;
	ev_io_start(loop, &s->io);
	*ret_server = s;
	return 0;
}

void control_server_free(struct control_server *s)
{
	if (!s)
		return;
	while (s->peers)
		peer_free(s->peers);
	ev_io_stop(s->loop, &s->io);
	ev_timer_stop(s->loop, &s->pause);
	(void)close(s->fd);
	(void)unlink(s->path);
	free(s->path);
	free(s);
}

/* ---- client ---- */

static int wait_for(int fd, short events, int64_t until_mono_ms)
{
	for (;;) {
		int64_t left = until_mono_ms - clock_mono_ms();
		struct pollfd p = { .fd = fd, .events = events };
		if (left <= 0)
			return -ETIMEDOUT;
		int n = poll(&p, 1, (int)(left > 60000 ? 60000 : left));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

static int send_all(int fd, struct bytes text, int64_t until_mono_ms)
{
	while (text.n > 0) {
		int r = wait_for(fd, POLLOUT, until_mono_ms);
		if (r < 0)
			return r;
		ssize_t n = send(fd, text.p, text.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return -errno;
		text.p += n;
		text.n -= (size_t)n;
	}
	return 0;
}

static int receive_all(int fd, struct buf *text, int64_t until_mono_ms)
{
	char chunk[16384];

	for (;;) {
		int r = wait_for(fd, POLLIN, until_mono_ms);
		if (r < 0)
			return r;
		ssize_t n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return text->failed ? -ENOMEM : 0;
		buf_add(text, chunk, (size_t)n);
		if (text->n > ANSWER_MAX_BYTES)
			return -EPROTO;
	}
}

/* A daemon whose backlog is full is waited for. */
static int connect_within(int fd, const struct sockaddr_un *address, int64_t timeout_ms)
{
	const struct timeval limit = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return 0;
	return errno == EAGAIN ? -ETIMEDOUT : -errno;
}

int control_call(const char *path, json_t *request, int64_t timeout_ms, json_t **ret_answer, struct fault *ret_fault)
{
	int64_t until = clock_mono_ms() + timeout_ms;
	struct sockaddr_un address;
	AUTO_BUF text = { 0 };
	int r = address_of(path, &address, ret_fault);
	if (r < 0)
		return r;
	AUTO_FREE char *line = json_dumps(request, JSON_COMPACT);
	AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || !line)
		return fault_set(ret_fault, -ENOMEM, "no socket or no memory");
	r = connect_within(fd, &address, timeout_ms);
	if (r < 0)
		return fault_set(ret_fault, r, "no daemon answers on %s: %s", path, strerror(-r));
	r = send_all(fd, bytes_of(line), until);
	if (r == 0)
		r = send_all(fd, bytes_of("\n"), until);
	if (r == 0)
		r = receive_all(fd, &text, until);
	if (r < 0)
		return fault_set(ret_fault, r, "the daemon on %s does not answer: %s", path, strerror(-r));
	json_t *answer = json_parse(buf_bytes(&text));
	if (!answer)
		return fault_set(ret_fault, -EPROTO, "the daemon on %s answered something else than JSON", path);
	*ret_answer = answer;
	return 0;
}
