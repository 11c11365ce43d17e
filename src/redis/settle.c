/* The one call that ends a run: acknowledge, park, bury or release. All scripts answer in one shape. */
#include "redis/decode.h"
#include "redis/settle.h"

#include <errno.h>

static void park(struct command *c, const struct queue_keys *k, const char *me, const struct settle *s)
{
	command_script(c, "park", 4);
	command_text(c, k->stream);
	command_text(c, k->due);
	command_text(c, k->given);
	command_text(c, k->note);
	command_text(c, k->group);
	command_text(c, me);
	command_text(c, s->id);
	command_i64(c, s->delivery);
	command_i64(c, s->delay_ms > 0 ? s->delay_ms : 0);
	command_bytes(c, s->note);
	command_text(c, s->kind == SETTLE_RELEASE ? "1" : "0");
	command_text(c, XACKD_PARKED);
}

static void ack(struct command *c, const struct queue_keys *k, const char *me, const struct settle *s)
{
	command_script(c, "ack", s->result_ttl_ms > 0 ? 5 : 4);
	command_text(c, k->stream);
	command_text(c, k->due);
	command_text(c, k->given);
	command_text(c, k->note);
	if (s->result_ttl_ms > 0)
		command_two(c, k->result, s->id);
	command_text(c, k->group);
	command_text(c, me);
	command_text(c, s->id);
	command_i64(c, s->delivery);
	if (s->result_ttl_ms > 0) {
		command_bytes(c, s->result);
		command_i64(c, s->result_ttl_ms);
	}
}

struct meta_row {
	const char *name;
	struct bytes value; /* p NULL: absent */
	int64_t number;     /* … or this, when is_number */
	bool is_number;
};

enum { META_MAX = 8 };

/* In the order of the documentation; what is absent is left out. */
static size_t meta_rows(const struct dead_meta *d, struct meta_row rows[META_MAX])
{
	size_t n = 0;

	if (d->job)
		rows[n++] = (struct meta_row){ "xackd.job", bytes_of(d->job), 0, false };
	if (d->reason)
		rows[n++] = (struct meta_row){ "xackd.reason", bytes_of(d->reason), 0, false };
	if (d->detail)
		rows[n++] = (struct meta_row){ "xackd.detail", bytes_of(d->detail), 0, false };
	rows[n++] = (struct meta_row){ "xackd.attempts", { NULL, 0 }, d->attempts, true };
	if (d->code >= 0)
		rows[n++] = (struct meta_row){ "xackd.exit", { NULL, 0 }, d->code, true };
	if (d->signal > 0)
		rows[n++] = (struct meta_row){ "xackd.signal", { NULL, 0 }, d->signal, true };
	if (d->stderr_tail.n > 0)
		rows[n++] = (struct meta_row){ "xackd.stderr", d->stderr_tail, 0, false };
	if (d->host)
		rows[n++] = (struct meta_row){ "xackd.host", bytes_of(d->host), 0, false };
	return n;
}

static const char *where_pairs_are(const struct settle *s)
{
	if (s->entry && !s->entry->payload_gone)
		return "sent";
	return s->entry || (s->dead->reason && strcmp(s->dead->reason, "payload_gone") == 0) ? "none" : "stream";
}

void settle_add_meta(struct command *c, const struct dead_meta *d)
{
	struct meta_row rows[META_MAX];
	size_t n = meta_rows(d, rows);

	command_u64(c, n);
	for (size_t i = 0; i < n; i++) {
		command_text(c, rows[i].name);
		if (rows[i].is_number)
			command_i64(c, rows[i].number);
		else
			command_bytes(c, rows[i].value);
	}
}

static void bury(struct command *c, const struct queue_keys *k, const char *me, const struct settle *s)
{
	const char *where = where_pairs_are(s);

	command_script(c, "bury", 5);
	command_text(c, k->stream);
	command_text(c, k->due);
	command_text(c, k->given);
	command_text(c, k->note);
	command_text(c, k->dead);
	command_text(c, k->group);
	command_text(c, me);
	command_text(c, s->id);
	command_i64(c, s->delivery);
	command_i64(c, s->dead_maxlen > 0 ? s->dead_maxlen : 0);
	command_bytes(c, s->note);
	command_text(c, where);
	settle_add_meta(c, s->dead);
	for (size_t i = 0; strcmp(where, "sent") == 0 && i < s->entry->pair_count; i++) {
		command_bytes(c, s->entry->pairs[i].name);
		command_bytes(c, s->entry->pairs[i].value);
	}
}

void queue_build_acks(struct command *c, const struct queue_keys *k, const char *const *ids, size_t n)
{
	command_begin(c, "XACK");
	command_text(c, k->stream);
	command_text(c, k->group);
	for (size_t i = 0; i < n; i++)
		command_text(c, ids[i]);
}

void queue_build_keep(struct command *c, const struct queue_keys *k, const struct keep_row *rows, size_t n)
{
	size_t results = 0;

	for (size_t i = 0; i < n; i++)
		results += rows[i].ttl_ms > 0;
	command_script(c, "keep", 1 + results);
	command_text(c, k->stream);
	for (size_t i = 0; i < n; i++) {
		if (rows[i].ttl_ms > 0)
			command_two(c, k->result, rows[i].id);
	}
	command_text(c, k->group);
	for (size_t i = 0; i < n; i++) {
		command_text(c, rows[i].id);
		command_i64(c, rows[i].ttl_ms);
		if (rows[i].ttl_ms > 0)
			command_bytes(c, rows[i].result);
	}
}

int queue_parse_keep(struct redisReply *reply, size_t n, struct redis_error *ret_error)
{
	int r = decode_check(reply, ret_error);
	if (r < 0)
		return r;
	return decode_is_array(reply, n) && reply->elements == n ? 0 : decode_odd("keep", ret_error);
}

void queue_kept(const struct redisReply *reply, size_t i, struct settle_answer *ret)
{
	const redisReply *e = reply->element[i];

	*ret = (struct settle_answer){ .result = e->type == REDIS_REPLY_INTEGER && e->integer == 0 ? SETTLED_GONE : SETTLED };
	decode_text(e, ret->not_kept, sizeof(ret->not_kept));
}

void queue_build_settle(struct command *c, const struct queue_keys *k, const char *me, const struct settle *s)
{
	switch (s->kind) {
	case SETTLE_XACK:
		command_begin(c, "XACK");
		command_text(c, k->stream);
		command_text(c, k->group);
		command_text(c, s->id);
		return;
	case SETTLE_ACK:
		ack(c, k, me, s);
		return;
	case SETTLE_PARK:
	case SETTLE_RELEASE:
		park(c, k, me, s);
		return;
	case SETTLE_BURY:
		bury(c, k, me, s);
		return;
	}
}

enum { ANSWER_CODE, ANSWER_OWNER, ANSWER_DELIVERY, ANSWER_DUE, ANSWER_DEAD_ID, ANSWER_DROPPED, ANSWER_NOW, ANSWER_SIZE, ANSWER_NOT_KEPT = ANSWER_SIZE };

int queue_parse_settle(struct redisReply *reply, enum settle_kind kind, struct settle_answer *ret, struct redis_error *ret_error)
{
	struct settle_answer a = { .result = SETTLED };

	*ret = a;
	int r = decode_check(reply, ret_error);
	if (r < 0)
		return r;
	if (kind == SETTLE_XACK) {
		if (reply->type != REDIS_REPLY_INTEGER)
			return decode_odd("XACK", ret_error);
		ret->result = reply->integer > 0 ? SETTLED : SETTLED_GONE;
		return 0;
	}
	int64_t code = decode_is_array(reply, ANSWER_SIZE) ? decode_i64(reply->element[ANSWER_CODE], -1) : -1;
	if (code < SETTLED || code > SETTLED_PAYLOAD_GONE)
		return decode_odd("a settling script", ret_error);
	/* The scripts' codes stand in the order of the enum: 0 done, 1 stale, 2 gone, 3 payload gone. */
	a.result = code == 0 ? SETTLED : code == 1 ? SETTLED_STALE : code == 2 ? SETTLED_GONE : SETTLED_PAYLOAD_GONE;
	decode_text(reply->element[ANSWER_OWNER], a.owner, sizeof(a.owner));
	a.delivery = decode_i64(reply->element[ANSWER_DELIVERY], 0);
	a.due_ms = decode_i64(reply->element[ANSWER_DUE], 0);
	decode_text(reply->element[ANSWER_DEAD_ID], a.dead_id, sizeof(a.dead_id));
	a.dropped = decode_i64(reply->element[ANSWER_DROPPED], 0);
	a.redis_now_ms = decode_i64(reply->element[ANSWER_NOW], 0);
	if (reply->elements > ANSWER_NOT_KEPT)
		decode_text(reply->element[ANSWER_NOT_KEPT], a.not_kept, sizeof(a.not_kept));
	*ret = a;
	return 0;
}

void queue_build_release(struct command *c, const struct queue_keys *k, const char *me, const char *host, int64_t delay_ms,
			 const struct held_id *ids, size_t n)
{
	command_script(c, "release", 5);
	command_text(c, k->stream);
	command_text(c, k->due);
	command_text(c, k->given);
	command_text(c, k->note);
	command_text(c, k->dead);
	command_text(c, k->group);
	command_text(c, me);
	command_text(c, host);
	command_i64(c, delay_ms > 0 ? delay_ms : 0);
	command_text(c, XACKD_PARKED);
	for (size_t i = 0; i < n; i++) {
		command_text(c, ids[i].id);
		command_i64(c, ids[i].delivery);
	}
}
