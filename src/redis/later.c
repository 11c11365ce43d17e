/* Delayed entries: added by producers and xackctl, listed, promoted by the reaper when they are due. */
#include <errno.h>

#include "base/num.h"
#include "redis/ask.h"
#include "redis/desk.h"

enum {
	PROMOTE_ROWS = 100, /* both bound the time that Redis is kept */
	PROMOTE_BYTES = 1024 * 1024,
	REBUILD_ROWS = 50,
};

int desk_enqueue(struct connection *c, const struct queue_keys *k, const struct enqueue *how,
		 const struct entry_pair *pairs, size_t n, struct enqueued *ret,
		 struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;
	AUTO_BUF once = { 0 };

	if (how->once.n > 0)
		queue_keys_add_once(k, how->once, &once);
	if (once.failed)
		return ask_no_memory(ret_error);
	command_script(&cmd, "enqueue", how->once.n > 0 ? 4 : 3);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->later);
	command_text(&cmd, k->later_data);
	if (how->once.n > 0)
		command_bytes(&cmd, buf_bytes(&once));
	command_text(&cmd, how->at ? "at" : "in");
	command_i64(&cmd, how->when_ms);
	if (how->once_for_ms < 0)
		command_text(&cmd, "");
	else
		command_i64(&cmd, how->once_for_ms);
	for (size_t i = 0; i < n; i++) {
		command_bytes(&cmd, pairs[i].name);
		command_bytes(&cmd, pairs[i].value);
	}
	int r = ask_array(c, &cmd, 4, &reply, ret_error);
	if (r < 0)
		return r;
	*ret = (struct enqueued){
		.existing = decode_i64(reply->element[0], 0) == 1,
		.due_ms = decode_i64(reply->element[2], -1),
		.redis_now_ms = decode_i64(reply->element[3], 0),
	};
	decode_text(reply->element[1], ret->id, sizeof(ret->id));
	return 0;
}

/* ---- a list ---- */

void later_page_done(struct later_page *p)
{
	for (size_t i = 0; i < p->count; i++)
		entry_done(&p->rows[i].entry);
	free(p->rows);
	*p = (struct later_page){ 0 };
}

enum { LATER_NOW, LATER_MORE, LATER_ROWS };
enum { ROW_ID, ROW_DUE, ROW_PAIRS, ROW_SIZE };

static int read_rows(const redisReply *reply, struct later_page *page)
{
	char any_id[] = "0-0"; /* another producer may have given it an ID of its own */
	const redisReply id = { .type = REDIS_REPLY_STRING, .str = any_id, .len = sizeof(any_id) - 1 };
	int r = 0;

	page->redis_now_ms = decode_i64(reply->element[LATER_NOW], 0);
	page->more = decode_i64(reply->element[LATER_MORE], 0) == 1;
	page->rows = calloc(reply->elements, sizeof(*page->rows));
	if (!page->rows)
		return -ENOMEM;
	for (size_t i = LATER_ROWS; r == 0 && i < reply->elements; i++) {
		const redisReply *from = reply->element[i];
		if (!decode_is_array(from, ROW_SIZE))
			return -EPROTO;
		struct later_row *row = &page->rows[page->count++];
		decode_text(from->element[ROW_ID], row->id, sizeof(row->id));
		row->due_ms = decode_i64(from->element[ROW_DUE], 0);
		r = decode_entry(&id, from->element[ROW_PAIRS], NULL, &row->entry);
	}
	return r;
}

int desk_later_page(struct connection *c, const struct queue_keys *k, int64_t offset, int64_t max,
		    struct later_page *ret, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;
	struct later_page page = { 0 };

	command_script(&cmd, "later", 2);
	command_text(&cmd, k->later);
	command_text(&cmd, k->later_data);
	command_i64(&cmd, offset);
	command_i64(&cmd, max);
	int r = ask_array(c, &cmd, LATER_ROWS, &reply, ret_error);
	if (r < 0)
		return r;
	r = read_rows(reply, &page);
	if (r < 0) {
		later_page_done(&page);
		return r == -ENOMEM ? ask_no_memory(ret_error) : decode_odd("later", ret_error);
	}
	*ret = page;
	return 0;
}

/* ---- the reaper ---- */

void promoted_done(struct promoted *p)
{
	free(p->buried);
	*p = (struct promoted){ 0 };
}

enum { PROMOTED_NOW, PROMOTED_NEXT, PROMOTED_COUNT, PROMOTED_REFUSED, PROMOTED_BURIED };

int admin_promote(struct connection *c, const struct queue_keys *k, const char *host, struct promoted *ret,
		  struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_script(&cmd, "promote", 6);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->later);
	command_text(&cmd, k->later_data);
	command_text(&cmd, k->promoted);
	command_text(&cmd, k->note);
	command_text(&cmd, k->dead);
	command_text(&cmd, k->group);
	command_text(&cmd, host);
	command_i64(&cmd, PROMOTE_ROWS);
	command_i64(&cmd, PROMOTE_BYTES);
	int r = ask_array(c, &cmd, PROMOTED_BURIED, &reply, ret_error);
	if (r < 0)
		return r;
	struct promoted p = {
		.redis_now_ms = decode_i64(reply->element[PROMOTED_NOW], 0),
		.next_in_ms = decode_i64(reply->element[PROMOTED_NEXT], INT64_MAX),
		.count = decode_i64(reply->element[PROMOTED_COUNT], 0),
		.buried = calloc(reply->elements, sizeof(*p.buried)),
	};
	if (!p.buried)
		return ask_no_memory(ret_error);
	decode_text(reply->element[PROMOTED_REFUSED], p.refused, sizeof(p.refused));
	for (size_t i = PROMOTED_BURIED; i < reply->elements; i++) {
		const redisReply *row = reply->element[i];
		if (!decode_is_array(row, 4))
			continue;
		struct promoted_buried *b = &p.buried[p.buried_count++];
		(void)decode_id(row->element[0], b->id);
		decode_text(row->element[1], b->dead_id, sizeof(b->dead_id));
		decode_text(row->element[2], b->reason, sizeof(b->reason));
		decode_text(row->element[3], b->detail, sizeof(b->detail));
	}
	*ret = p;
	return 0;
}

int admin_rebuild_later(struct connection *c, const struct queue_keys *k, uint64_t *cursor,
			int64_t *ret_added, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_script(&cmd, "rebuild_later", 2);
	command_text(&cmd, k->later);
	command_text(&cmd, k->later_data);
	command_u64(&cmd, *cursor);
	command_i64(&cmd, REBUILD_ROWS);
	int r = ask_array(c, &cmd, 2, &reply, ret_error);
	if (r < 0)
		return r;
	if (num_u64(decode_bytes(reply->element[0]), cursor) < 0)
		return decode_odd("rebuild_later", ret_error);
	*ret_added = decode_i64(reply->element[1], 0);
	return 0;
}
