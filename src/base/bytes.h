/* Byte strings of known length (a field, a reply, a line: may hold NUL), and a growing buffer. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/attr.h"

struct bytes {
	const char *p; /* never owned by this struct; not NUL-terminated */
	size_t n;
};

static inline struct bytes bytes_of(const char *text)
{
	return (struct bytes){ text, text ? strlen(text) : 0 };
}

static inline bool bytes_eq(struct bytes a, struct bytes b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* A growing buffer. Zero-initialise; buf_done() frees. One failed growth makes the buffer
 * `failed`: all later additions are ignored, so a builder may check once at its end. */
struct buf {
	char *p; /* always NUL-terminated behind n bytes once anything was added */
	size_t n;
	size_t cap;
	bool failed;
};

void buf_add_growing(struct buf *b, const void *p, size_t n); /* what buf_add does when there is no room */

static inline void buf_add(struct buf *b, const void *p, size_t n)
{
	if (b->failed || !b->p || n >= b->cap - b->n) {
		buf_add_growing(b, p, n);
		return;
	}
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}

static inline void buf_add_bytes(struct buf *b, struct bytes bytes)
{
	buf_add(b, bytes.p, bytes.n);
}

static inline void buf_add_text(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

static inline void buf_add_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_addf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
/* Grow so that n more bytes fit. 0 or -ENOMEM. */
int buf_reserve(struct buf *b, size_t n);
/* Keep the memory, forget the content. */
void buf_clear(struct buf *b);
void buf_done(struct buf *b);
/* Gives the content (caller frees) and leaves b empty; NULL when failed. Never NULL for an empty good buffer. */
char *buf_take(struct buf *b);

static inline struct bytes buf_bytes(const struct buf *b)
{
	return (struct bytes){ b->p ? b->p : "", b->n };
}

#define AUTO_BUF __attribute__((cleanup(buf_done))) struct buf

/* True if every byte of it is valid UTF-8 (no surrogates, no overlong forms; NUL is valid). */
bool utf8_valid(struct bytes text);
/* Add text with each invalid byte as U+FFFD. */
void buf_add_utf8(struct buf *b, struct bytes text);
/* Add the standard base64 (RFC 4648, with padding) of data. */
void buf_add_base64(struct buf *b, struct bytes data);
/* Decode it. 0, -EINVAL, -ENOMEM. */
MUST_CHECK int buf_add_base64_decoded(struct buf *b, struct bytes text);
