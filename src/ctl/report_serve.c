/* `report --serve`: the page for browsers, with what was added since. One thread does both: it reads the log
 * a piece at a time, and answers in between. It only ever reads, and is meant for this machine: a page of
 * another site cannot get at it by a name that it points here (the Host header has to be an address, or
 * localhost), nor show it in a frame. */
#include "ctl/report.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <strings.h>
#include <sys/signalfd.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/fd.h"
#include "report/page.h"

enum {
	CONNECTIONS = 32,
	TIMEOUT_S = 15,
	CONNECTION_BYTES = 16 * 1024,
	LOOK_EVERY_MS = 500,
};

struct server {
	struct report_input *in;
	bool public;
	bool ended; /* standard input has */
	struct MHD_Daemon *http;
};

/* ---- one answer ---- */

static const char *const common[][2] = {
	{ "X-Content-Type-Options", "nosniff" },
	{ "X-Frame-Options", "DENY" },
	{ "Referrer-Policy", "no-referrer" },
	{ "Cache-Control", "no-store" },
	{ "Cross-Origin-Resource-Policy", "same-origin" },
	{ "Cross-Origin-Opener-Policy", "same-origin" },
};

/* Takes the content of body. header: one more, NULL = none. */
static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *type, struct buf *body,
			      const char *header, const char *value)
{
	size_t n = body->n;
	char *text = buf_take(body);
	struct MHD_Response *response =
		text ? MHD_create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE) : NULL;
	if (!response) {
		free(text);
		return MHD_NO;
	}
	for (size_t i = 0; i < ARRAY_LEN(common); i++)
		(void)MHD_add_response_header(response, common[i][0], common[i][1]);
	(void)MHD_add_response_header(response, "Content-Type", type);
	if (header)
		(void)MHD_add_response_header(response, header, value);
	enum MHD_Result done = MHD_queue_response(c, status, response);
	MHD_destroy_response(response);
	return done;
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned status, const char *why, const char *header,
			      const char *value)
{
	AUTO_BUF body = { 0 };
	buf_addf(&body, "%s\n", why);
	return answer(c, status, "text/plain; charset=utf-8", &body, header, value);
}

static enum MHD_Result give_page(struct server *s, struct MHD_Connection *c)
{
	struct report_page_options options = { .live = true };
	struct feed *feed = s->in->feed;
	AUTO_BUF body = { 0 };
	AUTO_BUF policy = { 0 };
	fd_random_hex(options.nonce, (REPORT_NONCE_SIZE - 1) / 2);
	feed->source.made_ms = clock_wall_ms();
	report_page(&body, feed->digest, &feed->source, &options);
	report_page_policy(&policy, true, options.nonce);
	buf_add_text(&policy, "; frame-ancestors 'none'");
	return policy.failed ? MHD_NO
			     : answer(c, MHD_HTTP_OK, "text/html; charset=utf-8", &body,
				      "Content-Security-Policy", policy.p);
}

static enum MHD_Result give_data(struct server *s, struct MHD_Connection *c)
{
	struct feed *feed = s->in->feed;
	AUTO_BUF body = { 0 };
	char tag[48];
	(void)snprintf(tag, sizeof(tag), "\"%" PRIu64 "\"", feed->source.lines);
	const char *known = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "If-None-Match");
	if (known && strcmp(known, tag) == 0) {
		buf_add(&body, "", 0);
		return answer(c, MHD_HTTP_NOT_MODIFIED, "application/json", &body, "ETag", tag);
	}
	feed->source.made_ms = clock_wall_ms();
	digest_write_json(&body, feed->digest, &feed->source);
	return answer(c, MHD_HTTP_OK, "application/json", &body, "ETag", tag);
}

/* A browser that was led here by a foreign name says that name. An address cannot be pointed anywhere else.
 */
static bool host_is_ours(const struct server *s, const char *host)
{
	char name[256], own[256] = "";
	struct in6_addr address;
	bool bracket = host && host[0] == '[';
	const char *begin = bracket ? host + 1 : host;
	size_t n = host ? strcspn(begin, bracket ? "]" : ":") : 0;
	if (n == 0 || n >= sizeof(name) || (bracket && begin[n] != ']'))
		return false;
	memcpy(name, begin, n);
	name[n] = '\0';
	if (bracket)
		return inet_pton(AF_INET6, name, &address) == 1;
	if (strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, &address) == 1)
		return true;
	return s->public && gethostname(own, sizeof(own) - 1) == 0 && strcasecmp(name, own) == 0;
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *c, const char *url, const char *method,
				  const char *version, const char *upload, size_t *upload_size,
				  void **request)
{
	struct server *s = user;
	(void)version, (void)upload, (void)request;
	if (*upload_size > 0)
		return MHD_NO;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return refuse(c, MHD_HTTP_METHOD_NOT_ALLOWED,
			      "Only GET and HEAD: nothing can be changed here.", "Allow", "GET, HEAD");
	if (!host_is_ours(s, MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host")))
		return refuse(c, MHD_HTTP_FORBIDDEN,
			      "Ask by address (http://127.0.0.1:PORT/), not by a name.", NULL, NULL);
	if (strcmp(url, "/") == 0)
		return give_page(s, c);
	if (strcmp(url, "/data.json") == 0)
		return give_data(s, c);
	return refuse(c, MHD_HTTP_NOT_FOUND, "There is / and /data.json.", NULL, NULL);
}

/* ---- the loop ---- */

/* What waits to be read, a piece at a time. True: there is more at once. */
static bool read_some(struct server *s, bool readable)
{
	struct report_input *in = s->in;
	if (s->ended || !readable)
		return false;
	int r = report_input_read(in);
	if (r > 0)
		return in->journal || in->total_bytes >= 0;
	if (r < 0 || (!in->path && !in->journal)) {
		feed_end(in->feed);
		s->ended = true;
	} else {
		report_input_look_again(in);
	}
	return false;
}

/* A pipe is read when there is something in it; a file and the journal have no such sign. */
static void run(struct server *s, int signal_fd, int http_fd)
{
	bool more = true, pipe = !s->in->journal && s->in->total_bytes < 0;
	for (;;) {
		struct pollfd fds[] = { { signal_fd, POLLIN, 0 },
					{ http_fd, POLLIN, 0 },
					{ pipe && !s->ended ? s->in->fd : -1, POLLIN, 0 } };
		(void)poll(fds, ARRAY_LEN(fds), more ? 0 : LOOK_EVERY_MS);
		if (fds[0].revents)
			return;
		(void)MHD_run(s->http);
		more = read_some(s, !pipe || fds[2].revents);
	}
}

static int listen_at(const struct ctl *ctl, const char *text, int *ret_fd, struct address *ret_bound)
{
	struct fault fault;
	struct address address;
	if (address_parse(text, &address, &fault) < 0)
		return ctl_say(CTL_USAGE, "--serve %s: %s", text, fault.text);
	if (!address_is_loopback(&address) && !args_given(ctl->args, OPTION_PUBLIC))
		return ctl_say(CTL_USAGE,
			       "--serve %s: others could read the log's contents there, unencrypted and "
			       "without a password; --public if that is meant",
			       text);
	if (address_listen(&address, text, ret_fd, &fault) < 0)
		return ctl_say(CTL_NO, "--serve %s: %s", text, fault.text);
	ret_bound->size = sizeof(ret_bound->storage);
	(void)getsockname(*ret_fd, (struct sockaddr *)&ret_bound->storage, &ret_bound->size);
	return 0;
}

static void say_where(const char *text, const struct address *bound)
{
	const char *port = strrchr(text, ':');
	(void)printf("http://%.*s:%u/\n", (int)(port ? port - text : 0), text, address_port(bound));
	(void)fflush(stdout);
}

int report_serve(struct ctl *ctl, struct report_input *in)
{
	struct server s = { .in = in, .public = args_given(ctl->args, OPTION_PUBLIC) };
	const char *where = ctl->args->serve;
	struct address bound;
	sigset_t stops;
	int listening = -1;
	int code = listen_at(ctl, where, &listening, &bound);
	if (code != 0)
		return code;
	(void)sigemptyset(&stops);
	(void)sigaddset(&stops, SIGINT);
	(void)sigaddset(&stops, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &stops, NULL);
	AUTO_FD signal_fd = signalfd(-1, &stops, SFD_CLOEXEC | SFD_NONBLOCK);
	s.http = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, &s, MHD_OPTION_LISTEN_SOCKET,
				  listening, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
				  MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S,
				  MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
				  MHD_OPTION_END);
	const union MHD_DaemonInfo *info =
		s.http ? MHD_get_daemon_info(s.http, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (signal_fd < 0 || !info) {
		if (s.http)
			MHD_stop_daemon(s.http);
		else
			(void)close(listening);
		return ctl_say(CTL_NO, "--serve %s: the server does not start", where);
	}
	say_where(where, &bound);
	run(&s, signal_fd, info->epoll_fd);
	MHD_stop_daemon(s.http);
	return 0;
}
