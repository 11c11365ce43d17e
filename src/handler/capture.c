/* Capturing output. The brake is a token bucket over both streams of a run: a handler that prints a page at once is heard whole, one that
 * prints without end is heard at a bounded rate, and what is dropped is counted. The handler itself is never slowed down. */
#include "handler/capture.h"

enum { US_PER_S = 1000 * 1000 };

void capture_init(struct capture *c, void (*line)(void *user, int fd, struct bytes line, bool cut), void *user)
{
	memset(c, 0, sizeof(*c));
	for (size_t i = 0; i < ARRAY_LEN(c->lines); i++)
		lines_init(&c->lines[i], c->room[i], LINE_MAX_BYTES);
	c->line = line;
	c->user = user;
}

void capture_begin(struct capture *c, bool log, int64_t now_us)
{
	lines_begin(&c->lines[0]);
	lines_begin(&c->lines[1]);
	c->flood = (struct flood){
		.line_us = (int64_t)CAPTURE_LINES_PER_S * US_PER_S,
		.byte_us = (int64_t)CAPTURE_BYTES_PER_S * US_PER_S,
		.last_us = now_us,
	};
	c->log = log;
	c->tail_n = 0;
}

static int64_t refilled(int64_t tokens, int64_t elapsed_us, int64_t per_s)
{
	int64_t full = per_s * US_PER_S;
	int64_t room = full - tokens;

	return elapsed_us >= room / per_s ? full : tokens + elapsed_us * per_s;
}

static void flood_refill(struct flood *f, int64_t now_us)
{
	int64_t elapsed_us = now_us - f->last_us;

	if (elapsed_us <= 0)
		return;
	f->line_us = refilled(f->line_us, elapsed_us, CAPTURE_LINES_PER_S);
	f->byte_us = refilled(f->byte_us, elapsed_us, CAPTURE_BYTES_PER_S);
	f->last_us = now_us;
}

static bool flood_admits(struct flood *f, size_t n)
{
	int64_t bytes_us = (int64_t)n * US_PER_S;

	if (f->line_us < US_PER_S || f->byte_us < bytes_us) {
		f->dropped_lines++;
		f->dropped_bytes += (int64_t)n;
		return false;
	}
	f->line_us -= US_PER_S;
	f->byte_us -= bytes_us;
	return true;
}

static void on_line(void *user, struct bytes line, bool cut)
{
	struct capture *c = user;

	if (flood_admits(&c->flood, line.n))
		c->line(c->user, c->fd, line, cut);
}

/* The last CAPTURE_TAIL bytes of all that came. */
static void keep_tail(struct capture *c, struct bytes chunk)
{
	if (chunk.n >= CAPTURE_TAIL) {
		memcpy(c->tail, chunk.p + (chunk.n - CAPTURE_TAIL), CAPTURE_TAIL);
		c->tail_n = CAPTURE_TAIL;
		return;
	}
	size_t room = CAPTURE_TAIL - chunk.n;
	if (c->tail_n > room) {
		memmove(c->tail, c->tail + (c->tail_n - room), room);
		c->tail_n = room;
	}
	memcpy(c->tail + c->tail_n, chunk.p, chunk.n);
	c->tail_n += chunk.n;
}

void capture_feed(struct capture *c, int fd, struct bytes chunk, int64_t now_us)
{
	if (fd == STDERR_FILENO && chunk.n > 0)
		keep_tail(c, chunk);
	if (!c->log)
		return;
	c->fd = fd;
	flood_refill(&c->flood, now_us);
	lines_feed(&c->lines[fd - STDOUT_FILENO], chunk, on_line, c);
}

void capture_end(struct capture *c, int64_t now_us)
{
	flood_refill(&c->flood, now_us);
	for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
		c->fd = fd;
		lines_end(&c->lines[fd - STDOUT_FILENO], on_line, c);
	}
}

bool capture_dropping(const struct capture *c)
{
	return c->flood.dropped_lines > 0;
}

void capture_take_dropped(struct capture *c, int64_t *ret_lines, int64_t *ret_bytes)
{
	*ret_lines = c->flood.dropped_lines;
	*ret_bytes = c->flood.dropped_bytes;
	c->flood.dropped_lines = 0;
	c->flood.dropped_bytes = 0;
}

struct bytes capture_tail(const struct capture *c)
{
	return (struct bytes){ c->tail, c->tail_n };
}
