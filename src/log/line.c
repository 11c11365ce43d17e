/* The two shapes of an event's line. JSON escapes by its own rules; text shows whatever could move a cursor, forge a line or turn the
 * direction of writing as \x.. or \u.... */
#include "log/line.h"

#include <endian.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"

static const char *const level_names[] = { "debug", "info", "notice", "warning", "error" };

const char *level_name(enum event_level level)
{
	return level <= EVENT_ERROR ? level_names[level] : "error";
}

/* ---- JSON ---- */

static void add_text(struct buf *out, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	json_add_name(out, name);
	json_add_text(out, bytes_of(value));
}

static void add_about(struct buf *out, const struct event_about *a)
{
	if (!a)
		return;
	add_text(out, "job", a->job);
	add_text(out, "stream", a->stream);
	add_text(out, "group", a->group);
	add_text(out, "id", a->id);
	if (a->attempt > 0) {
		json_add_name(out, "attempt");
		json_add_i64(out, a->attempt);
	}
	add_text(out, "worker", a->worker);
	if (a->pid > 0) {
		json_add_name(out, "pid");
		json_add_i64(out, a->pid);
	}
}

static void add_value(struct buf *out, const struct event_field *f)
{
	switch (f->type) {
	case FIELD_I64:
		json_add_i64(out, f->number);
		break;
	case FIELD_TEXT:
		if (f->text)
			json_add_text(out, bytes_of(f->text));
		else
			buf_add_text(out, "null");
		break;
	case FIELD_BYTES:
		json_add_text(out, f->bytes);
		break;
	case FIELD_BOOL:
		buf_add_text(out, f->number ? "true" : "false");
		break;
	case FIELD_JSON:
		buf_add_bytes(out, f->bytes);
		break;
	case FIELD_NULL:
	case FIELD_SKIP:
		buf_add_text(out, "null");
		break;
	}
}

void line_json(struct buf *out, const struct line_head *head, const struct event_about *about, const struct event_field *fields, size_t count)
{
	char stamp[CLOCK_STAMP_SIZE];

	clock_stamp(head->wall_us, stamp);
	buf_add_char(out, '{');
	add_text(out, "ts", stamp);
	add_text(out, "level", level_name(head->level));
	add_text(out, "event", head->name);
	add_text(out, "host", head->host);
	add_about(out, about);
	for (size_t i = 0; i < count; i++) {
		if (fields[i].type == FIELD_SKIP)
			continue;
		json_add_name(out, fields[i].name);
		add_value(out, &fields[i]);
	}
	buf_add(out, "}\n", 2);
}

/* ---- text ---- */

/* The code point at p when it must not be shown as it is, else 0; *ret_n its length. The text is valid UTF-8. */
static unsigned unshowable(const unsigned char *p, size_t n, size_t *ret_n)
{
	*ret_n = 1;
	if (p[0] < 0x20 || p[0] == 0x7f)
		return p[0] ? p[0] : 0x110000; /* NUL is shown as \x00 */
	if (n >= 2 && p[0] == 0xc2 && p[1] < 0xa0) { /* C1 */
		*ret_n = 2;
		return p[1];
	}
	if (n >= 2 && p[0] == 0xd8 && p[1] == 0x9c) {
		*ret_n = 2;
		return 0x61c; /* the Arabic letter mark turns directions too */
	}
	if (n < 3 || p[0] != 0xe2)
		return 0;
	unsigned code = (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
	bool separator = code == 0x2028 || code == 0x2029;
	bool bidi = (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code == 0x200e || code == 0x200f;
	*ret_n = 3;
	return separator || bidi ? code : 0;
}

static void add_shown_valid(struct buf *out, struct bytes text)
{
	for (size_t i = 0; i < text.n;) {
		size_t n;
		unsigned code = unshowable((const unsigned char *)text.p + i, text.n - i, &n);
		if (!code)
			buf_add(out, text.p + i, n = 1);
		else if (code < 0x100 || code == 0x110000)
			buf_addf(out, "\\x%02x", code & 0xffu);
		else
			buf_addf(out, "\\u%04x", code);
		i += n;
	}
}

static void add_shown(struct buf *out, struct bytes raw)
{
	if (utf8_valid(raw)) {
		add_shown_valid(out, raw);
		return;
	}
	AUTO_BUF clean = { 0 };
	buf_add_utf8(&clean, raw);
	add_shown_valid(out, buf_bytes(&clean));
}

/* In quotes where its end could not be told otherwise; a quote inside is doubled up by a backslash, and so is a backslash. */
static void add_shown_value(struct buf *out, struct bytes raw)
{
	bool plain = raw.n > 0;
	for (size_t i = 0; plain && i < raw.n; i++)
		plain = raw.p[i] != ' ' && raw.p[i] != '"' && raw.p[i] != '=';
	if (plain) {
		add_shown(out, raw);
		return;
	}
	buf_add_char(out, '"');
	while (raw.n > 0) {
		size_t n = 0;
		while (n < raw.n && raw.p[n] != '"' && raw.p[n] != '\\')
			n++;
		add_shown(out, (struct bytes){ raw.p, n });
		if (n < raw.n) {
			buf_add_char(out, '\\');
			buf_add_char(out, raw.p[n++]);
		}
		raw.p += n;
		raw.n -= n;
	}
	buf_add_char(out, '"');
}

static void add_shown_field(struct buf *out, const struct event_field *f)
{
	switch (f->type) {
	case FIELD_I64:
		json_add_i64(out, f->number);
		break;
	case FIELD_TEXT:
		if (f->text)
			add_shown_value(out, bytes_of(f->text));
		else
			buf_add_char(out, '-');
		break;
	case FIELD_BYTES:
		add_shown_value(out, f->bytes);
		break;
	case FIELD_JSON:
		add_shown(out, f->bytes);
		break;
	case FIELD_BOOL:
		buf_add_text(out, f->number ? "yes" : "no");
		break;
	case FIELD_NULL:
	case FIELD_SKIP:
		buf_add_char(out, '-');
		break;
	}
}

static void add_clock(struct buf *out, int64_t wall_us)
{
	time_t seconds = (time_t)(wall_us / 1000000);
	struct tm tm = { 0 };
	char text[16];

	(void)localtime_r(&seconds, &tm);
	if (strftime(text, sizeof(text), "%H:%M:%S", &tm) == 0)
		text[0] = '\0';
	buf_addf(out, "%s.%03d ", text, (int)(wall_us / 1000 % 1000));
}

static const char *colour_of(enum event_level level, const char *name)
{
	if (level == EVENT_ERROR)
		return "\033[1;31m";
	if (level == EVENT_WARNING)
		return "\033[33m";
	if (strcmp(name, "job.succeeded") == 0)
		return "\033[32m";
	return level == EVENT_NOTICE ? "\033[1m" : "";
}

/* "JOB ID attempt N: what happened name=value …". */
static void add_subject(struct buf *out, const struct event_about *about)
{
	const char *between = "";

	if (about->job) {
		add_shown(out, bytes_of(about->job));
		between = " ";
	}
	if (about->id) {
		buf_add_text(out, between);
		add_shown(out, bytes_of(about->id));
		between = " ";
	}
	if (about->attempt > 0)
		buf_addf(out, "%sattempt %lld", between, (long long)about->attempt);
}

static void line_words(struct buf *out, const char *says, const struct event_about *about, const struct event_field *fields, size_t count)
{
	if (about)
		add_subject(out, about);
	buf_addf(out, ": %s", says);
	for (size_t i = 0; i < count; i++) {
		if (fields[i].type == FIELD_SKIP || (fields[i].type == FIELD_BYTES && fields[i].bytes.n == 0))
			continue;
		buf_addf(out, " %s=", fields[i].name);
		add_shown_field(out, &fields[i]);
	}
}

void line_text(struct buf *out, const struct line_head *head, const char *says, bool colour, const struct event_about *about,
	       const struct event_field *fields, size_t count)
{
	const char *on = colour ? colour_of(head->level, head->name) : "";

	add_clock(out, head->wall_us);
	buf_addf(out, "%s%-7s %-14s%s", on, level_name(head->level), head->name, *on ? "\033[0m" : "");
	if (about && (about->job || about->id || about->attempt > 0))
		buf_add_char(out, ' ');
	line_words(out, says, about, fields, count);
	if (about && about->worker)
		buf_addf(out, " (%s)", about->worker);
	buf_add_char(out, '\n');
}

/* ---- the journal ---- */

/* NAME=value, or, where the value has lines, the name, its length, and the bytes. */
static void add_journal(struct buf *out, const char *prefix, const char *name, struct bytes value)
{
	buf_add_text(out, prefix);
	for (const char *c = name; *c; c++)
		buf_add_char(out, *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c);
	if (memchr(value.p ? value.p : "", '\n', value.n)) {
		uint64_t size = htole64(value.n);
		buf_add_char(out, '\n');
		buf_add(out, &size, sizeof(size));
	} else {
		buf_add_char(out, '=');
	}
	buf_add_bytes(out, value);
	buf_add_char(out, '\n');
}

static void add_journal_text(struct buf *out, const char *name, const char *text)
{
	if (text && *text)
		add_journal(out, "XACKD_", name, bytes_of(text));
}

static void add_journal_number(struct buf *out, const char *prefix, const char *name, int64_t number)
{
	char text[24];
	snprintf(text, sizeof(text), "%lld", (long long)number);
	add_journal(out, prefix, name, bytes_of(text));
}

static void add_journal_about(struct buf *out, const struct event_about *a)
{
	add_journal_text(out, "job", a->job);
	add_journal_text(out, "stream", a->stream);
	add_journal_text(out, "group", a->group);
	add_journal_text(out, "id", a->id);
	if (a->attempt > 0)
		add_journal_number(out, "XACKD_", "attempt", a->attempt);
	add_journal_text(out, "worker", a->worker);
	if (a->pid > 0)
		add_journal_number(out, "XACKD_", "pid", a->pid);
}

static void add_journal_field(struct buf *out, const struct event_field *f)
{
	switch (f->type) {
	case FIELD_I64:
		add_journal_number(out, "XACKD_", f->name, f->number);
		break;
	case FIELD_TEXT:
		add_journal_text(out, f->name, f->text);
		break;
	case FIELD_BYTES:
	case FIELD_JSON:
		add_journal(out, "XACKD_", f->name, f->bytes);
		break;
	case FIELD_BOOL:
		add_journal(out, "XACKD_", f->name, bytes_of(f->number ? "true" : "false"));
		break;
	case FIELD_NULL:
	case FIELD_SKIP:
		break;
	}
}

/* A handler's line is the message itself: that is what people look for. */
static const struct event_field *output_line(const struct line_head *head, const struct event_field *fields, size_t count)
{
	for (size_t i = 0; strcmp(head->name, "job.output") == 0 && i < count; i++) {
		if (fields[i].type != FIELD_SKIP && strcmp(fields[i].name, "line") == 0)
			return &fields[i];
	}
	return NULL;
}

void line_journal(struct buf *out, const struct line_head *head, const struct line_kind *kind, const struct event_about *about,
		  const struct event_field *fields, size_t count)
{
	static const int priorities[] = { 7, 6, 5, 4, 3 }; /* syslog's, by level */
	const struct event_field *line = output_line(head, fields, count);
	AUTO_BUF message = { 0 };

	if (line) {
		if (about)
			add_subject(&message, about);
		buf_add_text(&message, ": ");
		add_shown(&message, line->type == FIELD_BYTES ? line->bytes : bytes_of(line->text ? line->text : ""));
	} else {
		line_words(&message, kind->says, about, fields, count);
	}
	struct bytes words = buf_bytes(&message);
	if (words.n > 2 && words.p[0] == ':') /* about nothing in particular */
		words = (struct bytes){ words.p + 2, words.n - 2 };
	add_journal(out, "", "MESSAGE", words);
	add_journal(out, "", "MESSAGE_ID", bytes_of(kind->message_id));
	add_journal_number(out, "", "PRIORITY", priorities[head->level <= EVENT_ERROR ? head->level : EVENT_ERROR]);
	add_journal(out, "", "SYSLOG_IDENTIFIER", bytes_of("xackd"));
	add_journal_text(out, "event", head->name);
	add_journal_text(out, "host", head->host);
	if (about)
		add_journal_about(out, about);
	for (size_t i = 0; i < count; i++)
		add_journal_field(out, &fields[i]);
	out->failed = out->failed || message.failed;
}
