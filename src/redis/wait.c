/* Waiting for answers. First the queue of the commands whose answers have not come, oldest first, since Redis answers in order; a
 * script call is kept whole until then, because Redis may not know the script (NOSCRIPT) and want its text. Then the callers that
 * block: they turn the connection themselves with poll(), and other commands' callbacks may run meanwhile. */
#include <errno.h>
#include <limits.h>
#include <poll.h>

#include "base/clock.h"
#include "redis/connection_internal.h"

static struct waiting *ring_at(struct connection *c, size_t i)
{
	return &c->ring[(c->ring_head + i) % c->ring_cap];
}

int waiting_push(struct connection *c, const struct waiting *w)
{
	if (c->ring_n == c->ring_cap) {
		size_t cap = c->ring_cap ? 2 * c->ring_cap : 8;
		struct waiting *ring = calloc(cap, sizeof(*ring));
		if (!ring)
			return -ENOMEM;
		for (size_t i = 0; i < c->ring_n; i++)
			ring[i] = *ring_at(c, i);
		free(c->ring);
		c->ring = ring;
		c->ring_cap = cap;
		c->ring_head = 0;
	}
	if (c->ring_n == 0)
		c->head_mono_ms = w->sent_mono_ms;
	c->ring_n++;
	*ring_at(c, c->ring_n - 1) = *w;
	return 0;
}

bool waiting_oldest_is_script(struct connection *c)
{
	return c->ring_n > 0 && ring_at(c, 0)->script;
}

bool waiting_read_follows(struct connection *c)
{
	for (size_t i = 1; i < c->ring_n; i++) {
		if (ring_at(c, i)->waits)
			return true;
	}
	return false;
}

struct waiting waiting_pop(struct connection *c)
{
	struct waiting w = *ring_at(c, 0);
	c->ring_head = (c->ring_head + 1) % c->ring_cap;
	c->ring_n--;
	c->head_mono_ms = clock_mono_ms();
	return w;
}

void waiting_done(struct waiting *w)
{
	if (w->script) {
		command_done(w->script);
		free(w->script);
	}
}

struct command *command_copy(const struct command *cmd)
{
	struct command *copy = calloc(1, sizeof(*copy));
	if (!copy)
		return NULL;
	buf_add(&copy->text, cmd->text.p, cmd->text.n);
	buf_add(&copy->lengths, cmd->lengths.p, cmd->lengths.n);
	copy->argc = cmd->argc;
	copy->script = cmd->script;
	if (!copy->text.failed && !copy->lengths.failed)
		return copy;
	command_done(copy);
	free(copy);
	return NULL;
}

/* ---- callers that block ---- */

static void turn(struct connection *c)
{
	struct pollfd p = { .fd = connection_fd(c), .events = POLLIN };
	int64_t deadline = connection_deadline_mono_ms(c);
	int64_t wait = deadline - clock_mono_ms();

	if (connection_wants_write(c))
		p.events = c->state == CONNECTION_CONNECTING ? POLLOUT : POLLIN | POLLOUT;
	int n = poll(&p, 1, deadline < 0 ? -1 : wait <= 0 ? 0 : wait < INT_MAX ? (int)wait : INT_MAX);
	if (n > 0)
		connection_handle_io(c, p.revents & (POLLIN | POLLHUP | POLLERR), p.revents & (POLLOUT | POLLHUP | POLLERR));
	if (!c->doomed)
		connection_handle_time(c);
}

int connection_open(struct connection *c, struct redis_error *ret_error)
{
	connection_enter(c);
	c->error = (struct redis_error){ .reaction = REACT_NONE, .advice = "" };
	connection_start(c);
	while (!c->doomed && (c->state == CONNECTION_CONNECTING || c->state == CONNECTION_GREETING))
		turn(c);
	bool ready = !c->doomed && c->state == CONNECTION_READY;
	*ret_error = c->error;
	connection_leave(c);
	return ready ? 0 : -EIO;
}

struct call {
	redisReply *reply;
	bool answered;
	struct connection *c;
};

static void answered(void *user, redisReply *reply)
{
	struct call *call = user;
	call->answered = true;
	call->reply = reply ? connection_take_reply(call->c) : NULL;
}

static int outcome(struct connection *c, struct call *call, struct redisReply **ret_reply, struct redis_error *ret_error)
{
	if (!call->reply) {
		*ret_error = c->error;
		if (ret_error->reaction == REACT_NONE || c->state != CONNECTION_DOWN)
			error_text(ret_error, REACT_RECONNECT, "", "not connected");
		return -EIO;
	}
	connection_reply_error(call->reply, ret_error);
	if (ret_error->reaction != REACT_NONE) {
		freeReplyObject(call->reply);
		return -EPROTO;
	}
	*ret_reply = call->reply;
	return 0;
}

int connection_call(struct connection *c, const struct command *cmd, int64_t timeout_ms, struct redisReply **ret_reply, struct redis_error *ret_error)
{
	struct call call = { .c = c };

	*ret_reply = NULL;
	connection_enter(c);
	connection_send(c, cmd, timeout_ms, true, answered, &call);
	while (!call.answered && !c->doomed)
		turn(c);
	int r = outcome(c, &call, ret_reply, ret_error);
	connection_leave(c);
	return r;
}
