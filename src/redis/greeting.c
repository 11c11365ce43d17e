/* What is said first on every connection, in one write: who we are, which database, what we are called; and what we ask: our
 * client's id, which Redis this is, its clock, and whether it is the master. What an ACL forbids of the questions is done
 * without; a refused password or database, or a replica, ends the connection with the reason. */
#include "redis/connection_internal.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"

enum step { STEP_AUTH, STEP_SELECT, STEP_SETNAME, STEP_ID, STEP_INFO, STEP_TIME, STEP_ROLE };
enum { PASSWORD_MAX = 64 * 1024 };

static void greeted(void *user, redisReply *reply);

static void say(struct connection *c, struct command *cmd, enum step step)
{
	if (c->state != CONNECTION_GREETING)
		return; /* it went down for want of memory */
	c->greeting[c->greeting_n++] = (int)step;
	connection_queue(c, cmd, CONNECTION_DEFAULT_TIMEOUT, greeted, c);
}

/* 1: there is one, 0: none is configured, -errno. */
static int read_password(const struct redis_target *t, struct buf *ret_password)
{
	if (t->password_file) {
		int r = fd_read_file(t->password_file, PASSWORD_MAX, ret_password);
		if (r < 0)
			return r;
		if (ret_password->n > 0 && ret_password->p[ret_password->n - 1] == '\n')
			ret_password->n--;
		if (ret_password->n > 0 && ret_password->p[ret_password->n - 1] == '\r')
			ret_password->n--;
		return 1;
	}
	if (!t->password_env)
		return 0;
	const char *value = getenv(t->password_env);
	if (!value)
		return -ENOENT;
	buf_add_text(ret_password, value);
	return 1;
}

static void wipe(struct buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->cap);
}

/* False: no password could be had, and the connection is down. */
static bool say_auth(struct connection *c, struct command *cmd)
{
	const struct redis_target *t = c->target;
	AUTO_BUF password = { 0 };
	struct redis_error error;

	int r = read_password(t, &password);
	if (r < 0) {
		error_text(&error, REACT_OPERATOR, "see redis.password_file and redis.password_env", "password from %s: %s",
			   t->password_file ? t->password_file : t->password_env, strerror(-r));
		connection_go_down(c, &error);
		return false;
	}
	if (r == 0 && !t->username)
		return true;
	command_begin(cmd, "AUTH");
	if (t->username)
		command_text(cmd, t->username);
	command_bytes(cmd, buf_bytes(&password));
	say(c, cmd, STEP_AUTH);
	wipe(&password);
	wipe(&cmd->text);
	return true;
}

void greeting_send(struct connection *c)
{
	static const struct {
		enum step step;
		const char *words[2];
	} questions[] = {
		{ STEP_ID, { "CLIENT", "ID" } },
		{ STEP_INFO, { "INFO", "server" } },
		{ STEP_TIME, { "TIME", NULL } },
		{ STEP_ROLE, { "ROLE", NULL } },
	};
	AUTO_COMMAND cmd = { 0 };
	uint64_t epoch = c->epoch;

	c->greeting_n = c->greeting_at = 0;
	c->facts = (struct connection_facts){ .clock_offset_ms = c->facts.clock_offset_ms };
	connection_set_state(c, CONNECTION_GREETING);
	if (c->epoch != epoch || !say_auth(c, &cmd))
		return;
	if (c->target->db > 0) {
		command_begin(&cmd, "SELECT");
		command_i64(&cmd, c->target->db);
		say(c, &cmd, STEP_SELECT);
	}
	command_begin(&cmd, "CLIENT");
	command_text(&cmd, "SETNAME");
	command_text(&cmd, c->name);
	say(c, &cmd, STEP_SETNAME);
	for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
		command_begin(&cmd, questions[i].words[0]);
		if (questions[i].words[1])
			command_text(&cmd, questions[i].words[1]);
		say(c, &cmd, questions[i].step);
	}
	if (c->epoch == epoch)
		connection_write_out(c);
}

/* The value of "key:value\r\n" in INFO's text. */
static void info_value(const redisReply *reply, const char *key, char *ret_text, size_t size)
{
	size_t n = strlen(key);
	const char *end = reply->str + reply->len;

	for (const char *line = reply->str; line < end;) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));
		const char *next = stop ? stop + 1 : end;
		const char *last = stop ? stop : end;
		if (last > line && last[-1] == '\r')
			last--;
		if ((size_t)(last - line) > n && memcmp(line, key, n) == 0 && line[n] == ':') {
			size_t length = (size_t)(last - line) - n - 1;
			(void)snprintf(ret_text, size, "%.*s", length < size ? (int)length : (int)size - 1, line + n + 1);
			return;
		}
		line = next;
	}
}

static void learn_time(struct connection *c, const redisReply *reply)
{
	int64_t seconds = 0, micros = 0;

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !reply->element[0]->str || !reply->element[1]->str)
		return;
	if (num_i64((struct bytes){ reply->element[0]->str, reply->element[0]->len }, &seconds) < 0 ||
	    num_i64((struct bytes){ reply->element[1]->str, reply->element[1]->len }, &micros) < 0 || seconds < 0 || seconds > INT64_MAX / 2000)
		return;
	connection_set_redis_now(c, seconds * 1000 + micros / 1000);
}

static bool is_replica(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 && reply->element[0]->str &&
	       strcmp(reply->element[0]->str, "master") != 0;
}

static void learn(struct connection *c, enum step step, const redisReply *reply)
{
	switch (step) {
	case STEP_ID:
		if (reply->type == REDIS_REPLY_INTEGER)
			c->facts.client_id = reply->integer;
		return;
	case STEP_INFO:
		if (!reply->str)
			return;
		info_value(reply, "run_id", c->facts.run_id, sizeof(c->facts.run_id));
		info_value(reply, "redis_version", c->facts.version, sizeof(c->facts.version));
		return;
	case STEP_TIME:
		learn_time(c, reply);
		return;
	case STEP_AUTH:
	case STEP_SELECT:
	case STEP_SETNAME:
	case STEP_ROLE:
		return;
	}
}

/* What an ACL, or an old or odd server, refuses of what we merely ask is no reason to stay away. */
static bool tolerable(enum step step, const struct redis_error *error)
{
	if (step == STEP_AUTH || step == STEP_SELECT)
		return false;
	if (strncmp(error->text, "NOAUTH", 6) == 0 || strncmp(error->text, "DENIED", 6) == 0)
		return false;
	return error->reaction == REACT_OPERATOR || error->reaction == REACT_UNKNOWN;
}

static void greeted(void *user, redisReply *reply)
{
	struct connection *c = user;
	struct redis_error error;

	if (!reply || c->state != CONNECTION_GREETING || c->greeting_at >= c->greeting_n)
		return;
	enum step step = (enum step)c->greeting[c->greeting_at++];
	connection_reply_error(reply, &error);
	if (error.reaction == REACT_NONE) {
		learn(c, step, reply);
	} else if (!tolerable(step, &error)) {
		connection_go_down(c, &error);
		return;
	}
	if (step == STEP_ROLE && is_replica(reply)) {
		connection_drop(c, "this Redis is a replica");
		return;
	}
	if (c->greeting_at == c->greeting_n)
		connection_set_state(c, CONNECTION_READY);
}
