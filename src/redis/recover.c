/* Recovery: what dead consumers and expired leases held goes to the parking consumer, due now. Which job an entry is, and
 * whether its attempts are used up, is for the worker that takes it. */
#include <errno.h>

#include "redis/admin.h"
#include "redis/ask.h"

enum {
	REAP_ROWS = 100,   /* each may read a payload: bounds the time that Redis is kept */
	SWEEP_ROWS = 200,
};

enum { LIST_LATE, LIST_MORE, LIST_CURSOR, LIST_NOW, LIST_ROWS };
enum { ROW_ID, ROW_FROM, ROW_IDLE, ROW_DELIVERY, ROW_ATTEMPT, ROW_KIND, ROW_DEAD_ID, ROW_SIZE };

void recovered_list_done(struct recovered_list *l)
{
	free(l->rows);
	*l = (struct recovered_list){ 0 };
}

static void read_row(const redisReply *row, struct recovered *r)
{
	int64_t kind = decode_i64(row->element[ROW_KIND], 0);

	decode_text(row->element[ROW_ID], r->id, sizeof(r->id));
	decode_text(row->element[ROW_FROM], r->from, sizeof(r->from));
	r->idle_ms = decode_i64(row->element[ROW_IDLE], 0);
	r->delivery = decode_i64(row->element[ROW_DELIVERY], 0);
	r->attempt = decode_i64(row->element[ROW_ATTEMPT], 0);
	r->kind = kind == 0 ? RECOVERED_PARKED : kind == 1 ? RECOVERED_RELEASED : RECOVERED_BURIED;
	decode_text(row->element[ROW_DEAD_ID], r->dead_id, sizeof(r->dead_id));
}

static int recover(struct connection *c, const struct command *cmd, struct recovered_list *ret, struct redis_error *ret_error)
{
	AUTO_REPLY *reply = NULL;
	struct recovered_list list = { 0 };

	int r = ask_array(c, cmd, LIST_ROWS, &reply, ret_error);
	if (r < 0)
		return r;
	list.late = decode_i64(reply->element[LIST_LATE], 0) == 1;
	list.more = decode_i64(reply->element[LIST_MORE], 0) == 1;
	list.redis_now_ms = decode_i64(reply->element[LIST_NOW], 0);
	decode_text(reply->element[LIST_CURSOR], list.cursor, sizeof(list.cursor));
	list.rows = calloc(reply->elements - LIST_ROWS + 1, sizeof(*list.rows));
	if (!list.rows)
		return ask_no_memory(ret_error);
	for (size_t i = LIST_ROWS; i < reply->elements; i++) {
		if (!decode_is_array(reply->element[i], ROW_SIZE)) {
			free(list.rows);
			return decode_odd("a script of recovery", ret_error);
		}
		read_row(reply->element[i], &list.rows[list.count++]);
	}
	*ret = list;
	return 0;
}

static void begin(struct command *cmd, const char *script, size_t key_count, const struct queue_keys *k)
{
	command_script(cmd, script, key_count);
	command_text(cmd, k->stream);
	command_text(cmd, k->due);
	command_text(cmd, k->given);
	command_text(cmd, k->note);
	command_text(cmd, k->dead);
}

int admin_reap_consumer(struct connection *c, const struct queue_keys *k, const char *consumer, const char *host, const struct held_id *ran,
			size_t ran_count, bool all_ran, struct recovered_list *ret, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };

	begin(&cmd, "reap", 5, k);
	command_text(&cmd, k->group);
	command_text(&cmd, consumer);
	command_text(&cmd, host);
	command_text(&cmd, all_ran ? "1" : "0");
	command_i64(&cmd, REAP_ROWS);
	command_text(&cmd, XACKD_PARKED);
	for (size_t i = 0; i < ran_count; i++) {
		command_text(&cmd, ran[i].id);
		command_i64(&cmd, ran[i].delivery);
	}
	return recover(c, &cmd, ret, ret_error);
}

static int sweep(struct connection *c, const struct queue_keys *k, const char *host, int64_t lease_ms, bool take_foreign, const char *cursor,
		 int64_t expected_now_ms, const char *consumer, struct recovered_list *ret, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };

	begin(&cmd, "sweep", 6, k);
	command_text(&cmd, k->hosts);
	command_text(&cmd, k->group);
	command_text(&cmd, host);
	command_i64(&cmd, lease_ms);
	command_text(&cmd, take_foreign ? "1" : "0");
	command_text(&cmd, cursor);
	command_i64(&cmd, expected_now_ms);
	command_i64(&cmd, SWEEP_ROWS);
	command_text(&cmd, consumer);
	command_text(&cmd, XACKD_PARKED);
	return recover(c, &cmd, ret, ret_error);
}

int admin_sweep(struct connection *c, const struct queue_keys *k, const char *host, int64_t lease_ms, bool take_foreign, const char *cursor,
		int64_t expected_now_ms, struct recovered_list *ret, struct redis_error *ret_error)
{
	return sweep(c, k, host, lease_ms, take_foreign, cursor, expected_now_ms, "", ret, ret_error);
}

int admin_sweep_consumer(struct connection *c, const struct queue_keys *k, const char *host, int64_t lease_ms, bool take_foreign,
			 const char *consumer, int64_t expected_now_ms, struct recovered_list *ret, struct redis_error *ret_error)
{
	return sweep(c, k, host, lease_ms, take_foreign, "-", expected_now_ms, consumer, ret, ret_error);
}

/* ---- consumers ---- */

void consumer_list_done(struct consumer_list *l)
{
	free(l->rows);
	*l = (struct consumer_list){ 0 };
}

/* Name, pending and idle, looked up by their names: Redis 7.2 has one more. */
static void read_consumer(const redisReply *fields, struct consumer_row *row)
{
	for (size_t i = 0; i + 1 < fields->elements; i += 2) {
		struct bytes name = decode_bytes(fields->element[i]);
		const redisReply *value = fields->element[i + 1];
		if (bytes_eq(name, bytes_of("name")))
			decode_text(value, row->name, sizeof(row->name));
		else if (bytes_eq(name, bytes_of("pending")))
			row->pending = decode_i64(value, 0);
		else if (bytes_eq(name, bytes_of("idle")))
			row->idle_ms = decode_i64(value, 0);
	}
}

int admin_consumers(struct connection *c, const struct queue_keys *k, struct consumer_list *ret, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;
	struct consumer_list list = { 0 };

	command_begin(&cmd, "XINFO");
	command_text(&cmd, "CONSUMERS");
	command_text(&cmd, k->stream);
	command_text(&cmd, k->group);
	int r = ask_array(c, &cmd, 0, &reply, ret_error);
	if (r < 0)
		return r;
	list.rows = calloc(reply->elements + 1, sizeof(*list.rows));
	if (!list.rows)
		return ask_no_memory(ret_error);
	for (size_t i = 0; i < reply->elements; i++)
		if (decode_is_array(reply->element[i], 2))
			read_consumer(reply->element[i], &list.rows[list.count++]);
	*ret = list;
	return 0;
}

int admin_delete_consumer(struct connection *c, const struct queue_keys *k, const char *consumer, int64_t min_idle_ms, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	int64_t answer = 0;

	command_script(&cmd, "delete_consumer", 1);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->group);
	command_text(&cmd, consumer);
	command_i64(&cmd, min_idle_ms);
	return ask_i64(c, &cmd, &answer, ret_error);
}
