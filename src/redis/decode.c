/* From replies to entries. An entry's pairs point into the reply that brought them: a payload of 100 MB is not copied. The
 * reply is freed with the last entry that came in it. */
#include "redis/decode.h"

#include <errno.h>
#include <stdio.h>

#include "base/num.h"
#include "redis/connection_internal.h"

int decode_check(const redisReply *r, struct redis_error *ret_error)
{
	connection_reply_error(r, ret_error);
	return ret_error->reaction == REACT_NONE ? 0 : -EPROTO;
}

int decode_odd(const char *what, struct redis_error *ret_error)
{
	error_text(ret_error, REACT_UNKNOWN, "is this a Redis?", "the answer to %s is not understood", what);
	return -EPROTO;
}

bool decode_is_array(const redisReply *r, size_t n)
{
	return r && r->type == REDIS_REPLY_ARRAY && r->elements >= n;
}

struct bytes decode_bytes(const redisReply *r)
{
	if (!r || (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS) || !r->str)
		return (struct bytes){ "", 0 };
	return (struct bytes){ r->str, r->len };
}

int64_t decode_i64(const redisReply *r, int64_t fallback)
{
	int64_t value = 0;

	if (!r)
		return fallback;
	if (r->type == REDIS_REPLY_INTEGER)
		return r->integer;
	return num_i64(decode_bytes(r), &value) == 0 ? value : fallback;
}

void decode_text(const redisReply *r, char *ret_text, size_t size)
{
	struct bytes text = decode_bytes(r);
	size_t n = text.n < size ? text.n : size - 1;

	memcpy(ret_text, text.p, n);
	ret_text[n] = '\0';
}

bool decode_id(const redisReply *r, char ret_id[ENTRY_ID_SIZE])
{
	uint64_t ms, seq;
	struct bytes text = decode_bytes(r);

	if (text.n >= ENTRY_ID_SIZE || entry_id_parse(text, &ms, &seq) < 0)
		return false;
	decode_text(r, ret_id, ENTRY_ID_SIZE);
	return true;
}

int decode_copy(const redisReply *r, char **ret_text)
{
	struct bytes text = decode_bytes(r);

	*ret_text = NULL;
	if (text.n == 0)
		return 0;
	*ret_text = strndup(text.p, text.n);
	return *ret_text ? 0 : -ENOMEM;
}

/* ---- what entries point into ---- */

struct backing {
	redisReply *reply;
	size_t shares;
};

struct backing *backing_take(struct connection *conn, redisReply *reply, bool *ret_copy)
{
	*ret_copy = false;
	if (!conn || conn->current != reply) {
		*ret_copy = true;
		return NULL;
	}
	struct backing *b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->reply = connection_take_reply(conn);
	b->shares = 1;
	return b;
}

struct backing *backing_own(redisReply *reply)
{
	struct backing *b = calloc(1, sizeof(*b));
	if (!b) {
		freeReplyObject(reply);
		return NULL;
	}
	b->reply = reply;
	b->shares = 1;
	return b;
}

void backing_drop(struct backing *b)
{
	if (!b || --b->shares > 0)
		return;
	freeReplyObject(b->reply);
	free(b);
}

static void drop_share(void *backing)
{
	backing_drop(backing);
}

/* One block: the pairs, then their bytes. */
static int copy_pairs(const redisReply *pairs, struct entry *e)
{
	size_t bytes = 0, n = pairs->elements;
	for (size_t i = 0; i < n; i++)
		bytes += decode_bytes(pairs->element[i]).n;
	struct entry_pair *block = malloc(n / 2 * sizeof(*block) + bytes + 1);
	if (!block)
		return -ENOMEM;
	char *at = (char *)(block + n / 2);
	for (size_t i = 0; i < n; i++) {
		struct bytes from = decode_bytes(pairs->element[i]);
		memcpy(at, from.p, from.n);
		struct bytes *to = i % 2 ? &block[i / 2].value : &block[i / 2].name;
		*to = (struct bytes){ at, from.n };
		at += from.n;
	}
	e->pairs = block;
	e->pair_count = n / 2;
	return 0;
}

static int point_pairs(const redisReply *pairs, struct backing *backing, struct entry *e)
{
	size_t n = pairs->elements / 2;
	struct entry_pair *list = calloc(n > 0 ? n : 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		list[i].name = decode_bytes(pairs->element[2 * i]);
		list[i].value = decode_bytes(pairs->element[2 * i + 1]);
	}
	e->pairs = list;
	e->pair_count = n;
	e->backing = backing;
	e->backing_free = drop_share;
	backing->shares++;
	return 0;
}

int decode_entry(const redisReply *id, const redisReply *pairs, struct backing *backing, struct entry *ret_entry)
{
	struct entry e = { .delivery = 1 };
	int r = 0;

	if (!decode_id(id, e.id))
		return -EPROTO;
	if (!pairs || pairs->type == REDIS_REPLY_NIL)
		e.payload_gone = true;
	else if (pairs->type != REDIS_REPLY_ARRAY || pairs->elements % 2 != 0)
		return -EPROTO;
	else
		r = backing ? point_pairs(pairs, backing, &e) : copy_pairs(pairs, &e);
	if (r == 0)
		*ret_entry = e;
	return r;
}
