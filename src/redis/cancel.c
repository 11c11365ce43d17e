/* Dead letters of entries that no worker has. */
#include "redis/ask.h"
#include "redis/desk.h"
#include "redis/queue.h"
#include "redis/settle.h"

/* The settling call of a worker, by the reserved consumer. */
static int bury_parked(struct connection *c, const struct queue_keys *k, const struct settle *s, struct settle_answer *ret, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	queue_build_settle(&cmd, k, XACKD_PARKED, s);
	int r = ask(c, &cmd, &reply, ret_error);
	return r < 0 ? r : queue_parse_settle(reply, SETTLE_BURY, ret, ret_error);
}

int desk_cancel_parked(struct connection *c, const struct queue_keys *k, const struct settle *s, struct desk_cancel_answer *ret,
		       struct redis_error *ret_error)
{
	const struct entry gone = { .payload_gone = true };
	struct settle again = *s;
	struct settle_answer a = { 0 };

	int r = bury_parked(c, k, s, &a, ret_error);
	if (r == 0 && a.result == SETTLED_PAYLOAD_GONE) {
		again.entry = &gone; /* it was deleted: the letter does without its pairs */
		r = bury_parked(c, k, &again, &a, ret_error);
	}
	if (r < 0)
		return r;
	*ret = (struct desk_cancel_answer){ .result = a.result == SETTLED ? DESK_CANCELLED : DESK_CANCEL_MOVED };
	memcpy(ret->dead_id, a.dead_id, sizeof(ret->dead_id));
	return 0;
}

static int read_answer(const redisReply *reply, const char *script, struct desk_cancel_answer *ret, struct redis_error *ret_error)
{
	int64_t code = decode_i64(reply->element[0], -1);
	if (code < DESK_CANCELLED || code > DESK_CANCEL_SHARED)
		return decode_odd(script, ret_error);
	*ret = (struct desk_cancel_answer){ .result = (enum desk_cancel)code };
	if (ret->result == DESK_CANCELLED)
		decode_text(reply->element[1], ret->dead_id, sizeof(ret->dead_id));
	else
		decode_text(reply->element[1], ret->other_group, sizeof(ret->other_group));
	return 0;
}

int desk_cancel_waiting(struct connection *c, const struct queue_keys *k, const char *id, const struct dead_meta *meta,
			struct desk_cancel_answer *ret, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_script(&cmd, "cancel_waiting", 3);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->note);
	command_text(&cmd, k->dead);
	command_text(&cmd, k->group);
	command_text(&cmd, id);
	settle_add_meta(&cmd, meta);
	int r = ask_array(c, &cmd, 2, &reply, ret_error);
	if (r < 0)
		return r;
	return read_answer(reply, "cancel_waiting", ret, ret_error);
}

int desk_cancel_later(struct connection *c, const struct queue_keys *k, const char *id, bool for_all, const struct dead_meta *meta,
		      struct desk_cancel_answer *ret, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_script(&cmd, "cancel_later", 5);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->later);
	command_text(&cmd, k->later_data);
	command_text(&cmd, k->note);
	command_text(&cmd, k->dead);
	command_text(&cmd, k->group);
	command_text(&cmd, id);
	command_text(&cmd, for_all ? "1" : "0");
	settle_add_meta(&cmd, meta);
	int r = ask_array(c, &cmd, 2, &reply, ret_error);
	return r < 0 ? r : read_answer(reply, "cancel_later", ret, ret_error);
}
