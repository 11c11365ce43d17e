/* What an operator does with dead letters: look through them, find one, put it back, remove it. */
#include <errno.h>
#include <stdio.h>

#include "redis/ask.h"
#include "redis/desk.h"
#include "redis/letter.h"

enum {
	FIND_ROWS = 100,
	FIND_PAGES = 100, /* a look through 10,000 dead letters is the most that one question may cost */
	EXEC_TRIES = 10,
};

void dead_page_done(struct dead_page *p)
{
	for (size_t i = 0; i < p->count; i++)
		dead_letter_done(&p->rows[i]);
	free(p->rows);
	*p = (struct dead_page){ 0 };
}

static int read_page(redisReply *reply, struct dead_page *page)
{
	size_t n = reply->elements;
	struct backing *backing = backing_own(reply);
	if (!backing)
		return -ENOMEM;
	page->rows = calloc(n + 1, sizeof(*page->rows));
	int r = page->rows ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = letter_read(reply->element[i], backing, &page->rows[page->count]);
		if (r == 0)
			page->count++;
	}
	backing_drop(backing);
	return r;
}

/* XRANGE over the dead letters. */
static int range(struct connection *c, const struct queue_keys *k, const char *from, const char *to, int64_t max, struct dead_page *ret,
		 struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	redisReply *reply = NULL;
	struct dead_page page = { 0 };

	command_begin(&cmd, "XRANGE");
	command_text(&cmd, k->dead);
	command_text(&cmd, from);
	command_text(&cmd, to);
	command_text(&cmd, "COUNT");
	command_i64(&cmd, max);
	int r = ask_array(c, &cmd, 0, &reply, ret_error);
	if (r < 0)
		return r;
	r = read_page(reply, &page);
	if (r < 0) {
		dead_page_done(&page);
		return r == -ENOMEM ? ask_no_memory(ret_error) : decode_odd("XRANGE", ret_error);
	}
	*ret = page;
	return 0;
}

int desk_dead_page(struct connection *c, const struct queue_keys *k, const char *from, int64_t max, struct dead_page *ret, struct redis_error *ret_error)
{
	char first[ENTRY_ID_SIZE + 1] = "-";

	if (*from)
		(void)snprintf(first, sizeof(first), "(%s", from);
	int r = range(c, k, first, "+", max, ret, ret_error);
	if (r == 0 && ret->count > 0 && (int64_t)ret->count == max)
		memcpy(ret->next, ret->rows[ret->count - 1].dead_id, sizeof(ret->next));
	return r;
}

/* 0 found, 1 not. */
static int read_one(struct connection *c, const struct queue_keys *k, const char *dead_id, struct dead_letter *ret, struct redis_error *ret_error)
{
	struct dead_page page = { 0 };

	int r = range(c, k, dead_id, dead_id, 1, &page, ret_error);
	if (r < 0)
		return r;
	if (page.count == 0) {
		dead_page_done(&page);
		return 1;
	}
	*ret = page.rows[0];
	free(page.rows);
	return 0;
}

/* The dead ID of an entry, "" when there is none. */
static int find_dead_id(struct connection *c, const struct queue_keys *k, const char *id, char ret_dead_id[ENTRY_ID_SIZE], struct redis_error *ret_error)
{
	char from[ENTRY_ID_SIZE + 1] = "-";
	uint64_t ms = 0, seq = 0;
	int64_t now_ms = connection_redis_now_ms(c);

	/* A dead letter is younger than its entry, if the entry's ID is a time at all. */
	if (entry_id_parse(bytes_of(id), &ms, &seq) == 0 && now_ms > 0 && ms <= (uint64_t)now_ms)
		(void)snprintf(from, sizeof(from), "%llu-0", (unsigned long long)ms);
	for (int page = 0; page < FIND_PAGES; page++) {
		AUTO_COMMAND cmd = { 0 };
		AUTO_REPLY *reply = NULL;
		command_script(&cmd, "dead_find", 2);
		command_text(&cmd, k->dead);
		command_text(&cmd, k->note);
		command_text(&cmd, id);
		command_text(&cmd, from);
		command_i64(&cmd, FIND_ROWS);
		int r = ask_array(c, &cmd, 2, &reply, ret_error);
		if (r < 0)
			return r;
		decode_text(reply->element[0], ret_dead_id, ENTRY_ID_SIZE);
		decode_text(reply->element[1], from, sizeof(from));
		if (ret_dead_id[0] || !from[0])
			return 0;
	}
	return 0;
}

int desk_dead_find(struct connection *c, const struct queue_keys *k, const char *id, struct dead_letter *ret, struct redis_error *ret_error)
{
	char dead_id[ENTRY_ID_SIZE] = "";

	int r = read_one(c, k, id, ret, ret_error);
	if (r != 1)
		return r;
	r = find_dead_id(c, k, id, dead_id, ret_error);
	if (r < 0)
		return r;
	return dead_id[0] ? read_one(c, k, dead_id, ret, ret_error) : 1;
}

/* ---- requeue ---- */

static int simple(struct connection *c, struct redis_error *ret_error, const char *const *words)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_begin(&cmd, words[0]);
	for (size_t i = 1; words[i]; i++)
		command_text(&cmd, words[i]);
	return ask(c, &cmd, &reply, ret_error);
}

static int add_again(struct connection *c, const struct queue_keys *k, const struct dead_letter *d, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_begin(&cmd, "XADD");
	command_text(&cmd, k->stream);
	command_text(&cmd, "*");
	for (size_t i = 0; i < d->entry.pair_count; i++) {
		command_bytes(&cmd, d->entry.pairs[i].name);
		command_bytes(&cmd, d->entry.pairs[i].value);
	}
	command_text(&cmd, "xackd.requeued-from");
	command_text(&cmd, d->dead_id);
	return ask(c, &cmd, &reply, ret_error); /* QUEUED */
}

/* MULTI … EXEC. 0 done, 1 the dead letters changed meanwhile. On an error the transaction is given up. */
static int transact(struct connection *c, const struct queue_keys *k, const struct dead_letter *d, char ret_id[ENTRY_ID_SIZE], struct redis_error *ret_error)
{
	struct redis_error ignored;

	int r = simple(c, ret_error, (const char *const[]){ "MULTI", NULL });
	if (r == 0)
		r = add_again(c, k, d, ret_error);
	if (r == 0)
		r = simple(c, ret_error, (const char *const[]){ "XDEL", k->dead, d->dead_id, NULL });
	if (r == 0 && d->id[0])
		r = simple(c, ret_error, (const char *const[]){ "HDEL", k->note, d->id, NULL });
	if (r < 0) {
		(void)!simple(c, &ignored, (const char *const[]){ "DISCARD", NULL });
		return r;
	}
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;
	command_begin(&cmd, "EXEC");
	r = ask(c, &cmd, &reply, ret_error);
	if (r < 0)
		return r;
	if (reply->type == REDIS_REPLY_NIL)
		return 1;
	if (!decode_is_array(reply, 1) || decode_check(reply->element[0], ret_error) < 0)
		return ret_error->reaction == REACT_NONE ? decode_odd("EXEC", ret_error) : -EPROTO;
	decode_text(reply->element[0], ret_id, ENTRY_ID_SIZE);
	return 0;
}

/* For entries with more pairs than Lua can pass on: the same in one transaction, undone by any change in between. */
static int requeue_large(struct connection *c, const struct queue_keys *k, const char *dead_id, char ret_id[ENTRY_ID_SIZE], struct redis_error *ret_error)
{
	for (int i = 0; i < EXEC_TRIES; i++) {
		struct dead_letter d = { 0 };
		struct redis_error ignored;
		int r = simple(c, ret_error, (const char *const[]){ "WATCH", k->dead, NULL });
		if (r == 0)
			r = read_one(c, k, dead_id, &d, ret_error);
		if (r != 0) {
			(void)!simple(c, &ignored, (const char *const[]){ "UNWATCH", NULL });
			return r;
		}
		r = transact(c, k, &d, ret_id, ret_error);
		dead_letter_done(&d);
		if (r <= 0)
			return r;
	}
	*ret_error = (struct redis_error){ .reaction = REACT_BACK_OFF, .advice = "try again", .text = "the dead letters change all the time" };
	return -EPROTO;
}

int desk_requeue(struct connection *c, const struct queue_keys *k, const char *dead_id, char ret_id[ENTRY_ID_SIZE], struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_script(&cmd, "requeue", 3);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->dead);
	command_text(&cmd, k->note);
	command_text(&cmd, dead_id);
	int r = ask_array(c, &cmd, 1, &reply, ret_error);
	if (r < 0)
		return r;
	switch (decode_i64(reply->element[0], -1)) {
	case 0:
		decode_text(reply->elements > 1 ? reply->element[1] : NULL, ret_id, ENTRY_ID_SIZE);
		return 0;
	case 1:
		return 1;
	case 2:
		*ret_error = (struct redis_error){
			.reaction = REACT_OPERATOR, .advice = "add the entry anew, or purge the dead letter", .text = "its pairs are gone: there is nothing to put back"
		};
		return -EPROTO;
	case 3:
		return requeue_large(c, k, dead_id, ret_id, ret_error);
	default:
		return decode_odd("requeue", ret_error);
	}
}

int desk_purge(struct connection *c, const struct queue_keys *k, const char *dead_id, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	int64_t removed = 0;

	command_script(&cmd, "purge", 2);
	command_text(&cmd, k->dead);
	command_text(&cmd, k->note);
	command_text(&cmd, dead_id);
	int r = ask_i64(c, &cmd, &removed, ret_error);
	return r < 0 ? r : removed > 0 ? 0 : 1;
}

static void command_pairs(struct command *cmd, const struct entry_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		command_bytes(cmd, pairs[i].name);
		command_bytes(cmd, pairs[i].value);
	}
}

int desk_dead_put(struct connection *c, const struct queue_keys *k, enum desk_put how, const struct dead_draft *d, char ret_dead_id[ENTRY_ID_SIZE],
		  struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_script(&cmd, "dead_put", 2);
	command_text(&cmd, k->dead);
	command_text(&cmd, k->note);
	command_text(&cmd, how == DESK_EDIT ? "edit" : "import");
	command_text(&cmd, d->dead_id);
	command_text(&cmd, d->id);
	command_i64(&cmd, (int64_t)d->meta_count);
	command_pairs(&cmd, d->meta, d->meta_count);
	command_pairs(&cmd, d->pairs, d->pair_count);
	int r = ask_array(c, &cmd, 2, &reply, ret_error);
	if (r < 0)
		return r;
	decode_text(reply->element[1], ret_dead_id, ENTRY_ID_SIZE);
	return decode_i64(reply->element[0], -1) == 0 ? 0 : 1;
}
