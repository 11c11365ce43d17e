/* A result that a handler gave for its entry: any bytes, kept in Redis for a while when the entry is
 * acknowledged. */
#pragma once

#include <stddef.h>

#include "base/bytes.h"

enum { RESULT_MAX_BYTES = 64 * 1024 };

enum result_state {
	RESULT_NONE,
	RESULT_GIVEN,
	RESULT_TOO_LONG,  /* longer than RESULT_MAX_BYTES: it is not kept, and that is told */
	RESULT_NO_MEMORY, /* likewise */
};

/* Zero-initialise; result_done() frees. */
struct result {
	enum result_state state;
	char *text; /* owned; only when GIVEN */
	size_t n;
};

/* Takes the place of what was there. */
void result_set(struct result *r, struct bytes text);
void result_too_long(struct result *r);
/* Gives what is there, and leaves r empty. */
struct result result_take(struct result *r);
void result_done(struct result *r);
/* Why it cannot be kept, in words; NULL: nothing is wrong with it. */
const char *result_why_not(const struct result *r);

static inline struct bytes result_bytes(const struct result *r)
{
	return (struct bytes){ r->text, r->n };
}
