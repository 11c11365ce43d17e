/* Splitting at newlines. A line that lies whole in a chunk is handed on where it is; only what is unfinished is copied. A line that grows
 * beyond the limit is handed on as soon as that is known, so that a handler that never writes a newline needs no memory. */
#include "handler/lines.h"

void lines_init(struct lines *l, char *room, size_t most)
{
	l->held = room;
	l->most = most;
}

void lines_begin(struct lines *l)
{
	l->n = 0;
	l->skipping = false;
}

/* A piece of a line that does not end in it. */
static void hold(struct lines *l, struct bytes piece, line_function *take, void *user)
{
	size_t room = l->most - l->n;

	if (l->skipping)
		return;
	if (piece.n <= room) {
		memcpy(l->held + l->n, piece.p, piece.n);
		l->n += piece.n;
		return;
	}
	memcpy(l->held + l->n, piece.p, room);
	take(user, (struct bytes){ l->held, l->most }, true);
	l->n = 0;
	l->skipping = true;
}

/* The piece that ends a line. */
static void finish(struct lines *l, struct bytes piece, line_function *take, void *user)
{
	if (l->n == 0 && !l->skipping) {
		bool cut = piece.n > l->most;
		take(user, (struct bytes){ piece.p, cut ? l->most : piece.n }, cut);
		return;
	}
	hold(l, piece, take, user);
	if (!l->skipping)
		take(user, (struct bytes){ l->held, l->n }, false);
	lines_begin(l);
}

void lines_feed(struct lines *l, struct bytes chunk, line_function *take, void *user)
{
	while (chunk.n > 0) {
		const char *newline = memchr(chunk.p, '\n', chunk.n);
		size_t n = newline ? (size_t)(newline - chunk.p) : chunk.n;
		if (!newline) {
			hold(l, chunk, take, user);
			return;
		}
		finish(l, (struct bytes){ chunk.p, n }, take, user);
		chunk.p += n + 1;
		chunk.n -= n + 1;
	}
}

void lines_end(struct lines *l, line_function *take, void *user)
{
	if (l->n > 0 && !l->skipping)
		take(user, (struct bytes){ l->held, l->n }, false);
	lines_begin(l);
}
