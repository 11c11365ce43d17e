/* See the header. */
#include "redis/inspect.h"

#include <errno.h>
#include <stdio.h>

#include "base/num.h"
#include "redis/ask.h"

/* clang-format off */
static const struct probe probes[] = {
	{ "EVALSHA", true, false, { "EVALSHA", "0000000000000000000000000000000000000000", "1", "@S" } },
	{ "EVAL", true, false, { "EVAL", "return 1", "1", "@S" } },
	{ "XREADGROUP on the stream", true, false, { "XREADGROUP", "GROUP", "@G", "x", "COUNT", "x", "STREAMS", "@S", ">" } },
	{ "XACK on the stream", true, false, { "XACK", "@S", "@G", "x" } },
	{ "XADD on the stream", false, false, { "XADD", "@S", "x", "n", "v" } },
	{ "XCLAIM on the stream", true, false, { "XCLAIM", "@S", "@G", "x", "x", "0-1" } },
	{ "XAUTOCLAIM on the stream", true, false, { "XAUTOCLAIM", "@S", "@G", "x", "x", "0" } },
	{ "XPENDING on the stream", true, false, { "XPENDING", "@S", "@G", "x", "x", "1" } },
	{ "XRANGE on the stream", true, false, { "XRANGE", "@S", "x", "x" } },
	{ "XTRIM on the stream", false, false, { "XTRIM", "@S", "MAXLEN", "x" } },
	{ "XLEN on the stream", true, false, { "XLEN", "@S" } },
	{ "XINFO GROUPS on the stream", true, false, { "XINFO", "GROUPS", "@S" } },
	{ "XINFO CONSUMERS on the stream", true, false, { "XINFO", "CONSUMERS", "@S", "xackd:none" } },
	{ "XGROUP CREATE on the stream", true, false, { "XGROUP", "CREATE", "@S", "@G", "x" } },
	{ "XGROUP DELCONSUMER on the stream", true, false, { "XGROUP", "DELCONSUMER", "@S", "xackd:none", "x" } },
	{ "XADD on the dead letters", true, false, { "XADD", "@dead", "x", "n", "v" } },
	{ "XDEL on the dead letters", true, false, { "XDEL", "@dead", "x" } },
	{ "XTRIM on the dead letters", true, false, { "XTRIM", "@dead", "MAXLEN", "x" } },
	{ "XRANGE on the dead letters", true, false, { "XRANGE", "@dead", "x", "x" } },
	{ "XREVRANGE on the dead letters", false, false, { "XREVRANGE", "@dead", "x", "x" } },
	{ "ZADD on the due times", true, false, { "ZADD", "@due", "x", "m" } },
	{ "ZREM on the due times", true, false, { "ZREM", "@due", "" } },
	{ "ZRANGE on the due times", true, false, { "ZRANGE", "@due", "x", "x" } },
	{ "ZSCORE on the due times", true, false, { "ZSCORE", "@due", "" } },
	{ "ZCARD on the due times", true, false, { "ZCARD", "@due" } },
	{ "ZCOUNT on the due times", true, false, { "ZCOUNT", "@due", "x", "x" } },
	{ "HINCRBY on what was given back", true, false, { "HINCRBY", "@given", "x", "x" } },
	{ "HGET on what was given back", true, false, { "HGET", "@given", "" } },
	{ "HDEL on what was given back", true, false, { "HDEL", "@given", "" } },
	{ "HSET on the notes", true, false, { "HSET", "@note", "a", "b", "c" } },
	{ "HGET on the notes", true, false, { "HGET", "@note", "" } },
	{ "HDEL on the notes", true, false, { "HDEL", "@note", "" } },
	{ "HEXISTS on the notes", true, false, { "HEXISTS", "@note", "" } },
	{ "HSCAN on the notes", true, false, { "HSCAN", "@note", "x" } },
	{ "HSET on the hosts", true, false, { "HSET", "@hosts", "a", "b", "c" } },
	{ "HGETALL on the hosts", true, false, { "HGETALL", "@hosts" } },
	{ "HSET on delayed entries", false, false, { "HSET", "@data", "a", "b", "c" } },
	{ "HLEN on delayed entries", false, false, { "HLEN", "@data" } },
	{ "ZADD on delayed entries", false, false, { "ZADD", "@later", "x", "m" } },
	{ "ZADD on what was delayed", false, false, { "ZADD", "@promoted", "x", "m" } },
	{ "GET on what was added once", false, false, { "GET", "@once" } },
	{ "SET on what was added once", false, false, { "SET", "@once", "1", "x" } },
	{ "EXISTS on the pause", true, false, { "EXISTS", "@paused" } },
	{ "SET on the pause", true, false, { "SET", "@paused", "1", "x" } },
	{ "SET on the results", false, false, { "SET", "@result", "1", "x" } },
	{ "GET on the results", false, false, { "GET", "@result" } },
	{ "TIME", true, true, { "TIME" } },
	{ "INFO", false, true, { "INFO", "server" } },
	{ "ROLE", false, true, { "ROLE" } },
	{ "CLIENT SETNAME", false, true, { "CLIENT", "SETNAME", "a b" } },
	{ "CLIENT ID", false, true, { "CLIENT", "ID" } },
	{ "CLIENT KILL", false, true, { "CLIENT", "KILL", "ID", "x" } },
	{ "CLIENT UNBLOCK", false, true, { "CLIENT", "UNBLOCK", "x" } },
};
/* clang-format on */

const struct probe *inspect_probes(size_t *ret_count)
{
	*ret_count = ARRAY_LEN(probes);
	return probes;
}

static void add_word(struct command *cmd, const struct queue_keys *k, const char *word)
{
	const struct {
		const char *name, *key;
	} names[] = {
		{ "@S", k->stream },    { "@G", k->group },       { "@due", k->due },
		{ "@given", k->given }, { "@note", k->note },     { "@dead", k->dead },
		{ "@hosts", k->hosts }, { "@paused", k->paused }, { "@result", k->result },
		{ "@later", k->later }, { "@data", k->later_data }, { "@promoted", k->promoted },
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i].name, word) == 0) {
			command_text(cmd, names[i].key);
			return;
		}
	}
	if (strcmp(word, "@once") == 0) {
		AUTO_BUF key = { 0 };
		queue_keys_add_once(k, bytes_of(""), &key);
		command_bytes(cmd, buf_bytes(&key));
		return;
	}
	command_text(cmd, word);
}

int inspect_probe(struct connection *c, const struct queue_keys *k, const struct probe *p,
		  struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_begin(&cmd, p->words[0]);
	for (size_t i = 1; i < ARRAY_LEN(p->words) && p->words[i]; i++)
		add_word(&cmd, k, p->words[i]);
	int r = ask(c, &cmd, &reply, ret_error);
	if (r != -EPROTO)
		return r;
	return strncmp(ret_error->text, "NOPERM", 6) == 0 || strncmp(ret_error->text, "ERR unknown", 11) == 0;
}

static int ask_text(struct connection *c, const char *const *words, redisReply **ret_reply,
		    struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };

	command_begin(&cmd, words[0]);
	for (size_t i = 1; words[i]; i++)
		command_text(&cmd, words[i]);
	return ask(c, &cmd, ret_reply, ret_error);
}

int inspect_info(struct connection *c, char **ret_text, struct redis_error *ret_error)
{
	AUTO_REPLY *reply = NULL;

	int r = ask_text(c, (const char *const[]){ "INFO", NULL }, &reply, ret_error);
	if (r < 0)
		return r;
	r = decode_copy(reply, ret_text);
	return r < 0 ? ask_no_memory(ret_error) : *ret_text ? 0 : decode_odd("INFO", ret_error);
}

bool inspect_value(const char *info, const char *name, char *ret_value, size_t size)
{
	size_t n = strlen(name);

	for (const char *line = info; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, n) != 0 || line[n] != ':')
			continue;
		(void)snprintf(ret_value, size, "%.*s", (int)strcspn(line + n + 1, "\r\n"), line + n + 1);
		return true;
	}
	return false;
}

int64_t inspect_number(const char *info, const char *name, int64_t fallback)
{
	char text[32];
	int64_t value = fallback;

	if (!inspect_value(info, name, text, sizeof(text)) || num_i64(bytes_of(text), &value) < 0)
		return fallback;
	return value;
}

int inspect_config(struct connection *c, const char *name, char *ret_value, size_t size,
		   struct redis_error *ret_error)
{
	AUTO_REPLY *reply = NULL;

	int r = ask_text(c, (const char *const[]){ "CONFIG", "GET", name, NULL }, &reply, ret_error);
	if (r == -EPROTO)
		return 1;
	if (r < 0)
		return r;
	if (!decode_is_array(reply, 2))
		return 1;
	decode_text(reply->element[1], ret_value, size);
	return 0;
}

int inspect_time(struct connection *c, int64_t *ret_unix_ms, struct redis_error *ret_error)
{
	AUTO_REPLY *reply = NULL;

	int r = ask_text(c, (const char *const[]){ "TIME", NULL }, &reply, ret_error);
	if (r < 0)
		return r;
	if (!decode_is_array(reply, 2))
		return decode_odd("TIME", ret_error);
	*ret_unix_ms = decode_i64(reply->element[0], 0) * 1000 + decode_i64(reply->element[1], 0) / 1000;
	return 0;
}

int inspect_type(struct connection *c, const char *key, char ret_type[16], struct redis_error *ret_error)
{
	AUTO_REPLY *reply = NULL;

	int r = ask_text(c, (const char *const[]){ "TYPE", key, NULL }, &reply, ret_error);
	if (r == 0)
		(void)snprintf(ret_type, 16, "%.15s",
			       reply->type == REDIS_REPLY_STATUS ? reply->str : "none");
	return r;
}

void host_texts_done(struct host_texts *h)
{
	for (size_t i = 0; h->texts && i < 2 * h->count; i++)
		free(h->texts[i]);
	free(h->texts);
	*h = (struct host_texts){ 0 };
}

int inspect_hosts(struct connection *c, const struct queue_keys *k, struct host_texts *ret,
		  struct redis_error *ret_error)
{
	AUTO_REPLY *reply = NULL;
	struct host_texts h = { 0 };

	int r = ask_text(c, (const char *const[]){ "HGETALL", k->hosts, NULL }, &reply, ret_error);
	if (r < 0)
		return r;
	if (!decode_is_array(reply, 0))
		return decode_odd("HGETALL", ret_error);
	h.texts = calloc(reply->elements + 1, sizeof(*h.texts));
	h.count = h.texts ? reply->elements / 2 : 0;
	r = h.texts ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < 2 * h.count; i++)
		r = decode_copy(reply->element[i], &h.texts[i]);
	if (r < 0) {
		host_texts_done(&h);
		return ask_no_memory(ret_error);
	}
	*ret = h;
	return 0;
}
