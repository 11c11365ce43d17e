/* See the header. */
#include "redis/trim.h"

#include "redis/ask.h"

enum { STEP_ENTRIES = 10000 };
enum {
	TRIM_STATE,
	TRIM_COUNT,
	TRIM_MORE,
	TRIM_LENGTH,
	TRIM_FLOOR,
	TRIM_NOW,
	TRIM_HELD,
	TRIM_GROUP,
	TRIM_WHY,
	TRIM_CONSUMER,
	TRIM_IDLE,
	TRIM_CURSOR,
	TRIM_SIZE
};

static const char *const rule_names[] = {
	[RETAIN_ACKED] = "acked", [RETAIN_AGE] = "age", [RETAIN_MAXLEN] = "maxlen"
};

static int ask_step(struct connection *c, const struct queue_keys *k, const struct trim_order *order,
		    int64_t value, char *cursor, struct trim_answer *ret, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_script(&cmd, "trim", 2);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->remade);
	command_text(&cmd, rule_names[order->rule->kind]);
	command_i64(&cmd, value);
	command_i64(&cmd, order->most > 0 && order->most < STEP_ENTRIES ? order->most : STEP_ENTRIES);
	command_text(&cmd, cursor ? cursor : "");
	command_text(&cmd, k->group);
	for (size_t i = 0; i < order->queue_count; i++) {
		const struct queue *other = &order->queues[i];
		if (strcmp(other->stream, k->stream) == 0 && strcmp(other->group, k->group) != 0)
			command_text(&cmd, other->group);
	}
	int r = ask_array(c, &cmd, 2, &reply, ret_error);
	if (r < 0)
		return r;

	struct redisReply **e = reply->element;
	int64_t state = decode_i64(e[TRIM_STATE], 0);
	*ret = (struct trim_answer){ .state = state == 1 ? TRIM_NO_GROUP : TRIM_TOO_SOON, .idle_ms = -1 };
	if (state != 0) {
		decode_text(e[1], ret->group, sizeof(ret->group));
		return 0;
	}
	if (!decode_is_array(reply, TRIM_SIZE))
		return decode_odd("trim", ret_error);
	ret->state = TRIM_DONE;
	ret->count = decode_i64(e[TRIM_COUNT], 0);
	ret->more = decode_i64(e[TRIM_MORE], 0) == 1;
	ret->length = decode_i64(e[TRIM_LENGTH], 0);
	ret->redis_now_ms = decode_i64(e[TRIM_NOW], 0);
	ret->held = decode_i64(e[TRIM_HELD], 0) == 1;
	ret->pending = bytes_eq(decode_bytes(e[TRIM_WHY]), bytes_of("pending"));
	ret->idle_ms = decode_i64(e[TRIM_IDLE], -1);
	decode_text(e[TRIM_FLOOR], ret->floor, sizeof(ret->floor));
	decode_text(e[TRIM_GROUP], ret->group, sizeof(ret->group));
	decode_text(e[TRIM_CONSUMER], ret->consumer, sizeof(ret->consumer));
	if (cursor)
		decode_text(e[TRIM_CURSOR], cursor, ENTRY_ID_SIZE);
	return 0;
}

int trim_step(struct connection *c, const struct queue_keys *k, const struct trim_order *order,
	      struct trim_answer *ret, struct redis_error *ret_error)
{
	return ask_step(c, k, order, order->rule->value, NULL, ret, ret_error);
}

int trim_count(struct connection *c, const struct queue_keys *k, const struct trim_order *order,
	       char cursor[ENTRY_ID_SIZE], int64_t before, struct trim_answer *ret,
	       struct redis_error *ret_error)
{
	int64_t value = order->rule->value;

	if (order->rule->kind == RETAIN_MAXLEN) /* what was counted is as good as gone */
		value += before;
	return ask_step(c, k, order, value, cursor, ret, ret_error);
}
