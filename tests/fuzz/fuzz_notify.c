/* What a handler says on fd 3, in chunks as they come through a pipe: the first byte is the size of the
 * chunks. What was understood is within its bounds, and does not depend on how it was cut into chunks. Each
 * line is taken for a reply as well. */
#include "fuzz.h"

#include "base/attr.h"
#include "base/json.h"
#include "domain/reply.h"
#include "handler/lines.h"
#include "handler/notify.h"

static bool same(const struct result *a, const struct result *b)
{
	return a->state == b->state && bytes_eq(result_bytes(a), result_bytes(b));
}

/* As an answer too: with a member that nobody knows it is the same answer, so the short way and the parser
 * agree. */
static void answer(struct bytes line)
{
	AUTO_BUF longer = { 0 };
	struct reply r, again;

	reply_parse(line, /* cut= */ false, &r);
	PROMISED(strnlen(r.id, sizeof(r.id)) < sizeof(r.id) && utf8_valid(bytes_of(r.reason)));
	PROMISED(r.result.state == RESULT_NONE || (r.status == REPLY_OK && r.result.n <= RESULT_MAX_BYTES));
	if (r.status == REPLY_NONSENSE || line.n > LINE_MAX_BYTES) {
		reply_done(&r);
		return;
	}
	const char *end = memrchr(line.p, '}', line.n);
	PROMISED(end != NULL);
	buf_add(&longer, line.p, (size_t)(end - line.p));
	buf_add_text(&longer, ",\"not known\":0}");
	reply_parse(buf_bytes(&longer), /* cut= */ false, &again);
	/* NONSENSE: it had that very member. */
	PROMISED(again.status == REPLY_NONSENSE ||
		 (again.status == r.status && again.after_ms == r.after_ms && strcmp(again.id, r.id) == 0 &&
		  same(&again.result, &r.result)));
	reply_done(&r);
	reply_done(&again);
}

static void take(void *user, struct bytes line, bool cut)
{
	notify_line(user, line, cut);
	answer(line);
}

static void hear(struct lines *l, struct notify *n, struct bytes said, size_t chunk)
{
	static char room[NOTIFY_LINE_MAX_BYTES];

	lines_init(l, room, sizeof(room));
	lines_begin(l);
	notify_begin(n, /* wants_result= */ true);
	while (said.n > 0) {
		size_t step = said.n < chunk ? said.n : chunk;
		lines_feed(l, (struct bytes){ said.p, step }, take, n);
		said.p += step;
		said.n -= step;
	}
	lines_end(l, take, n);
}

static void check(const struct notify *n)
{
	PROMISED(n->progress >= -1 && n->progress <= 100);
	PROMISED(n->status_n <= NOTIFY_STATUS_MAX);
	PROMISED(n->extend_ms >= -1);
	for (size_t i = 0; i < n->status_n; i++)
		PROMISED((unsigned char)n->status[i] >= ' ' && n->status[i] != 0x7f);
	AUTO_BUF json = { 0 };
	json_add_text(&json, (struct bytes){ n->status, n->status_n });
	PROMISED(json.n >= 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = { (const char *)data, size };
	size_t chunk = (size_t)next_byte(&rest) + 1;
	struct lines *lines = malloc(sizeof(*lines));
	struct notify once = { 0 }, pieces = { 0 };

	if (!lines)
		return 0;
	hear(lines, &once, rest, rest.n ? rest.n : 1);
	hear(lines, &pieces, rest, chunk);
	check(&once);
	PROMISED(once.progress == pieces.progress && once.extend_ms == pieces.extend_ms);
	PROMISED(once.status_n == pieces.status_n && memcmp(once.status, pieces.status, once.status_n) == 0);
	PROMISED(same(&once.said.result, &pieces.said.result));
	notify_done(&once);
	notify_done(&pieces);
	free(lines);
	return 0;
}
