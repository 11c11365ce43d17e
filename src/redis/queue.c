/* Fetching: new entries by XREADGROUP or the script fetch, due ones by the script take, and what belongs to a consumer's name:
 * the lease, what it holds, the group. Ending a run is in settle.c. */
#include "redis/queue.h"

#include <errno.h>

#include "redis/decode.h"

enum { MINE_MAX = 100 };

void queue_build_read(struct command *c, const struct queue_keys *const *keys, size_t n, const char *me, int64_t count, int64_t block_ms)
{
	command_begin(c, "XREADGROUP");
	command_text(c, "GROUP");
	command_text(c, n > 0 ? keys[0]->group : "");
	command_text(c, me);
	command_text(c, "COUNT");
	command_i64(c, count);
	if (block_ms >= 0) {
		command_waits(c);
		command_text(c, "BLOCK");
		command_i64(c, block_ms);
	}
	command_text(c, "STREAMS");
	for (size_t i = 0; i < n; i++)
		command_text(c, keys[i]->stream);
	for (size_t i = 0; i < n; i++)
		command_text(c, ">");
}

void queue_build_fetch(struct command *c, const struct queue_keys *const *keys, size_t n, const char *me)
{
	command_script(c, "fetch", 2 * n);
	for (size_t i = 0; i < n; i++) {
		command_text(c, keys[i]->stream);
		command_text(c, keys[i]->paused);
	}
	command_text(c, me);
	for (size_t i = 0; i < n; i++)
		command_text(c, keys[i]->group);
}

void entry_list_done(struct entry_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		entry_done(&l->entries[i]);
	free(l->entries);
	free(l->paused);
	*l = (struct entry_list){ 0 };
}

static int no_memory(struct redis_error *ret_error)
{
	*ret_error = (struct redis_error){ .reaction = REACT_BACK_OFF, .advice = "", .text = "no memory for the answer" };
	return -EPROTO;
}

static int failed(int r, const char *what, struct redis_error *ret_error)
{
	return r == -ENOMEM ? no_memory(ret_error) : decode_odd(what, ret_error);
}

/* Room for one more entry (the list is as long as the reply says, which is in memory already). */
static int list_room(struct entry_list *l, size_t more)
{
	struct entry *entries = realloc(l->entries, (l->count + more) * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	l->entries = entries;
	return 0;
}

static bool find_queue(struct bytes stream, const struct queue_keys *const *keys, size_t n, size_t *ret_queue)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes_eq(stream, bytes_of(keys[i]->stream))) {
			*ret_queue = i;
			return true;
		}
	}
	return false;
}

static int read_stream(const redisReply *stream, size_t queue, struct backing *backing, struct entry_list *list)
{
	const redisReply *entries = stream->element[1];

	if (!decode_is_array(entries, 0))
		return entries->type == REDIS_REPLY_NIL ? 0 : -EPROTO;
	if (entries->elements == 0)
		return 0;
	int r = list_room(list, entries->elements);
	for (size_t i = 0; r == 0 && i < entries->elements; i++) {
		const redisReply *row = entries->element[i];
		if (!decode_is_array(row, 2))
			return -EPROTO;
		r = decode_entry(row->element[0], row->element[1], backing, &list->entries[list->count]);
		if (r == 0)
			list->entries[list->count++].queue = queue;
	}
	return r;
}

static int read_paused(const struct redisReply *reply, size_t n, struct entry_list *list)
{
	list->paused = calloc(reply->elements, sizeof(*list->paused));
	if (!list->paused)
		return -ENOMEM;
	for (size_t i = 0; i < reply->elements; i++) {
		int64_t at = decode_i64(reply->element[i], -1);
		if (at < 0 || (size_t)at >= n) {
			entry_list_done(list);
			return -EPROTO;
		}
		list->paused[list->paused_count++] = (size_t)at;
	}
	return 0;
}

int queue_parse_read(struct connection *conn, struct redisReply *reply, const struct queue_keys *const *keys, size_t n,
		     struct entry_list *ret_list, struct redis_error *ret_error)
{
	*ret_list = (struct entry_list){ 0 };
	int r = decode_check(reply, ret_error);
	if (r < 0)
		return r;
	if (decode_is_array(reply, 1) && reply->element[0]->type == REDIS_REPLY_INTEGER) {
		r = read_paused(reply, n, ret_list);
		return r < 0 ? failed(r, "the fetch script", ret_error) : 0;
	}
	return queue_parse_read_in(conn, reply, reply, keys, n, ret_list, ret_error);
}

int queue_parse_read_in(struct connection *conn, struct redisReply *reply, const struct redisReply *part, const struct queue_keys *const *keys,
			size_t n, struct entry_list *ret_list, struct redis_error *ret_error)
{
	struct entry_list list = { 0 };
	int r = 0;
	bool copy;

	*ret_list = list;
	if (part->type == REDIS_REPLY_NIL)
		return 0;
	if (!decode_is_array(part, 0))
		return decode_odd("XREADGROUP", ret_error);
	struct backing *backing = backing_take(conn, reply, &copy);
	if (!backing && !copy)
		return no_memory(ret_error);
	for (size_t i = 0; r == 0 && i < part->elements; i++) {
		size_t queue;
		if (!decode_is_array(part->element[i], 2) || !find_queue(decode_bytes(part->element[i]->element[0]), keys, n, &queue))
			r = -EPROTO;
		else
			r = read_stream(part->element[i], queue, backing, &list);
	}
	backing_drop(backing);
	if (r < 0) {
		entry_list_done(&list);
		return failed(r, "XREADGROUP", ret_error);
	}
	*ret_list = list;
	return 0;
}

/* ---- take ---- */

void queue_build_take(struct command *c, const struct queue_keys *k, const char *me, int64_t count)
{
	command_script(c, "take", 6);
	command_text(c, k->stream);
	command_text(c, k->due);
	command_text(c, k->given);
	command_text(c, k->note);
	command_text(c, k->dead);
	command_text(c, k->paused);
	command_text(c, k->group);
	command_text(c, me);
	command_i64(c, count);
	command_text(c, XACKD_PARKED);
}

enum { TAKE_PAUSED, TAKE_NEXT, TAKE_NOW, TAKE_VANISHED, TAKE_GONE, TAKE_ENTRIES };
enum { ROW_ID, ROW_DELIVERY, ROW_GIVEN, ROW_NOTE, ROW_PAIRS, ROW_SIZE };

static int take_entries(const redisReply *reply, struct backing *backing, size_t queue, struct entry_list *list)
{
	int r = list_room(list, reply->elements - TAKE_ENTRIES + 1);

	for (size_t i = TAKE_ENTRIES; r == 0 && i < reply->elements; i++) {
		const redisReply *row = reply->element[i];
		if (!decode_is_array(row, ROW_SIZE))
			return -EPROTO;
		struct entry *e = &list->entries[list->count];
		r = decode_entry(row->element[ROW_ID], row->element[ROW_PAIRS], backing, e);
		if (r < 0)
			return r;
		list->count++;
		e->queue = queue;
		e->delivery = decode_i64(row->element[ROW_DELIVERY], 1);
		e->given = decode_i64(row->element[ROW_GIVEN], 0);
		r = decode_copy(row->element[ROW_NOTE], &e->note);
	}
	return r;
}

static int take_ids(const redisReply *reply, struct take_answer *a)
{
	const redisReply *vanished = reply->element[TAKE_VANISHED], *gone = reply->element[TAKE_GONE];

	if (!decode_is_array(vanished, 0) || !decode_is_array(gone, 0))
		return -EPROTO;
	a->vanished = calloc(vanished->elements + 1, sizeof(*a->vanished));
	a->gone = calloc(gone->elements / 2 + 1, sizeof(*a->gone));
	a->gone_dead = calloc(gone->elements / 2 + 1, sizeof(*a->gone_dead));
	if (!a->vanished || !a->gone || !a->gone_dead)
		return -ENOMEM;
	for (size_t i = 0; i < vanished->elements; i++)
		decode_text(vanished->element[i], a->vanished[a->vanished_count++], ENTRY_ID_SIZE);
	for (size_t i = 0; i + 1 < gone->elements; i += 2) {
		decode_text(gone->element[i], a->gone[a->gone_count], ENTRY_ID_SIZE);
		decode_text(gone->element[i + 1], a->gone_dead[a->gone_count++], ENTRY_ID_SIZE);
	}
	return 0;
}

int queue_parse_take(struct connection *conn, struct redisReply *reply, size_t queue, struct take_answer *ret, struct redis_error *ret_error)
{
	struct take_answer a = { .next_due_in_ms = -1 };
	bool copy;

	*ret = a;
	int r = decode_check(reply, ret_error);
	if (r < 0)
		return r;
	if (!decode_is_array(reply, TAKE_ENTRIES))
		return decode_odd("take", ret_error);
	a.paused = decode_i64(reply->element[TAKE_PAUSED], 0) == 1;
	a.next_due_in_ms = decode_i64(reply->element[TAKE_NEXT], -1);
	a.redis_now_ms = decode_i64(reply->element[TAKE_NOW], 0);
	r = take_ids(reply, &a);
	if (r == 0 && reply->elements > TAKE_ENTRIES) {
		struct backing *backing = backing_take(conn, reply, &copy);
		r = backing || copy ? take_entries(reply, backing, queue, &a.list) : -ENOMEM;
		backing_drop(backing);
	}
	if (r < 0) {
		take_answer_done(&a);
		return failed(r, "take", ret_error);
	}
	*ret = a;
	return 0;
}

void take_answer_done(struct take_answer *a)
{
	entry_list_done(&a->list);
	free(a->vanished);
	free(a->gone);
	free(a->gone_dead);
	*a = (struct take_answer){ .next_due_in_ms = -1 };
}

/* ---- the lease ---- */

void queue_build_renew(struct command *c, const struct queue_keys *k, const char *me, const char *id, int64_t delivery, int64_t lease_ms,
		       const char *running)
{
	command_script(c, "renew", running ? 3 : 2);
	command_text(c, k->stream);
	command_text(c, k->due);
	if (running)
		command_text(c, running);
	command_text(c, k->group);
	command_text(c, me);
	command_text(c, id);
	command_i64(c, delivery);
	command_i64(c, lease_ms);
}

int queue_parse_renew(struct redisReply *reply, enum renew_result *ret, bool *ret_payload_gone, struct redis_error *ret_error)
{
	int r = decode_check(reply, ret_error);
	if (r < 0)
		return r;
	int64_t code = decode_is_array(reply, 3) ? decode_i64(reply->element[0], -1) : -1;
	if (code < RENEWED || code > RENEW_GONE)
		return decode_odd("renew", ret_error);
	*ret = (enum renew_result)code;
	*ret_payload_gone = decode_i64(reply->element[1], 0) == 1;
	return 0;
}

/* ---- after a reconnect ---- */

void queue_build_kill_client(struct command *c, int64_t client_id)
{
	command_begin(c, "CLIENT");
	command_text(c, "KILL");
	command_text(c, "ID");
	command_i64(c, client_id);
}

void queue_build_paused(struct command *c, const struct queue_keys *k)
{
	command_begin(c, "EXISTS");
	command_text(c, k->paused);
}

void queue_build_mine(struct command *c, const struct queue_keys *k, const char *me)
{
	command_begin(c, "XPENDING");
	command_text(c, k->stream);
	command_text(c, k->group);
	command_text(c, "-");
	command_text(c, "+");
	command_i64(c, MINE_MAX);
	command_text(c, me);
}

int queue_parse_mine(struct redisReply *reply, struct held_list *ret, struct redis_error *ret_error)
{
	struct held_list list = { 0 };

	*ret = list;
	int r = decode_check(reply, ret_error);
	if (r < 0)
		return r;
	if (!decode_is_array(reply, 0))
		return decode_odd("XPENDING", ret_error);
	list.ids = calloc(reply->elements + 1, sizeof(*list.ids));
	if (!list.ids)
		return no_memory(ret_error);
	for (size_t i = 0; i < reply->elements; i++) {
		const redisReply *row = reply->element[i];
		if (!decode_is_array(row, 4) || !decode_id(row->element[0], list.ids[list.count].id)) {
			free(list.ids);
			return decode_odd("XPENDING", ret_error);
		}
		list.ids[list.count++].delivery = decode_i64(row->element[3], 0);
	}
	*ret = list;
	return 0;
}

void held_list_done(struct held_list *l)
{
	free(l->ids);
	*l = (struct held_list){ 0 };
}

/* ---- the group ---- */

void queue_build_group(struct command *c, const struct queue_keys *k, enum start_rule start, const char *known)
{
	command_script(c, "group", 6);
	command_text(c, k->stream);
	command_text(c, k->due);
	command_text(c, k->given);
	command_text(c, k->note);
	command_text(c, k->hosts);
	command_text(c, k->remade);
	command_text(c, k->group);
	command_text(c, start == START_END ? "$" : "0");
	command_text(c, XACKD_PARKED);
	command_text(c, known);
}

void queue_build_put_back(struct command *c, const struct queue_keys *k, const char *me, bool another_group)
{
	command_script(c, "put_back", 2);
	command_text(c, k->stream);
	command_text(c, k->due);
	command_text(c, k->group);
	command_text(c, me);
	command_text(c, XACKD_PARKED);
	command_text(c, another_group ? "1" : "0");
}

void queue_add_put_back(struct command *c, const char *id, int64_t delivery)
{
	command_text(c, id);
	command_i64(c, delivery);
}

int queue_parse_status(struct redisReply *reply, int64_t *ret_value, struct redis_error *ret_error)
{
	int r = decode_check(reply, ret_error);
	if (r == 0)
		*ret_value = decode_i64(reply, 0);
	return r;
}

int queue_parse_count(struct redisReply *reply, int64_t *ret_count, struct redis_error *ret_error)
{
	int r = decode_check(reply, ret_error);
	if (r < 0)
		return r;
	if (reply->type != REDIS_REPLY_INTEGER)
		return decode_odd("a count", ret_error);
	*ret_count = reply->integer;
	return 0;
}
