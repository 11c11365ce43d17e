/* What a live view asks again and again: see lua/newest.lua. */
#include <errno.h>

#include "base/num.h"
#include "redis/ask.h"
#include "redis/desk.h"

enum { LONGEST_TEXT = 400 };

void newest_done(struct newest *n)
{
	for (size_t i = 0; i < n->count; i++) {
		free(n->rows[i].job);
		free(n->rows[i].reason);
		free(n->rows[i].detail);
	}
	free(n->rows);
	*n = (struct newest){ 0 };
}

static int keep(struct bytes text, char **ret_text)
{
	free(*ret_text);
	*ret_text = strndup(text.p, text.n < LONGEST_TEXT ? text.n : LONGEST_TEXT);
	return *ret_text ? 0 : -ENOMEM;
}

/* Anybody may have written into that stream: what is not understood is absent. */
static int read_about(struct newest_letter *letter, const char *name, const redisReply *value)
{
	struct bytes text = decode_bytes(value);

	if (strcmp(name, "xackd.id") == 0 && !decode_id(value, letter->id))
		letter->id[0] = '\0';
	else if (strcmp(name, "xackd.job") == 0)
		return keep(text, &letter->job);
	else if (strcmp(name, "xackd.reason") == 0)
		return keep(text, &letter->reason);
	else if (strcmp(name, "xackd.detail") == 0)
		return keep(text, &letter->detail);
	else if (strcmp(name, "xackd.attempts") == 0)
		letter->attempts = decode_i64(value, -1);
	else if (strcmp(name, "xackd.at") == 0)
		letter->at_ms = decode_i64(value, -1);
	return 0;
}

static int read_letter(const redisReply *from, struct newest_letter *letter)
{
	char name[32];

	*letter = (struct newest_letter){ .attempts = -1, .at_ms = -1 };
	if (!decode_is_array(from, 2) || !decode_id(from->element[0], letter->dead_id) || !decode_is_array(from->element[1], 0))
		return -EPROTO;
	const redisReply *about = from->element[1];
	int r = 0;
	for (size_t i = 0; r == 0 && i + 1 < about->elements; i += 2) {
		decode_text(about->element[i], name, sizeof(name));
		r = read_about(letter, name, about->element[i + 1]);
	}
	return r;
}

enum { NEWEST_DONE, NEWEST_DEAD, NEWEST_ANEW, NEWEST_ROWS };

static int read_newest(const redisReply *reply, struct newest *n)
{
	size_t rows = reply->elements - NEWEST_ROWS;
	int r = 0;

	n->done = decode_i64(reply->element[NEWEST_DONE], -1);
	n->dead = decode_i64(reply->element[NEWEST_DEAD], 0);
	n->anew = decode_i64(reply->element[NEWEST_ANEW], 1) == 1;
	n->rows = calloc(rows + 1, sizeof(*n->rows));
	if (!n->rows)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < rows; i++) {
		r = read_letter(reply->element[NEWEST_ROWS + i], &n->rows[i]);
		n->count++; /* what was read of it is freed with the rest */
	}
	return r;
}

int desk_newest(struct connection *c, const struct queue_keys *k, const char *known_dead_id, int64_t known_dead, int64_t max, struct newest *ret,
		struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;
	struct newest n = { 0 };

	command_script(&cmd, "newest", 2);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->dead);
	command_text(&cmd, k->group);
	command_text(&cmd, known_dead_id);
	command_i64(&cmd, known_dead);
	command_i64(&cmd, max);
	int r = ask_array(c, &cmd, NEWEST_ROWS, &reply, ret_error);
	if (r < 0)
		return r;
	r = read_newest(reply, &n);
	if (r < 0) {
		newest_done(&n);
		return r == -ENOMEM ? ask_no_memory(ret_error) : decode_odd("newest", ret_error);
	}
	*ret = n;
	return 0;
}
