/* The rest of what the reaper asks: figures, due times, housekeeping, the group, clients. */
#include "redis/admin.h"

#include <errno.h>

#include "base/num.h"
#include "redis/ask.h"

enum { REBUILD_ROWS = 1000, SUSPENDED_ROWS = 1000, JANITOR_ROWS = 100 };

enum {
	GAUGE_EXISTS, GAUGE_LENGTH, GAUGE_WAITING, GAUGE_HAS_WAITING, GAUGE_PENDING, GAUGE_PARKED, GAUGE_DUE_COUNT, GAUGE_NEXT_DUE,
	GAUGE_LATER, GAUGE_DEAD, GAUGE_OLDEST_WAITING, GAUGE_OLDEST_PENDING, GAUGE_PAUSED, GAUGE_LAST_DELIVERED, GAUGE_NOW,
	GAUGE_DUE_NOW, GAUGE_FOREIGN, GAUGE_SUSPENDED, GAUGE_NEXT_LATER, GAUGE_LATER_DATA, GAUGE_HELD, GAUGE_SIZE
};

int admin_gauges(struct connection *c, const struct queue_keys *k, bool count_suspended, struct queue_gauges *ret, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_script(&cmd, "gauges", 7);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->due);
	command_text(&cmd, k->dead);
	command_text(&cmd, k->paused);
	command_text(&cmd, k->later);
	command_text(&cmd, k->note);
	command_text(&cmd, k->later_data);
	command_text(&cmd, k->group);
	command_text(&cmd, XACKD_PARKED);
	command_text(&cmd, count_suspended ? "1" : "0");
	int r = ask_array(c, &cmd, GAUGE_SIZE, &reply, ret_error);
	if (r < 0)
		return r;
	struct redisReply **e = reply->element;
	*ret = (struct queue_gauges){
		.exists = decode_i64(e[GAUGE_EXISTS], 0) == 1,
		.length = decode_i64(e[GAUGE_LENGTH], 0),
		.waiting = decode_i64(e[GAUGE_WAITING], -1),
		.has_waiting = decode_i64(e[GAUGE_HAS_WAITING], 0) == 1,
		.pending = decode_i64(e[GAUGE_PENDING], 0),
		.parked = decode_i64(e[GAUGE_PARKED], 0),
		.due_count = decode_i64(e[GAUGE_DUE_COUNT], 0),
		.next_due_in_ms = decode_i64(e[GAUGE_NEXT_DUE], -1),
		.later = decode_i64(e[GAUGE_LATER], -1),
		.later_data = decode_i64(e[GAUGE_LATER_DATA], -1),
		.next_later_in_ms = decode_i64(e[GAUGE_NEXT_LATER], INT64_MAX),
		.dead = decode_i64(e[GAUGE_DEAD], 0),
		.paused = decode_i64(e[GAUGE_PAUSED], 0) == 1,
		.redis_now_ms = decode_i64(e[GAUGE_NOW], 0),
		.due_now = decode_i64(e[GAUGE_DUE_NOW], 0),
		.foreign = decode_i64(e[GAUGE_FOREIGN], 0),
		.held = decode_i64(e[GAUGE_HELD], 0),
		.suspended = decode_i64(e[GAUGE_SUSPENDED], 0),
	};
	decode_text(e[GAUGE_OLDEST_WAITING], ret->oldest_waiting, sizeof(ret->oldest_waiting));
	decode_text(e[GAUGE_OLDEST_PENDING], ret->oldest_pending, sizeof(ret->oldest_pending));
	decode_text(e[GAUGE_LAST_DELIVERED], ret->last_delivered, sizeof(ret->last_delivered));
	return 0;
}

int admin_rebuild_due(struct connection *c, const struct queue_keys *k, char cursor[ENTRY_ID_SIZE], int64_t *ret_added, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_script(&cmd, "rebuild_due", 2);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->due);
	command_text(&cmd, k->group);
	command_text(&cmd, cursor);
	command_i64(&cmd, REBUILD_ROWS);
	command_text(&cmd, XACKD_PARKED);
	int r = ask_array(c, &cmd, 2, &reply, ret_error);
	if (r < 0)
		return r;
	decode_text(reply->element[0], cursor, ENTRY_ID_SIZE);
	*ret_added = decode_i64(reply->element[1], 0);
	return 0;
}

int admin_due_suspended(struct connection *c, const struct queue_keys *k, int64_t horizon_ms, int64_t *ret_count, bool *ret_more,
			struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_script(&cmd, "due_suspended", 2);
	command_text(&cmd, k->due);
	command_text(&cmd, k->note);
	command_i64(&cmd, horizon_ms);
	command_i64(&cmd, SUSPENDED_ROWS);
	int r = ask_array(c, &cmd, 2, &reply, ret_error);
	if (r < 0)
		return r;
	*ret_count = decode_i64(reply->element[0], 0);
	*ret_more = decode_i64(reply->element[1], 0) == 1;
	return 0;
}

/* The cursor goes through `given` first, then, marked by its highest bit, through `note`: HSCAN's own never come near that. */
static const uint64_t cursor_in_note = UINT64_C(1) << 63;

int admin_janitor(struct connection *c, const struct queue_keys *k, uint64_t *cursor, int64_t *ret_removed, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;
	bool in_note = (*cursor & cursor_in_note) != 0;
	uint64_t next = 0;

	command_script(&cmd, "janitor", 4);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->dead);
	command_text(&cmd, in_note ? k->note : k->given);
	command_text(&cmd, k->due);
	command_text(&cmd, k->group);
	command_u64(&cmd, *cursor & ~cursor_in_note);
	command_i64(&cmd, JANITOR_ROWS);
	int r = ask_array(c, &cmd, 2, &reply, ret_error);
	if (r < 0)
		return r;
	if (num_u64(decode_bytes(reply->element[0]), &next) < 0)
		return decode_odd("janitor", ret_error);
	*ret_removed = decode_i64(reply->element[1], 0);
	*cursor = in_note ? (next ? next | cursor_in_note : 0) : next ? next : cursor_in_note;
	return 0;
}

int admin_group(struct connection *c, const struct queue_keys *k, enum start_rule start, const char *known, bool *ret_made, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	int64_t made = 0;

	queue_build_group(&cmd, k, start, known);
	int r = ask_i64(c, &cmd, &made, ret_error);
	if (r == 0)
		*ret_made = made == 1;
	return r;
}

int admin_unblock(struct connection *c, int64_t client_id, bool *ret_done, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	int64_t done = 0;

	command_begin(&cmd, "CLIENT");
	command_text(&cmd, "UNBLOCK");
	command_i64(&cmd, client_id);
	int r = ask_i64(c, &cmd, &done, ret_error);
	if (r == 0)
		*ret_done = done == 1;
	return r;
}

int admin_kill_client(struct connection *c, int64_t client_id, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	int64_t killed = 0;

	queue_build_kill_client(&cmd, client_id);
	return ask_i64(c, &cmd, &killed, ret_error);
}
