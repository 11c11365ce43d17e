/* We accept, libmicrohttpd does the talking: its epoll descriptor is one more that the loop watches. Whoever
 * takes his time, byte by byte, is cut off by age, not by silence. */
#include "supervisor/http.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/clock.h"
#include "supervisor/http_library.h"

enum {
	PEERS_MAX = 16,
	PEER_LIMIT_MS = 5 * 1000,
	PEER_MEMORY_BYTES = 16 * 1024, /* of a request: what is larger is refused */
	PAGE_FRESH_MS = 250,           /* a page serves all who ask within this time */
	ACCEPT_PAUSE_MS =
		200, /* without descriptors or memory: a socket that stays readable must not turn the loop */
};

struct peer {
	int fd; /* libmicrohttpd's; -1 = a free place */
	int64_t until_mono_ms;
};

struct page {
	struct MHD_Response *response;
	int64_t made_mono_ms;
};

struct http_server {
	struct ev_loop *loop;
	struct http_library library;
	http_page_fn *write;
	void *user;
	struct MHD_Daemon *daemon;
	int fd;
	ev_io listener, work;
	ev_timer pause, timer;
	struct peer peers[PEERS_MAX];
	size_t peer_count;
	struct page pages[2]; /* classic, OpenMetrics */
};

/* ---- pages ---- */

static void forget_page(struct http_server *s, struct page *p)
{
	if (p->response)
		s->library.destroy_response(p->response); /* it lives on for those who are being given it */
	p->response = NULL;
}

static void add_headers(struct http_server *s, struct MHD_Response *response, const char *type)
{
	const char *const headers[][2] = {
		{ "Content-Type", type },
		{ "Connection", "close" },
		{ "Cache-Control", "no-store" },
		{ "X-Content-Type-Options", "nosniff" },
	};

	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		(void)s->library.add_response_header(response, headers[i][0], headers[i][1]);
}

static struct MHD_Response *page(struct http_server *s, bool openmetrics)
{
	struct page *p = &s->pages[openmetrics];
	int64_t now = clock_mono_ms();
	AUTO_BUF text = { 0 };

	if (p->response && now - p->made_mono_ms < PAGE_FRESH_MS)
		return p->response;
	forget_page(s, p);
	s->write(s->user, openmetrics, &text);
	size_t size = text.n;
	AUTO_FREE char *body = buf_take(&text);
	if (!body)
		return NULL;
	p->response = s->library.create_response_from_buffer(size, body, MHD_RESPMEM_MUST_FREE);
	if (!p->response)
		return NULL;
	(void)TAKE(body);
	p->made_mono_ms = now;
	add_headers(s, p->response,
		    openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
				: "text/plain; version=0.0.4; charset=utf-8");
	return p->response;
}

static enum MHD_Result answer_text(struct http_server *s, struct MHD_Connection *c, unsigned status,
				   const char *text)
{
	/* The library only reads it. */
	struct MHD_Response *response = s->library.create_response_from_buffer(
		strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);

	if (!response)
		return MHD_NO;
	add_headers(s, response, "text/plain; charset=utf-8");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		(void)s->library.add_response_header(response, "Allow", "GET, HEAD");
	enum MHD_Result r = s->library.queue_response(c, status, response);
	s->library.destroy_response(response);
	return r;
}

/* The answer is given before any body is read: a request with one ends with its connection. */
static enum MHD_Result on_request(void *user, struct MHD_Connection *c, const char *url, const char *method,
				  const char *version, const char *upload, size_t *upload_size,
				  void **request)
{
	struct http_server *s = user;
	(void)version;
	(void)upload;
	(void)upload_size;
	(void)request;

	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return answer_text(s, c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
	if (strcmp(url, "/") == 0)
		return answer_text(s, c, MHD_HTTP_OK, "xackd: see /metrics\n");
	if (strcmp(url, "/metrics") != 0)
		return answer_text(s, c, MHD_HTTP_NOT_FOUND, "there is only /metrics\n");
	const char *accept = s->library.lookup_connection_value(c, MHD_HEADER_KIND, "Accept");
	struct MHD_Response *response = page(s, accept && strstr(accept, "application/openmetrics-text"));
	return response ? s->library.queue_response(c, MHD_HTTP_OK, response) : MHD_NO;
}

/* ---- peers ---- */

static void on_peer(void *user, struct MHD_Connection *c, void **peer,
		    enum MHD_ConnectionNotificationCode what)
{
	struct http_server *s = user;
	const union MHD_ConnectionInfo *info =
		s->library.get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (what == MHD_CONNECTION_NOTIFY_CLOSED && *peer) {
		((struct peer *)*peer)->fd = -1;
		s->peer_count--;
		*peer = NULL;
	}
	if (what != MHD_CONNECTION_NOTIFY_STARTED || !info)
		return;
	for (size_t i = 0; i < PEERS_MAX && !*peer; i++) {
		if (s->peers[i].fd >= 0)
			continue;
		s->peers[i] = (struct peer){ info->connect_fd, clock_mono_ms() + PEER_LIMIT_MS };
		s->peer_count++;
		*peer = &s->peers[i];
	}
}

/* Cut off who has had his time; returns how long the next one has. */
static int64_t cut_off(struct http_server *s)
{
	int64_t now = clock_mono_ms(), next = PEER_LIMIT_MS;

	for (size_t i = 0; i < PEERS_MAX; i++) {
		struct peer *p = &s->peers[i];
		int64_t left = p->until_mono_ms - now;
		if (p->fd < 0)
			continue;
		if (left <= 0) { /* its end comes as an event of its socket */
			(void)shutdown(p->fd, SHUT_RDWR);
			p->until_mono_ms = now + PEER_LIMIT_MS;
		} else if (left < next) {
			next = left;
		}
	}
	return next;
}

static void work(struct http_server *s)
{
	MHD_UNSIGNED_LONG_LONG wanted_ms = 0;

	(void)s->library.run(s->daemon);
	ev_timer_stop(s->loop, &s->timer);
	if (s->peer_count < PEERS_MAX && !ev_is_active(&s->pause))
		ev_io_start(s->loop, &s->listener);
	else
		ev_io_stop(s->loop, &s->listener);
	if (s->peer_count == 0)
		return;
	int64_t wait = cut_off(s);
	if (s->library.get_timeout(s->daemon, &wanted_ms) == MHD_YES &&
	    wanted_ms < (MHD_UNSIGNED_LONG_LONG)wait)
		wait = (int64_t)wanted_ms;
	ev_now_update(s->loop);
	ev_timer_set(&s->timer, (double)wait / 1000., 0.);
	ev_timer_start(s->loop, &s->timer);
}

static void on_work(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop;
	(void)events;
	work(io->data);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	work(timer->data);
}

static void on_connect(struct ev_loop *loop, ev_io *io, int events)
{
	struct http_server *s = io->data;
	struct sockaddr_storage from;
	socklen_t size = sizeof(from);
	(void)events;

	int fd = accept4(s->fd, (struct sockaddr *)&from, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
		ev_io_stop(loop, &s->listener);
		ev_timer_set(&s->pause, ACCEPT_PAUSE_MS / 1000., 0.);
		ev_timer_start(loop, &s->pause);
	}
	if (fd < 0)
		return;
	(void)s->library.add_connection(s->daemon, fd, (const struct sockaddr *)&from,
					size); /* takes fd, also when it fails */
	work(s);
}

/* ---- its life ---- */

static void on_complaint(void *user, const char *format, va_list arguments)
{
	(void)user;
	(void)format;
	(void)arguments; /* about peers: nothing that anybody should act on */
}

static int start_daemon(struct http_server *s, struct fault *f)
{
	s->daemon = s->library.start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL,
					    on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_complaint, NULL,
					    MHD_OPTION_CONNECTION_LIMIT, (unsigned)PEERS_MAX,
					    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(PEER_LIMIT_MS / 1000),
					    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)PEER_MEMORY_BYTES,
					    MHD_OPTION_NOTIFY_CONNECTION, on_peer, s, MHD_OPTION_END);
	const union MHD_DaemonInfo *info =
		s->daemon ? s->library.get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info)
		return fault_set(f, -ENOMEM, "libmicrohttpd cannot be started");
	ev_io_set(&s->work, info->epoll_fd, EV_READ);
	return 0;
}

int http_server_start(struct ev_loop *loop, const char *text, http_page_fn *write, void *user,
		      struct http_server **ret_server, struct fault *ret_fault)
{
	struct address address;
	struct http_server *s = calloc(1, sizeof(*s));

	if (!s)
		return fault_set(ret_fault, -ENOMEM, "out of memory");
	*s = (struct http_server){ .loop = loop, .write = write, .user = user, .fd = -1 };
	for (size_t i = 0; i < PEERS_MAX; i++)
		s->peers[i].fd = -1;
	ev_io_init(&s->listener, on_connect, -1, EV_READ);
	ev_io_init(&s->work, on_work, -1, EV_READ);
	ev_init(&s->pause, on_timer);
	ev_init(&s->timer, on_timer);
	s->listener.data = s->work.data = s->pause.data = s->timer.data = s;
	int r = address_parse(text, &address, ret_fault);
	if (r == 0)
		r = address_listen(&address, text, &s->fd, ret_fault);
	if (r == 0)
		r = http_library_load(&s->library, ret_fault);
	if (r == 0)
		r = start_daemon(s, ret_fault);
	if (r < 0) {
		http_server_free(s);
		return r;
	}
	ev_io_set(&s->listener, s->fd, EV_READ);
	ev_io_start(loop, &s->listener);
	ev_io_start(loop, &s->work);
	*ret_server = s;
	return 0;
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	ev_io_stop(s->loop, &s->listener);
	ev_io_stop(s->loop, &s->work);
	ev_timer_stop(s->loop, &s->pause);
	ev_timer_stop(s->loop, &s->timer);
	for (size_t i = 0; i < ARRAY_LEN(s->pages); i++)
		forget_page(s, &s->pages[i]);
	if (s->daemon)
		s->library.stop_daemon(s->daemon);
	if (s->fd >= 0)
		(void)close(s->fd);
	free(s);
}
