/* The lines of fd 3: a table of keys, each with the function that takes its value. */
#include "handler/notify.h"

#include "base/num.h"
#include "handler/lines.h"

void notify_begin(struct notify *n, bool wants_result)
{
	result_done(&n->said.result);
	n->wants_result = wants_result;
	n->said = (struct said){ .retry_after_ms = -1, .later_ms = -1 };
	n->progress = -1;
	n->status_n = 0;
	n->status[0] = '\0';
	n->progress_news = false;
	n->extend_ms = -1;
}

void notify_done(struct notify *n)
{
	result_done(&n->said.result);
	buf_done(&n->scratch);
}

/* C0, DEL and C1 (in UTF-8: C2 80 … C2 9F), and the line and paragraph separators (E2 80 A8 and A9): none may reach a log or a terminal. */
static size_t control_length(const unsigned char *p, size_t n)
{
	if (p[0] < 0x20 || p[0] == 0x7f)
		return 1;
	if (n >= 2 && p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
		return 2;
	if (n >= 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9))
		return 3;
	return 0;
}

static size_t character_length(unsigned char lead)
{
	return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* Text of a stranger as valid UTF-8 without control characters, at most max bytes, never half a character. Returns its length. */
static size_t clean_text(struct buf *scratch, struct bytes text, char *ret_text, size_t max)
{
	size_t used = 0;

	buf_clear(scratch);
	buf_add_utf8(scratch, text);
	struct bytes clean = buf_bytes(scratch);
	if (scratch->failed) {
		buf_done(scratch);
		clean.n = 0;
	}
	while (clean.n > 0) {
		size_t skip = control_length((const unsigned char *)clean.p, clean.n);
		size_t n = skip > 0 ? skip : character_length((unsigned char)clean.p[0]);
		if (skip == 0) {
			if (used + n > max)
				break;
			memcpy(ret_text + used, clean.p, n);
			used += n;
		}
		clean.p += n;
		clean.n -= n;
	}
	ret_text[used] = '\0';
	return used;
}

static void take_retry_after(struct notify *n, struct bytes value)
{
	int64_t ms = 0;
	if (num_seconds_ms(value, &ms) == 0)
		n->said.retry_after_ms = ms;
}

static void take_later(struct notify *n, struct bytes value)
{
	int64_t ms = 0;
	if (num_seconds_ms(value, &ms) == 0)
		n->said.later_ms = ms;
}

static void take_extend_timeout(struct notify *n, struct bytes value)
{
	int64_t ms = 0;
	if (num_seconds_ms(value, &ms) == 0)
		n->extend_ms = ms;
}

static void take_progress(struct notify *n, struct bytes value)
{
	double percent = 0;
	if (num_decimal(value, &percent) < 0 || percent > 100)
		return;
	n->progress = (int64_t)percent;
	n->progress_news = true;
}

static void take_status(struct notify *n, struct bytes value)
{
	n->status_n = clean_text(&n->scratch, value, n->status, NOTIFY_STATUS_MAX);
	n->progress_news = true;
}

static void take_dead(struct notify *n, struct bytes value)
{
	(void)clean_text(&n->scratch, value, n->said.dead, sizeof(n->said.dead) - 1);
	n->said.dead_said = true;
}

static void take_result(struct notify *n, struct bytes value)
{
	if (n->wants_result)
		result_set(&n->said.result, value);
}

static const struct {
	const char *key;
	void (*take)(struct notify *n, struct bytes value);
} notify_keys[] = {
	{ "RETRY_AFTER", take_retry_after },
	{ "LATER", take_later },
	{ "PROGRESS", take_progress },
	{ "STATUS", take_status },
	{ "DEAD", take_dead },
	{ "EXTEND_TIMEOUT", take_extend_timeout },
	{ "RESULT", take_result },
};

bool notify_is_notice(struct bytes line)
{
	size_t n = 0;
	while (n < line.n && ((line.p[n] >= 'A' && line.p[n] <= 'Z') || line.p[n] == '_'))
		n++;
	return n > 0 && n < line.n && line.p[n] == '=';
}

void notify_line(struct notify *n, struct bytes line, bool cut)
{
	const char *equals = line.n > 0 ? memchr(line.p, '=', line.n) : NULL;

	if (!equals)
		return;
	struct bytes key = { line.p, (size_t)(equals - line.p) };
	bool is_result = bytes_eq(key, bytes_of("RESULT"));
	if (cut && is_result && n->wants_result)
		result_too_long(&n->said.result);
	if (cut || (line.n > LINE_MAX_BYTES && !is_result))
		return;
	struct bytes value = { equals + 1, line.n - key.n - 1 };
	for (size_t i = 0; i < ARRAY_LEN(notify_keys); i++) {
		if (bytes_eq(key, bytes_of(notify_keys[i].key))) {
			notify_keys[i].take(n, value);
			return;
		}
	}
}
