/* Collecting errors. The files are hostile: what is kept is bounded, and every text from them is escaped
 * before it stands in a line. */
#include "config/report.h"

#include <stdint.h>
#include <stdio.h>

enum {
	SHOWN = 50,
	KEPT = 2000, /* sorted by place before the first fifty are chosen; a file with more has one cause */
	PATH_DEPTH = 16, /* deeper than any key of the table */
};

struct complaint {
	struct complaint *next;
	struct place at;
	size_t number;
	const char *text;
};

static bool is_control(const unsigned char *p, size_t left)
{
	return *p < 0x20 || *p == 0x7f || (*p == 0xc2 && left > 1 && p[1] >= 0x80 && p[1] < 0xa0);
}

/* Add text with what could disturb a terminal or a line as \xNN; at most limit bytes of output. True if all
 * of it fitted. */
static bool add_escaped(char *out, size_t limit, size_t *used, const char *text, size_t length)
{
	const unsigned char *p = (const unsigned char *)text;

	for (size_t i = 0; i < length; i++) {
		bool escape = is_control(p + i, length - i);
		size_t need = escape ? 4 : 1;

		if (*used + need > limit)
			return false;
		if (escape)
			(void)snprintf(out + *used, 5, "\\x%02x", p[i]);
		else
			out[*used] = (char)p[i];
		*used += need;
	}
	return true;
}

const char *quote_text(struct quote *q, const char *text, size_t length)
{
	enum { TAIL = 5 }; /* of `..."` and the NUL */
	size_t used = 0;

	q->text[used++] = '"';
	bool whole = add_escaped(q->text, sizeof(q->text) - TAIL, &used, text, length);
	if (!whole) {
		/* Not in the middle of a character. */
		while (used > 1 && ((unsigned char)q->text[used - 1] & 0xc0) == 0x80)
			used--;
		if (used > 1 && (unsigned char)q->text[used - 1] >= 0xc0)
			used--;
		memcpy(q->text + used, "...", 3);
		used += 3;
	}
	q->text[used++] = '"';
	q->text[used] = '\0';
	return q->text;
}

static void add_path(struct buf *out, const struct key_path *path)
{
	const struct key_path *step[PATH_DEPTH];
	size_t depth = 0;

	for (; path && depth < PATH_DEPTH; path = path->up)
		step[depth++] = path;

	for (size_t i = depth; i-- > 0;) {
		if (!step[i]->name) {
			buf_addf(out, "[%zu]", step[i]->index);
			continue;
		}
		if (i + 1 < depth)
			buf_add_char(out, '.');

		struct quote q;
		const char *name = quote_text(&q, step[i]->name, strlen(step[i]->name));
		buf_add(out, name + 1, strlen(name) - 2);
	}
}

void report_add(struct report *r, struct place at, const struct key_path *path, const char *format, ...)
{
	va_list arguments;
	char sentence[1024], safe[2048];
	size_t length = 0;
	AUTO_BUF line = { 0 };

	if (r->count++ >= KEPT)
		return;

	va_start(arguments, format);
	(void)vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);

	if (path) {
		add_path(&line, path);
		buf_add_text(&line, ": ");
	}
	/* It may hold words of the configuration. */
	(void)add_escaped(safe, sizeof(safe), &length, sentence, strlen(sentence));
	buf_add(&line, safe, length);

	struct complaint *c = line.failed ? NULL : arena_alloc(r->arena, sizeof(*c));
	char *text = c ? arena_text(r->arena, line.p, line.n) : NULL;
	if (!text) {
		r->no_memory = true;
		return;
	}
	*c = (struct complaint){ .at = at, .number = r->count, .text = text };
	if (r->last)
		r->last->next = c;
	else
		r->first = c;
	r->last = c;
}

static int compare_complaints(const void *left, const void *right)
{
	const struct complaint *a = *(const struct complaint *const *)left;
	const struct complaint *b = *(const struct complaint *const *)right;

	if (a->at.file != b->at.file)
		return a->at.file < b->at.file ? -1 : 1;
	if (a->at.line != b->at.line)
		return a->at.line < b->at.line ? -1 : 1;
	if (a->at.column != b->at.column)
		return a->at.column < b->at.column ? -1 : 1;
	return a->number < b->number ? -1 : a->number > b->number;
}

void report_write(const struct report *r, const char *(*name_of)(const void *user, unsigned file),
		  const void *user, struct buf *out)
{
	AUTO_FREE const struct complaint **list = calloc(KEPT, sizeof(*list));
	size_t count = 0;

	if (!list) {
		out->failed = true;
		return;
	}
	for (const struct complaint *c = r->first; c && count < KEPT; c = c->next)
		list[count++] = c;
	qsort(list, count, sizeof(*list), compare_complaints);

	for (size_t i = 0; i < count && i < SHOWN; i++) {
		const struct place *at = &list[i]->at;

		buf_add_text(out, name_of(user, at->file));
		if (at->line)
			buf_addf(out, ":%u:%u", at->line, at->column);
		buf_addf(out, ": %s\n", list[i]->text);
	}
	if (r->count > SHOWN)
		buf_addf(out, "and %zu more errors\n", r->count - SHOWN);
}
