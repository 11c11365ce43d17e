/* One socket, one queue of commands that wait for their answers. hiredis connects and parses; writing is our own, because
 * hiredis 0.14 moves what is left of its buffer after each partial write (minutes for a large entry).
 *
 * Owners may send, drop and even free the connection from inside every callback: what runs on the stack holds `depth`, and
 * each loop looks at `epoch` after every call that left it. A command's deadline counts from when it became the oldest one
 * waiting, since Redis answers in order. */
#include "redis/connection_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"

enum {
	READ_CHUNK = 16 * 1024,
	READ_ROUNDS = 64,         /* then other events get their turn */
	OUT_KEEP = 64 * 1024,     /* a larger buffer is given back once it is written */
	KEEPALIVE_IDLE_S = 15,
	KEEPALIVE_INTERVAL_S = 5,
	KEEPALIVE_COUNT = 3,
};

void error_text(struct redis_error *e, enum reaction reaction, const char *advice, const char *format, ...)
{
	struct redis_error made = { .reaction = reaction, .advice = advice };
	va_list args;

	va_start(args, format);
	(void)vsnprintf(made.text, sizeof(made.text), format, args);
	va_end(args);
	*e = made; /* only now: the arguments may point into it */
}

void connection_enter(struct connection *c)
{
	c->depth++;
}

static void destroy(struct connection *c)
{
	buf_done(&c->out);
	free(c->ring);
	free(c->hashes);
	free(c->name);
	free(c);
}

void connection_leave(struct connection *c)
{
	if (--c->depth == 0 && c->doomed)
		destroy(c);
}

/* ---- its life ---- */

struct connection *connection_new(const struct redis_target *target, const char *name, connection_state_fn *state_fn, void *user)
{
	struct connection *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->target = target;
	c->name = strdup(name);
	c->hashes = calloc(script_count() + 1, sizeof(*c->hashes));
	c->state_fn = state_fn;
	c->user = user;
	if (c->name && c->hashes)
		return c;
	destroy(c);
	return NULL;
}

static void close_socket(struct connection *c)
{
	if (c->ctx)
		redisFree(c->ctx);
	c->ctx = NULL;
	c->epoch++;
	buf_done(&c->out);
	c->out = (struct buf){ 0 };
	c->out_at = 0;
}

void connection_free(struct connection *c)
{
	if (!c)
		return;
	close_socket(c);
	c->state = CONNECTION_DOWN;
	while (c->ring_n > 0) {
		struct waiting w = waiting_pop(c);
		waiting_done(&w);
	}
	c->state_fn = NULL;
	c->doomed = true;
	c->depth++;
	connection_leave(c);
}

void connection_set_state(struct connection *c, enum connection_state state)
{
	c->state = state;
	if (c->state_fn)
		c->state_fn(c->user, state, state == CONNECTION_DOWN ? &c->error : NULL);
}

void connection_go_down(struct connection *c, const struct redis_error *error)
{
	if (c->state == CONNECTION_DOWN || c->going_down)
		return;
	connection_enter(c);
	c->error = *error;
	c->going_down = true;
	c->state = CONNECTION_DOWN;
	close_socket(c);
	while (c->ring_n > 0) {
		struct waiting w = waiting_pop(c);
		redisReply *outer = TAKE(c->current);
		if (w.fn)
			w.fn(w.user, NULL);
		c->current = outer;
		waiting_done(&w);
	}
	c->going_down = false;
	if (!c->doomed)
		connection_set_state(c, CONNECTION_DOWN);
	bool again = c->start_wanted && !c->doomed;
	c->start_wanted = false;
	if (again)
		connection_start(c);
	connection_leave(c);
}

void connection_drop(struct connection *c, const char *text)
{
	struct redis_error error;
	error_text(&error, REACT_RECONNECT, "", "%s", text);
	connection_go_down(c, &error);
}

/* No reaction of Redis's: it is this process that cannot hold what is to be sent or was sent. */
static void drop_short(struct connection *c)
{
	struct redis_error error;
	error_text(&error, REACT_BACK_OFF, "an entry or an answer is larger than what this process may have: see its limits (ulimit -v, MemoryMax=)",
		   "no memory for an answer of Redis, or for a command");
	connection_go_down(c, &error);
}

static void go_down_errno(struct connection *c, const char *what, int number)
{
	struct redis_error error;
	error_text(&error, REACT_RECONNECT, "is Redis running, and is redis.url right?", "%s: %s", what, strerror(number));
	connection_go_down(c, &error);
}

static void set_options(int fd)
{
	const int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S, count = KEEPALIVE_COUNT;

	/* Each only makes things better: without it the deadlines still hold. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static void begin_connect(struct connection *c)
{
	const struct redis_target *t = c->target;
	struct redis_error error;

	c->ctx = t->kind == TARGET_UNIX ? redisConnectUnixNonBlock(t->path) : redisConnectNonBlock(t->host, t->port);
	if (!c->ctx || c->ctx->err) {
		error_text(&error, REACT_RECONNECT, "is Redis running, and is redis.url right?", "connect: %s", c->ctx ? c->ctx->errstr : "no memory");
		connection_go_down(c, &error);
		return;
	}
	int r = fd_set_cloexec(c->ctx->fd);
	if (r < 0) {
		go_down_errno(c, "connect", -r);
		return;
	}
	if (t->kind == TARGET_TCP)
		set_options(c->ctx->fd);
	connection_set_state(c, CONNECTION_CONNECTING);
}

void connection_start(struct connection *c)
{
	if (c->going_down) {
		c->start_wanted = true;
		return;
	}
	if (c->state != CONNECTION_DOWN || c->doomed)
		return;
	connection_enter(c);
	c->epoch++;
	c->state = CONNECTION_CONNECTING;
	c->began_mono_ms = clock_mono_ms();
	begin_connect(c);
	connection_leave(c);
}

/* ---- facts ---- */

enum connection_state connection_state(const struct connection *c)
{
	return c->state;
}

const struct connection_facts *connection_facts(const struct connection *c)
{
	return &c->facts;
}

int64_t connection_redis_now_ms(const struct connection *c)
{
	return c->clock_known ? clock_mono_ms() + c->facts.clock_offset_ms : 0;
}

void connection_set_redis_now(struct connection *c, int64_t redis_now_ms)
{
	if (redis_now_ms <= 0)
		return;
	c->facts.clock_offset_ms = redis_now_ms - clock_mono_ms();
	c->clock_known = true;
}

int connection_fd(const struct connection *c)
{
	return c->ctx ? c->ctx->fd : -1;
}

bool connection_wants_write(const struct connection *c)
{
	return c->ctx && (c->state == CONNECTION_CONNECTING || c->out.n > c->out_at);
}

size_t connection_waiting(const struct connection *c)
{
	return c->ring_n;
}

/* ---- deadlines ---- */

void connection_limit_waits(struct connection *c, int64_t limit_ms)
{
	c->limit_ms = limit_ms;
}

static int64_t bounded(const struct connection *c, int64_t timeout_ms)
{
	return c->limit_ms > 0 && c->limit_ms < timeout_ms ? c->limit_ms : timeout_ms;
}

int64_t connection_deadline_mono_ms(const struct connection *c)
{
	if (c->state == CONNECTION_DOWN)
		return -1;
	if (c->state != CONNECTION_READY)
		return c->began_mono_ms + bounded(c, c->target->connect_timeout_ms);
	if (c->ring_n == 0)
		return -1;
	const struct waiting *head = &c->ring[c->ring_head];
	if (head->timeout_ms < 0)
		return -1;
	int64_t since = head->sent_mono_ms > c->head_mono_ms ? head->sent_mono_ms : c->head_mono_ms;
	return since + (head->timeout_ms > 0 ? head->timeout_ms : bounded(c, c->target->command_timeout_ms));
}

void connection_handle_time(struct connection *c)
{
	int64_t deadline = connection_deadline_mono_ms(c);
	int64_t now = clock_mono_ms();
	struct redis_error error;

	if (deadline < 0 || now < deadline)
		return;
	if (c->state == CONNECTION_READY)
		error_text(&error, REACT_RECONNECT, "", "no answer in time");
	else
		error_text(&error, REACT_RECONNECT, "is Redis running, and is redis.url right?", "connect: no answer for %lld ms",
			   (long long)(now - c->began_mono_ms));
	connection_go_down(c, &error);
}

/* ---- reading ---- */

void connection_reply_error(const struct redisReply *reply, struct redis_error *ret_error)
{
	*ret_error = (struct redis_error){ .reaction = REACT_NONE, .advice = "" };
	if (!reply) {
		error_text(ret_error, REACT_RECONNECT, "", "the connection broke");
		return;
	}
	if (reply->type != REDIS_REPLY_ERROR)
		return;
	const struct reaction_row *row = reaction_find((struct bytes){ reply->str, reply->len });
	size_t n = reply->len < sizeof(ret_error->text) ? reply->len : sizeof(ret_error->text) - 1;
	if (n == 0)
		error_text(ret_error, row->reaction, row->advice, "an error without a word");
	ret_error->reaction = row->reaction;
	ret_error->advice = row->advice;
	for (size_t i = 0; i < n; i++) {
		unsigned char byte = (unsigned char)reply->str[i];
		ret_error->text[i] = byte >= 0x20 && byte < 0x7f ? (char)byte : '?';
	}
}

static bool is_noscript(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_ERROR && reply->len >= 8 && memcmp(reply->str, "NOSCRIPT", 8) == 0;
}

/* Redis does not know the script: send it whole; its answer comes behind those of what was sent meanwhile. */
static void send_whole_script(struct connection *c, struct waiting *w)
{
	command_encode(w->script, NULL, &c->out);
	w->sent_mono_ms = clock_mono_ms();
	struct command *script = TAKE(w->script);
	if (c->out.failed || waiting_push(c, w) < 0) {
		if (w->fn)
			w->fn(w->user, NULL);
		drop_short(c);
	} else {
		connection_write_out(c);
	}
	command_done(script);
	free(script);
}

static void unasked(struct connection *c, const redisReply *reply)
{
	struct redis_error error;

	connection_reply_error(reply, &error);
	if (error.reaction == REACT_NONE)
		error_text(&error, REACT_RECONNECT, "", "an answer that nobody asked for");
	connection_go_down(c, &error);
}

static void answer(struct connection *c, redisReply *reply)
{
	if (c->ring_n == 0) {
		unasked(c, reply);
		freeReplyObject(reply);
		return;
	}
	bool unknown = waiting_oldest_is_script(c) && is_noscript(reply);
	if (unknown && waiting_read_follows(c)) { /* its text would come behind a read that waits */
		freeReplyObject(reply);
		connection_drop(c, "Redis has forgotten a script, and waits in a read");
		return;
	}
	struct waiting w = waiting_pop(c);
	if (unknown) {
		send_whole_script(c, &w);
		freeReplyObject(reply);
		return;
	}
	redisReply *outer = c->current;
	c->current = reply;
	if (w.fn)
		w.fn(w.user, reply);
	reply = c->current;
	c->current = outer;
	if (reply)
		freeReplyObject(reply);
	waiting_done(&w);
}

/* All answers that are complete. False: the connection is not the same any more. */
static bool parse(struct connection *c)
{
	uint64_t epoch = c->epoch;
	struct redis_error error;

	for (;;) {
		void *reply = NULL;
		if (redisReaderGetReply(c->ctx->reader, &reply) != REDIS_OK) {
			if (c->ctx->reader->err == REDIS_ERR_OOM) {
				drop_short(c);
				return false;
			}
			error_text(&error, REACT_RECONNECT, "", "not the Redis protocol: %s", c->ctx->reader->errstr);
			connection_go_down(c, &error);
			return false;
		}
		if (!reply)
			return true;
		answer(c, reply);
		if (c->epoch != epoch)
			return false;
	}
}

static void read_in(struct connection *c)
{
	char chunk[READ_CHUNK];

	for (int i = 0; i < READ_ROUNDS; i++) {
		ssize_t n = recv(c->ctx->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
		if (n == 0) {
			connection_drop(c, "Redis closed the connection");
			return;
		}
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			go_down_errno(c, "read", errno);
			return;
		}
		if (redisReaderFeed(c->ctx->reader, chunk, (size_t)n) != REDIS_OK) {
			drop_short(c);
			return;
		}
		c->head_mono_ms = clock_mono_ms(); /* a large answer over a slow line is on its way for as long as it comes */
		if (!parse(c) || (size_t)n < sizeof(chunk))
			return;
	}
}

/* ---- writing ---- */

static void forget_written(struct connection *c)
{
	if (c->out.cap > OUT_KEEP) {
		buf_done(&c->out);
		c->out = (struct buf){ 0 };
	}
	buf_clear(&c->out);
	c->out_at = 0;
}

void connection_write_out(struct connection *c)
{
	while (c->ctx && c->out_at < c->out.n) {
		ssize_t n = send(c->ctx->fd, c->out.p + c->out_at, c->out.n - c->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n > 0 && c->out_at > 0)
			c->head_mono_ms = clock_mono_ms(); /* so is a large command: Redis has read from what it could not take at once */
		if (n < 0) {
			/* What Redis said before it closed (too many clients, wrong password) tells more than the broken pipe. */
			int number = errno;
			uint64_t epoch = c->epoch;
			read_in(c);
			if (c->epoch == epoch)
				go_down_errno(c, "write", number);
			return;
		}
		c->out_at += (size_t)n;
	}
	if (c->ctx)
		forget_written(c);
}

static void fill_hash(struct connection *c, int script)
{
	if (c->hashes[script][0] == '\0')
		script_hash(script, c->hashes[script]);
}

void connection_queue(struct connection *c, const struct command *cmd, int64_t timeout_ms, connection_reply_fn *fn, void *user)
{
	struct waiting w = { .fn = fn, .user = user, .sent_mono_ms = clock_mono_ms(), .timeout_ms = timeout_ms, .waits = cmd->waits };

	if (cmd->script >= 0) {
		fill_hash(c, cmd->script);
		w.script = command_copy(cmd);
	}
	command_encode(cmd, cmd->script >= 0 ? c->hashes[cmd->script] : NULL, &c->out);
	if (cmd->text.failed || cmd->lengths.failed || c->out.failed || (cmd->script >= 0 && !w.script) || waiting_push(c, &w) < 0) {
		waiting_done(&w);
		if (fn)
			fn(user, NULL);
		drop_short(c);
	}
}

void connection_send(struct connection *c, const struct command *cmd, int64_t timeout_ms, bool flush, connection_reply_fn *fn, void *user)
{
	connection_enter(c);
	if (c->state != CONNECTION_READY) {
		redisReply *outer = TAKE(c->current);
		if (fn)
			fn(user, NULL);
		c->current = outer;
	} else {
		connection_queue(c, cmd, timeout_ms, fn, user);
		if (flush)
			connection_write_out(c);
	}
	connection_leave(c);
}

/* ---- events ---- */

static void finish_connect(struct connection *c)
{
	int number = 0;
	socklen_t size = sizeof(number);

	if (getsockopt(c->ctx->fd, SOL_SOCKET, SO_ERROR, &number, &size) < 0)
		number = errno;
	if (number != 0) {
		go_down_errno(c, "connect", number);
		return;
	}
	greeting_send(c);
}

void connection_handle_io(struct connection *c, bool readable, bool writable)
{
	connection_enter(c);
	if (c->state == CONNECTION_CONNECTING && (readable || writable)) {
		finish_connect(c);
	} else {
		if (readable && c->ctx)
			read_in(c);
		if (writable && c->ctx)
			connection_write_out(c);
	}
	connection_leave(c);
}

struct redisReply *connection_take_reply(struct connection *c)
{
	return TAKE(c->current);
}

void connection_free_reply(void *reply)
{
	freeReplyObject(reply);
}
