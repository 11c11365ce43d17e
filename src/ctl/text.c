/* Escaping and measuring of text for terminals. Widths come from wcwidth in the locale that output.c has set
 * for this thread (C.UTF-8); without one, everything beyond ASCII is spelled out, so that widths are right in
 * any case. */
#include "ctl/text.h"

#include <inttypes.h>
#include <wchar.h>

#include "base/clock.h"

/* Decode one character. Its length, or 0 where the bytes are no UTF-8. */
static size_t decode(struct bytes text, uint32_t *ret_code)
{
	const unsigned char *p = (const unsigned char *)text.p;
	size_t length = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (length > text.n || !utf8_valid((struct bytes){ text.p, length }))
		return 0;
	uint32_t code = length == 1 ? p[0] : p[0] & (0x7fU >> length);
	for (size_t i = 1; i < length; i++)
		code = code << 6 | (p[i] & 0x3fU);
	*ret_code = code;
	return length;
}

/* Characters that have no looks of their own: they reorder, join, hide or tag what stands beside them. */
static bool is_hidden(uint32_t code)
{
	static const uint32_t ranges[][2] = {
		{ 0x00ad, 0x00ad },    { 0x034f, 0x034f }, { 0x0600, 0x0605 },   { 0x061c, 0x061c },
		{ 0x06dd, 0x06dd },    { 0x070f, 0x070f }, { 0x115f, 0x1160 },   { 0x17b4, 0x17b5 },
		{ 0x180b, 0x180f },    { 0x200b, 0x200f }, { 0x2028, 0x202e },   { 0x2060, 0x206f },
		{ 0x3164, 0x3164 },    { 0xd800, 0xf8ff }, { 0xfe00, 0xfe0f },   { 0xfeff, 0xfeff },
		{ 0xffa0, 0xffa0 },    { 0xfff0, 0xfffb }, { 0x1bca0, 0x1bca3 }, { 0x1d173, 0x1d17a },
		{ 0xe0000, 0x10ffff },
	};
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		if (code >= ranges[i][0] && code <= ranges[i][1])
			return true;
	}
	return false;
}

static bool is_plain(uint32_t code, bool unicode)
{
	if (code < 0x80)
		return code >= 0x20 && code != 0x7f;
	return unicode && code >= 0xa0 && !is_hidden(code) && wcwidth((wchar_t)code) >= 0;
}

static void add_spelled_out(struct buf *out, uint32_t code)
{
	if (code == '\n')
		buf_add_text(out, "\\n");
	else if (code == '\t')
		buf_add_text(out, "\\t");
	else if (code == '\r')
		buf_add_text(out, "\\r");
	else if (code < 0x80)
		buf_addf(out, "\\x%02" PRIx32, code);
	else
		buf_addf(out, "\\u{%" PRIx32 "}", code);
}

void text_escape(struct buf *out, struct bytes text, bool unicode, size_t max_bytes)
{
	size_t i = 0;
	while (i < text.n && i < max_bytes) {
		uint32_t code = 0;
		size_t length = decode((struct bytes){ text.p + i, text.n - i }, &code);
		if (length == 0) {
			buf_addf(out, "\\x%02x", (unsigned char)text.p[i]);
			i++;
			continue;
		}
		if (code == '\\')
			buf_add_text(out, "\\\\");
		else if (is_plain(code, unicode))
			buf_add(out, text.p + i, length);
		else
			add_spelled_out(out, code);
		i += length;
	}
	if (i < text.n)
		buf_addf(out, "%s (%zu bytes)", unicode ? "…" : "...", text.n);
}

static size_t char_width(uint32_t code)
{
	if (code < 0x80)
		return 1;
	int width = wcwidth((wchar_t)code);
	return width > 0 ? (size_t)width : 0;
}

size_t text_width(struct bytes text)
{
	size_t width = 0;
	for (size_t i = 0; i < text.n;) {
		uint32_t code = 0;
		size_t length = decode((struct bytes){ text.p + i, text.n - i }, &code);
		width += length ? char_width(code) : 1;
		i += length ? length : 1;
	}
	return width;
}

void text_cut(struct buf *out, struct bytes text, size_t width, bool unicode)
{
	if (text_width(text) <= width) {
		buf_add_bytes(out, text);
		return;
	}
	const char *mark = unicode ? "…" : "~";
	size_t used = 0;
	for (size_t i = 0; i < text.n;) {
		uint32_t code = 0;
		size_t length = decode((struct bytes){ text.p + i, text.n - i }, &code);
		if (length == 0)
			break;
		used += char_width(code);
		if (used + 1 > width)
			break;
		buf_add(out, text.p + i, length);
		i += length;
	}
	if (width > 0)
		buf_add_text(out, mark);
}

size_t text_fitting(struct bytes text, size_t width)
{
	size_t used = 0, i = 0;
	while (i < text.n) {
		uint32_t code = 0;
		size_t length = decode((struct bytes){ text.p + i, text.n - i }, &code);
		used += length ? char_width(code) : 1;
		if (used > width && i > 0)
			break;
		i += length ? length : 1;
	}
	return i;
}

bool text_begins_combining(struct bytes text)
{
	uint32_t code = 0;
	return text.n > 0 && decode(text, &code) > 0 && char_width(code) == 0;
}

void text_escape_json(struct buf *out, struct bytes json, bool unicode)
{
	for (size_t i = 0; i < json.n;) {
		uint32_t code = 0;
		size_t length = decode((struct bytes){ json.p + i, json.n - i }, &code);
		if (length == 0) {
			buf_add_text(out, "\\ufffd");
			i++;
			continue;
		}
		if (code < 0x80 ? code != 0x7f : is_plain(code, unicode))
			buf_add(out, json.p + i, length);
		else if (code < 0x10000)
			buf_addf(out, "\\u%04" PRIx32, code);
		else
			buf_addf(out, "\\u%04" PRIx32 "\\u%04" PRIx32, 0xd800 + ((code - 0x10000) >> 10),
				 0xdc00 + ((code - 0x10000) & 0x3ff));
		i += length;
	}
}

void text_add_duration(struct buf *out, int64_t ms)
{
	enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };
	if (ms < 0) {
		buf_add_char(out, '-');
		ms = ms == INT64_MIN ? INT64_MAX : -ms;
	}
	if (ms < SECOND)
		buf_addf(out, "%" PRId64 " ms", ms);
	else if (ms < MINUTE)
		buf_addf(out, "%" PRId64 ".%" PRId64 " s", ms / SECOND, ms % SECOND / 100);
	else if (ms < HOUR)
		buf_addf(out, "%" PRId64 " m %" PRId64 " s", ms / MINUTE, ms % MINUTE / SECOND);
	else if (ms < DAY)
		buf_addf(out, "%" PRId64 " h %" PRId64 " m", ms / HOUR, ms % HOUR / MINUTE);
	else
		buf_addf(out, "%" PRId64 " d %" PRId64 " h", ms / DAY, ms % DAY / HOUR);
}

void text_add_time(struct buf *out, int64_t unix_ms)
{
	enum { DATE_CHARS = 10, TIME_CHARS = 8, FAR_FUTURE_S = 200000000 };
	if (unix_ms < 0 || unix_ms / 1000 / 60 > FAR_FUTURE_S) { /* beyond the year 2350 it is no time */
		buf_addf(out, "%" PRId64, unix_ms);
		return;
	}
	char stamp[CLOCK_STAMP_SIZE];
	clock_stamp(unix_ms * 1000, stamp);
	buf_addf(out, "%.*s %.*sZ", DATE_CHARS, stamp, TIME_CHARS, stamp + DATE_CHARS + 1);
}
