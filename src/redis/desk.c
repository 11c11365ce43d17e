/* What an operator asks of a queue: add, explain, pause, what is parked, run it now. */
#include "redis/desk.h"

#include <errno.h>
#include <stdio.h>

#include "base/num.h"
#include "redis/ask.h"

int desk_add(struct connection *c, const struct queue_keys *k, const struct entry_pair *pairs, size_t n, char ret_id[ENTRY_ID_SIZE],
	     struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_begin(&cmd, "XADD");
	command_text(&cmd, k->stream);
	command_text(&cmd, "*");
	for (size_t i = 0; i < n; i++) {
		command_bytes(&cmd, pairs[i].name);
		command_bytes(&cmd, pairs[i].value);
	}
	int r = ask(c, &cmd, &reply, ret_error);
	if (r < 0)
		return r;
	return decode_id(reply, ret_id) ? 0 : decode_odd("XADD", ret_error);
}

/* ---- explain ---- */

const char *explain_state_name(enum explain_state s)
{
	static const char *const names[] = {
		[EXPLAIN_WAITING] = "waiting", [EXPLAIN_RUNNING] = "running", [EXPLAIN_PARKED] = "parked",
		[EXPLAIN_LATER] = "later",     [EXPLAIN_DEAD] = "dead",       [EXPLAIN_ACKNOWLEDGED] = "acknowledged",
		[EXPLAIN_GONE] = "gone",       [EXPLAIN_UNKNOWN] = "unknown",
	};
	return names[s];
}

void explanation_done(struct explanation *e)
{
	free(e->note);
	entry_done(&e->entry);
	*e = (struct explanation){ .state = EXPLAIN_UNKNOWN };
}

enum {
	WHERE_PENDING, WHERE_CONSUMER, WHERE_IDLE, WHERE_DELIVERY, WHERE_GIVEN, WHERE_DUE, WHERE_NOTE, WHERE_DEAD_ID, WHERE_IN_STREAM,
	WHERE_LATER, WHERE_PAUSED, WHERE_LAST_DELIVERED, WHERE_EVER, WHERE_NOW, WHERE_PAIRS, WHERE_ENTRY_ID,
	WHERE_SIZE
};

/* The ID of a delayed entry ends with the µs of its enqueue: no other has such a number. */
static bool is_delayed(const char *id)
{
	uint64_t ms, seq;
	return entry_id_parse(bytes_of(id), &ms, &seq) == 0 && seq >= UINT64_C(1000000000000000);
}

static enum explain_state state_of(struct redisReply *const *e, const struct explanation *x, const char *id)
{
	char last[ENTRY_ID_SIZE];
	bool delivered = decode_id(e[WHERE_LAST_DELIVERED], last) && entry_id_cmp(id, last) <= 0;

	if (decode_i64(e[WHERE_PENDING], 0) == 1)
		return strcmp(x->consumer, XACKD_PARKED) == 0 ? EXPLAIN_PARKED : EXPLAIN_RUNNING;
	if (x->dead_id[0])
		return EXPLAIN_DEAD;
	if (decode_i64(e[WHERE_LATER], 0) == 1)
		return EXPLAIN_LATER;
	if (x->in_stream)
		return delivered ? EXPLAIN_ACKNOWLEDGED : EXPLAIN_WAITING;
	return delivered && decode_i64(e[WHERE_EVER], 0) == 1 && !is_delayed(id) ? EXPLAIN_GONE : EXPLAIN_UNKNOWN;
}

static int read_explanation(const redisReply *reply, const char *id, struct explanation *x)
{
	struct redisReply *const *e = reply->element;

	*x = (struct explanation){
		.delivery = decode_i64(e[WHERE_DELIVERY], 0),
		.given = decode_i64(e[WHERE_GIVEN], 0),
		.idle_ms = decode_i64(e[WHERE_IDLE], -1),
		.due_ms = decode_i64(e[WHERE_DUE], -1),
		.in_stream = decode_i64(e[WHERE_IN_STREAM], 0) == 1,
		.paused = decode_i64(e[WHERE_PAUSED], 0) == 1,
		.redis_now_ms = decode_i64(e[WHERE_NOW], 0),
	};
	x->held = limit_held_by(&x->due_ms);
	decode_text(e[WHERE_CONSUMER], x->consumer, sizeof(x->consumer));
	decode_text(e[WHERE_DEAD_ID], x->dead_id, sizeof(x->dead_id));
	(void)decode_id(e[WHERE_ENTRY_ID], x->entry_id);
	int r = decode_copy(e[WHERE_NOTE], &x->note);
	if (r == 0 && (x->in_stream || decode_i64(e[WHERE_LATER], 0) == 1)) {
		redisReply name = { .type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)id, .len = strlen(id) };
		r = decode_entry(&name, e[WHERE_PAIRS], NULL, &x->entry);
		x->entry.delivery = x->delivery;
		x->entry.given = x->given;
	}
	x->state = state_of(e, x, id);
	return r;
}

/* The note that named the dead letter may have been deleted: a bounded look. */
static int look_among_dead(struct connection *c, const struct queue_keys *k, const char *id, struct explanation *x, struct redis_error *ret_error)
{
	struct dead_letter letter = { 0 };

	if (x->state != EXPLAIN_ACKNOWLEDGED && x->state != EXPLAIN_GONE && x->state != EXPLAIN_UNKNOWN)
		return 0;
	int r = desk_dead_find(c, k, id, &letter, ret_error);
	if (r == 0 && strcmp(letter.id, id) == 0) {
		x->state = EXPLAIN_DEAD;
		memcpy(x->dead_id, letter.dead_id, sizeof(x->dead_id));
	}
	dead_letter_done(&letter);
	return r < 0 ? r : 0;
}

static int explain(struct connection *c, const struct queue_keys *k, const char *id, struct explanation *ret, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;
	struct explanation x;

	command_script(&cmd, "explain", 9);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->due);
	command_text(&cmd, k->given);
	command_text(&cmd, k->note);
	command_text(&cmd, k->dead);
	command_text(&cmd, k->paused);
	command_text(&cmd, k->later);
	command_text(&cmd, k->later_data);
	command_text(&cmd, k->promoted);
	command_text(&cmd, k->group);
	command_text(&cmd, id);
	int r = ask_array(c, &cmd, WHERE_SIZE, &reply, ret_error);
	if (r < 0)
		return r;
	r = read_explanation(reply, id, &x);
	if (r < 0) {
		explanation_done(&x);
		return r == -ENOMEM ? ask_no_memory(ret_error) : decode_odd("explain", ret_error);
	}
	r = x.entry_id[0] ? 0 : look_among_dead(c, k, id, &x, ret_error);
	if (r < 0) {
		explanation_done(&x);
		return r;
	}
	*ret = x;
	return 0;
}

int desk_explain(struct connection *c, const struct queue_keys *k, const char *id, struct explanation *ret, struct redis_error *ret_error)
{
	struct explanation x;

	int r = explain(c, k, id, &x, ret_error);
	if (r == 0 && x.entry_id[0]) { /* it was delayed, and is an entry by now */
		char entry_id[ENTRY_ID_SIZE];
		memcpy(entry_id, x.entry_id, sizeof(entry_id));
		explanation_done(&x);
		r = explain(c, k, entry_id, &x, ret_error);
		memcpy(x.entry_id, entry_id, sizeof(entry_id));
	}
	if (r == 0)
		*ret = x;
	return r;
}

/* ---- parked ---- */

void parked_page_done(struct parked_page *p)
{
	for (size_t i = 0; i < p->count; i++) {
		free(p->rows[i].note);
		entry_done(&p->rows[i].entry);
	}
	free(p->rows);
	*p = (struct parked_page){ 0 };
}

enum { PARKED_ID, PARKED_DUE, PARKED_DELIVERY, PARKED_GIVEN, PARKED_NOTE, PARKED_PAIRS, PARKED_SIZE };
enum { PARKED_NOW, PARKED_MORE, PARKED_ROWS };

static int read_parked(const redisReply *reply, struct parked_page *page)
{
	int r = 0;

	page->redis_now_ms = decode_i64(reply->element[PARKED_NOW], 0);
	page->more = decode_i64(reply->element[PARKED_MORE], 0) == 1;
	page->rows = calloc(reply->elements, sizeof(*page->rows));
	if (!page->rows)
		return -ENOMEM;
	for (size_t i = PARKED_ROWS; r == 0 && i < reply->elements; i++) {
		const redisReply *from = reply->element[i];
		if (!decode_is_array(from, PARKED_SIZE))
			return -EPROTO;
		struct parked_row *row = &page->rows[page->count++];
		decode_text(from->element[PARKED_ID], row->id, sizeof(row->id));
		row->due_ms = decode_i64(from->element[PARKED_DUE], 0);
		row->held = limit_held_by(&row->due_ms);
		row->delivery = decode_i64(from->element[PARKED_DELIVERY], 0);
		row->given = decode_i64(from->element[PARKED_GIVEN], 0);
		r = decode_copy(from->element[PARKED_NOTE], &row->note);
		if (r == 0)
			r = decode_entry(from->element[PARKED_ID], from->element[PARKED_PAIRS], NULL, &row->entry);
	}
	return r;
}

int desk_parked_page(struct connection *c, const struct queue_keys *k, int64_t offset, int64_t max, bool with_pairs, struct parked_page *ret,
		     struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;
	struct parked_page page = { 0 };

	command_script(&cmd, "parked", 4);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->due);
	command_text(&cmd, k->given);
	command_text(&cmd, k->note);
	command_text(&cmd, k->group);
	command_i64(&cmd, offset);
	command_i64(&cmd, max);
	command_text(&cmd, with_pairs ? "1" : "0");
	int r = ask_array(c, &cmd, PARKED_ROWS, &reply, ret_error);
	if (r < 0)
		return r;
	r = read_parked(reply, &page);
	if (r < 0) {
		parked_page_done(&page);
		return r == -ENOMEM ? ask_no_memory(ret_error) : decode_odd("parked", ret_error);
	}
	*ret = page;
	return 0;
}

int desk_retry(struct connection *c, const struct queue_keys *k, const char *id, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	int64_t done = 0;

	command_script(&cmd, "retry", 2);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->due);
	command_text(&cmd, k->group);
	command_text(&cmd, id);
	command_text(&cmd, XACKD_PARKED);
	int r = ask_i64(c, &cmd, &done, ret_error);
	return r < 0 ? r : done == 1 ? 0 : 1;
}

/* ---- pause ---- */

/* The value of " name=" or "name=" in a line of CLIENT LIST. */
static struct bytes client_field(struct bytes line, const char *name)
{
	size_t n = strlen(name);

	for (size_t at = 0; at + n < line.n;) {
		const char *stop = memchr(line.p + at, ' ', line.n - at);
		size_t end = stop ? (size_t)(stop - line.p) : line.n;
		if (end - at > n && memcmp(line.p + at, name, n) == 0 && line.p[at + n] == '=')
			return (struct bytes){ line.p + at + n + 1, end - at - n - 1 };
		at = end + 1;
	}
	return (struct bytes){ "", 0 };
}

static bool is_worker(struct bytes name)
{
	size_t slashes = 0, last = 0;

	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '/') {
			slashes++;
			last = i + 1;
		}
	}
	return slashes == 3 && name.n - last == 16 && strspn(name.p + last, "0123456789abcdef") >= 16;
}

int desk_result(struct connection *c, const struct queue_keys *k, const char *id, struct result *ret, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	*ret = (struct result){ 0 };
	command_begin(&cmd, "GET");
	command_two(&cmd, k->result, id);
	int r = ask(c, &cmd, &reply, ret_error);
	if (r == -EPROTO && strncmp(ret_error->text, "WRONGTYPE", strlen("WRONGTYPE")) == 0)
		return 0;
	if (r < 0)
		return r;
	if (reply->type == REDIS_REPLY_STRING)
		result_set(ret, decode_bytes(reply));
	return 0;
}

struct wake {
	bool one_a_host; /* the first of each host, which passes it on */
	struct bytes hosts[64];
	size_t count;
};

/* Told already, or one too many? */
static bool is_enough(struct wake *w, struct bytes name)
{
	const char *slash = memchr(name.p, '/', name.n);
	struct bytes host = { name.p, slash ? (size_t)(slash - name.p) : name.n };

	if (!w->one_a_host)
		return false;
	for (size_t i = 0; i < w->count; i++) {
		if (bytes_eq(w->hosts[i], host))
			return true;
	}
	if (w->count == ARRAY_LEN(w->hosts))
		return true;
	w->hosts[w->count++] = host;
	return false;
}

/* Workers call their connections by their consumer's name, HOST/POOL/SLOT/16 hex digits: those that wait in a read, of whatever queue, are made
 * to look again (a queue has a consumer only once it delivered something to it). Best effort: one that could not be reached looks again when
 * its read ends. */
static void wake_readers(struct connection *c, bool one_a_host)
{
	struct wake wake = { .one_a_host = one_a_host };
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;
	struct redis_error ignored;

	command_begin(&cmd, "CLIENT");
	command_text(&cmd, "LIST");
	int r = ask(c, &cmd, &reply, &ignored);
	struct bytes text = r == 0 ? decode_bytes(reply) : (struct bytes){ "", 0 };
	for (size_t at = 0; at < text.n;) {
		const char *stop = memchr(text.p + at, '\n', text.n - at);
		size_t end = stop ? (size_t)(stop - text.p) : text.n;
		struct bytes line = { text.p + at, end - at }, flags = client_field(line, "flags");
		int64_t id = 0;
		bool done = false;
		if (flags.n > 0 && memchr(flags.p, 'b', flags.n) && is_worker(client_field(line, "name")) &&
		    !is_enough(&wake, client_field(line, "name")) && num_i64(client_field(line, "id"), &id) == 0)
			(void)!admin_unblock(c, id, &done, &ignored);
		at = end + 1;
	}
}

int desk_pause(struct connection *c, const struct queue_keys *k, bool paused, bool *ret_changed, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	int64_t changed = 0;

	command_script(&cmd, "pause", 1);
	command_text(&cmd, k->paused);
	command_text(&cmd, paused ? "1" : "0");
	int r = ask_i64(c, &cmd, &changed, ret_error);
	if (r < 0)
		return r;
	*ret_changed = changed == 1;
	wake_readers(c, false);
	return 0;
}

void desk_wake_hosts(struct connection *c)
{
	wake_readers(c, true);
}
