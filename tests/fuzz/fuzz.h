/* What the fuzzers share: the entry point's declaration, and input taken piece by piece. A broken promise ends in abort(). */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROMISED(condition)                                                                                  \
	do {                                                                                                 \
		if (!(condition))                                                                            \
			abort();                                                                             \
	} while (0)

/* Up to the separator, which is skipped. */
static inline struct bytes next_piece(struct bytes *rest, char separator)
{
	const char *end = rest->n ? memchr(rest->p, separator, rest->n) : NULL;
	struct bytes piece = { rest->p, end ? (size_t)(end - rest->p) : rest->n };
	size_t used = piece.n + (end ? 1 : 0);

	rest->p += used;
	rest->n -= used;
	return piece;
}

static inline unsigned char next_byte(struct bytes *rest)
{
	if (rest->n == 0)
		return 0;
	rest->n--;
	return (unsigned char)*rest->p++;
}
