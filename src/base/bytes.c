/* The growing buffer, UTF-8 and base64. Growth doubles, so that a builder's cost stays linear. */
#include "base/bytes.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>

int buf_reserve(struct buf *b, size_t n)
{
	if (b->failed)
		return -ENOMEM;
	if (n < b->cap - b->n && b->p)
		return 0;
	size_t wanted = b->cap ? b->cap : 64;
	if (n > SIZE_MAX / 4 - b->n) {
		b->failed = true;
		return -ENOMEM;
	}
	while (wanted <= b->n + n)
		wanted *= 2;
	char *grown = realloc(b->p, wanted);
	if (!grown) {
		b->failed = true;
		return -ENOMEM;
	}
	b->p = grown;
	b->cap = wanted;
	return 0;
}

void buf_add_growing(struct buf *b, const void *p, size_t n)
{
	if (buf_reserve(b, n) < 0)
		return;
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}

void buf_addf(struct buf *b, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n < 0 || buf_reserve(b, (size_t)n) < 0) {
		b->failed = true;
		return;
	}
	va_start(args, format);
	(void)vsnprintf(b->p + b->n, (size_t)n + 1, format, args);
	va_end(args);
	b->n += (size_t)n;
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->failed = false;
	if (b->p)
		b->p[0] = '\0';
}

void buf_done(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ 0 };
}

char *buf_take(struct buf *b)
{
	if (b->failed || buf_reserve(b, 1) < 0) {
		buf_done(b);
		return NULL;
	}
	char *p = b->p;
	p[b->n] = '\0';
	*b = (struct buf){ 0 };
	return p;
}

/* ---- UTF-8 ---- */

/* Length of the valid sequence at p (1 to 4), 0 if there is none. */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
	static const struct {
		unsigned char low, high; /* of the lead byte */
		unsigned char second_low, second_high;
		size_t length;
	} rows[] = {
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	if (p[0] < 0x80)
		return 1;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (p[0] < rows[i].low || p[0] > rows[i].high)
			continue;
		if (n < rows[i].length || p[1] < rows[i].second_low || p[1] > rows[i].second_high)
			return 0;
		for (size_t k = 2; k < rows[i].length; k++) {
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		}
		return rows[i].length;
	}
	return 0;
}

/* Eight bytes of ASCII at once: what most payloads are made of. */
static bool ascii_word(const unsigned char *p, size_t n)
{
	uint64_t word;
	if (n < sizeof(word))
		return false;
	memcpy(&word, p, sizeof(word));
	return (word & 0x8080808080808080u) == 0;
}

bool utf8_valid(struct bytes text)
{
	const unsigned char *p = (const unsigned char *)text.p;
	for (size_t i = 0; i < text.n;) {
		if (ascii_word(p + i, text.n - i)) {
			i += sizeof(uint64_t);
			continue;
		}
		size_t k = utf8_sequence(p + i, text.n - i);
		if (k == 0)
			return false;
		i += k;
	}
	return true;
}

void buf_add_utf8(struct buf *b, struct bytes text)
{
	const unsigned char *p = (const unsigned char *)text.p;
	size_t good = 0; /* start of the valid run that was not added yet */
	size_t i = 0;
	while (i < text.n) {
		size_t k = utf8_sequence(p + i, text.n - i);
		if (k > 0) {
			i += k;
			continue;
		}
		buf_add(b, text.p + good, i - good);
		buf_add(b, "\xef\xbf\xbd", 3);
		good = ++i;
	}
	if (text.n > good)
		buf_add(b, text.p + good, text.n - good);
}

/* ---- base64 ---- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void buf_add_base64(struct buf *b, struct bytes data)
{
	const unsigned char *p = (const unsigned char *)data.p;
	if (buf_reserve(b, data.n / 3 * 4 + 8) < 0)
		return;
	for (size_t i = 0; i < data.n; i += 3) {
		size_t left = data.n - i;
		uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (left > 2 ? p[i + 2] : 0);
		b->p[b->n++] = alphabet[v >> 18];
		b->p[b->n++] = alphabet[v >> 12 & 63];
		b->p[b->n++] = left > 1 ? alphabet[v >> 6 & 63] : '=';
		b->p[b->n++] = left > 2 ? alphabet[v & 63] : '=';
	}
	b->p[b->n] = '\0';
}

static int base64_value(char c)
{
	const char *at = c ? strchr(alphabet, c) : NULL;
	return at ? (int)(at - alphabet) : -1;
}

int buf_add_base64_decoded(struct buf *b, struct bytes text)
{
	if (text.n % 4 != 0)
		return -EINVAL;
	for (size_t i = 0; i < text.n; i += 4) {
		bool last = i + 4 == text.n;
		int pad = !last ? 0 : text.p[i + 2] == '=' ? 2 : text.p[i + 3] == '=' ? 1 : 0;
		uint32_t v = 0;
		for (int k = 0; k < 4; k++) {
			int bits = k >= 4 - pad ? (text.p[i + (size_t)k] == '=' ? 0 : -1) : base64_value(text.p[i + (size_t)k]);
			if (bits < 0)
				return -EINVAL;
			v = v << 6 | (uint32_t)bits;
		}
		const char out[3] = { (char)(v >> 16), (char)(v >> 8), (char)v };
		buf_add(b, out, (size_t)(3 - pad));
	}
	return b->failed ? -ENOMEM : 0;
}
