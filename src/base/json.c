/* Writing JSON into a buffer without a document, and jansson with our rules. */
#include "base/json.h"

#include <stdio.h>

#include "base/num.h"

/* What must not appear as it is: quotes, backslash, C0, DEL, and, beyond JSON's own rules, C1 and the line separators, so that an
 * event can be shown by any tool. Returns the length of the character at p and whether it is to be escaped. */
static size_t escaped_length(const unsigned char *p, size_t n, unsigned *ret_code)
{
	*ret_code = 0;
	if (*p < 0x20 || *p == '"' || *p == '\\' || *p == 0x7f) {
		*ret_code = *p;
		return 1;
	}
	if (n >= 2 && p[0] == 0xc2 && p[1] < 0xa0) {
		*ret_code = p[1];
		return 2;
	}
	if (n >= 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9)) {
		*ret_code = 0x2000u + (p[2] & 0x3fu);
		return 3;
	}
	return 1;
}

static void add_escape(struct buf *b, unsigned code)
{
	static const char names[] = "\"\"\\\\\nn\rr\tt\bb\ff";
	char text[8];

	for (const char *at = names; *at && code < 0x80; at += 2) {
		if ((unsigned char)at[0] == code) {
			text[0] = '\\';
			text[1] = at[1];
			buf_add(b, text, 2);
			return;
		}
	}
	snprintf(text, sizeof(text), "\\u%04x", code & 0xffffu);
	buf_add(b, text, 6);
}

static void add_valid(struct buf *b, struct bytes text)
{
	const unsigned char *p = (const unsigned char *)text.p;
	size_t plain = 0;
	size_t i = 0;

	while (i < text.n) {
		unsigned code = 0;
		size_t n = escaped_length(p + i, text.n - i, &code);
		if (code || p[i] == 0) {
			buf_add(b, text.p + plain, i - plain);
			add_escape(b, code);
			plain = i + n;
		}
		i += n;
	}
	if (text.n > plain)
		buf_add(b, text.p + plain, text.n - plain);
}

/* Printable ASCII without quotes and backslashes, as most of all text is: it goes in as it is. */
static bool is_plain(struct bytes text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
			return false;
	}
	return true;
}

void json_add_text(struct buf *b, struct bytes text)
{
	buf_add_char(b, '"');
	if (is_plain(text)) {
		buf_add_bytes(b, text);
	} else if (utf8_valid(text)) {
		add_valid(b, text);
	} else {
		AUTO_BUF clean = { 0 };
		buf_add_utf8(&clean, text);
		if (clean.failed)
			b->failed = true;
		add_valid(b, buf_bytes(&clean));
	}
	buf_add_char(b, '"');
}

void json_add_name(struct buf *b, const char *name)
{
	if (b->n > 0 && b->p[b->n - 1] != '{')
		buf_add_char(b, ',');
	buf_add_char(b, '"');
	buf_add_text(b, name);
	buf_add(b, "\":", 2);
}

void json_add_i64(struct buf *b, int64_t value)
{
	char text[NUM_TEXT_SIZE];
	size_t n = num_i64_text(value, text);
	buf_add(b, text, n);
}

static json_t *parse(struct bytes text, size_t more)
{
	json_error_t error;
	return json_loadb(text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY | more, &error);
}

json_t *json_parse(struct bytes text)
{
	return parse(text, 0);
}

json_t *json_parse_reals(struct bytes text)
{
	return parse(text, JSON_DECODE_INT_AS_REAL);
}

json_t *json_text(struct bytes text)
{
	json_t *j = json_stringn(text.p ? text.p : "", text.n);
	if (j)
		return j;
	AUTO_BUF clean = { 0 };
	buf_add_utf8(&clean, text);
	return clean.failed ? NULL : json_stringn(clean.p ? clean.p : "", clean.n);
}
