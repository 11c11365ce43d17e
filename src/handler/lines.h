/* Bytes that come in pieces become lines: what a handler writes on stdout, stderr and fd 3. */
#pragma once

#include <stdbool.h>

#include "base/bytes.h"

enum { LINE_MAX_BYTES = 16 * 1024 }; /* of output; what else a line may have, its reader says */

/* A line without its newline; cut: it was longer, the rest is skipped. The bytes are valid during the call. */
typedef void line_function(void *user, struct bytes line, bool cut);

struct lines {
	size_t n;
	bool skipping; /* the line was cut and handed on: nothing more of it until its newline */
	size_t most; /* bytes a line may have */
	char *held;  /* room for one: the caller's */
};

/* Once, before the first lines_begin. Keeps room, of most bytes; what is not needed of it is never touched. */
void lines_init(struct lines *l, char *room, size_t most);
void lines_begin(struct lines *l);
void lines_feed(struct lines *l, struct bytes chunk, line_function *take, void *user);
/* The end of the file: a last line without a newline is a line too. */
void lines_end(struct lines *l, line_function *take, void *user);
