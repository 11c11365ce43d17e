/* See the header. */
#include "redis/replay.h"

#include <errno.h>
#include <stdio.h>

#include "redis/ask.h"

enum { BEGIN_STATE, BEGIN_TEXT, BEGIN_CURSOR, BEGIN_LAST, BEGIN_COUNT, BEGIN_AT, BEGIN_SIZE };
enum { ROW_ID, ROW_STATE, ROW_PAIRS, ROW_SIZE };
enum { STEP_STATE, STEP_COUNT, STEP_ALL, STEP_SIZE };

int replay_begin(struct connection *c, const struct queue_keys *k, const char *token, const char *asked,
		 const char *from, const char *to, bool forget, struct replay *ret, char **ret_asked,
		 struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_script(&cmd, "replay_begin", 2);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->replay);
	command_text(&cmd, k->group);
	command_text(&cmd, token);
	command_text(&cmd, asked);
	command_text(&cmd, from);
	command_text(&cmd, to);
	command_text(&cmd, forget ? "1" : "0");
	int r = ask_array(c, &cmd, BEGIN_SIZE, &reply, ret_error);
	if (r < 0)
		return r;
	struct redisReply **e = reply->element;
	bool other = decode_i64(e[BEGIN_STATE], 0) == 1;
	*ret = (struct replay){ .count = decode_i64(e[BEGIN_COUNT], 0),
				.begun_ms = decode_i64(e[BEGIN_AT], 0) };
	decode_text(e[BEGIN_CURSOR], ret->cursor, sizeof(ret->cursor));
	decode_text(e[BEGIN_LAST], ret->last, sizeof(ret->last));
	if (!other) {
		decode_text(e[BEGIN_TEXT], ret->token, sizeof(ret->token));
		return 0;
	}
	return decode_copy(e[BEGIN_TEXT], ret_asked) < 0 ? ask_no_memory(ret_error) : 1;
}

void replay_page_done(struct replay_page *p)
{
	for (size_t i = 0; i < p->count; i++)
		entry_done(&p->rows[i].entry);
	free(p->rows);
	*p = (struct replay_page){ 0 };
}

static int read_page(const redisReply *reply, struct replay_page *page)
{
	int r = 0;

	page->rows = calloc(reply->elements, sizeof(*page->rows));
	if (!page->rows)
		return -ENOMEM;
	decode_text(reply->element[0], page->last, sizeof(page->last));
	for (size_t i = 1; r == 0 && i < reply->elements; i++) {
		const redisReply *from = reply->element[i];
		struct replay_row *row = &page->rows[page->count];
		if (!decode_is_array(from, ROW_SIZE))
			return -EPROTO;
		int64_t state = decode_i64(from->element[ROW_STATE], REPLAY_PENDING);
		row->state = state >= REPLAY_DONE && state <= REPLAY_NOT_YET ? (enum replay_state)state
									     : REPLAY_PENDING;
		r = decode_entry(from->element[ROW_ID], from->element[ROW_PAIRS], NULL, &row->entry);
		page->count += r == 0;
	}
	return r;
}

int replay_look(struct connection *c, const struct queue_keys *k, const char *cursor, const char *last,
		int64_t max, bool with_pairs, struct replay_page *ret, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;
	struct replay_page page = { 0 };

	command_script(&cmd, "replay_look", 3);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->note);
	command_text(&cmd, k->dead);
	command_text(&cmd, k->group);
	command_text(&cmd, cursor);
	command_text(&cmd, last);
	command_i64(&cmd, max < REPLAY_PAGE_MOST ? max : REPLAY_PAGE_MOST);
	command_text(&cmd, with_pairs ? "1" : "0");
	int r = ask_array(c, &cmd, 1, &reply, ret_error);
	if (r < 0)
		return r;
	r = read_page(reply, &page);
	if (r < 0) {
		replay_page_done(&page);
		return r == -ENOMEM ? ask_no_memory(ret_error) : decode_odd("replay_look", ret_error);
	}
	*ret = page;
	return 0;
}

int replay_step(struct connection *c, const struct queue_keys *k, struct replay *r, const char *next,
		const char *const *ids, size_t n, int64_t *ret_count, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;
	char cursor[REPLAY_CURSOR_SIZE];

	memcpy(cursor, r->cursor, sizeof(cursor));
	if (*next)
		(void)snprintf(cursor, sizeof(cursor), "(%.*s", ENTRY_ID_SIZE - 1, next);
	command_script(&cmd, "replay_step", 6);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->due);
	command_text(&cmd, k->given);
	command_text(&cmd, k->note);
	command_text(&cmd, k->dead);
	command_text(&cmd, k->replay);
	command_text(&cmd, k->group);
	command_text(&cmd, XACKD_PARKED);
	command_text(&cmd, r->token);
	command_text(&cmd, r->cursor);
	command_text(&cmd, cursor);
	command_text(&cmd, *next ? "0" : "1");
	for (size_t i = 0; i < n; i++)
		command_text(&cmd, ids[i]);
	int failed = ask_array(c, &cmd, 1, &reply, ret_error);
	if (failed < 0)
		return failed;
	if (decode_i64(reply->element[STEP_STATE], 1) != 0 || !decode_is_array(reply, STEP_SIZE))
		return 1;
	*ret_count = decode_i64(reply->element[STEP_COUNT], 0);
	r->count = decode_i64(reply->element[STEP_ALL], 0);
	memcpy(r->cursor, cursor, sizeof(cursor));
	return 0;
}
