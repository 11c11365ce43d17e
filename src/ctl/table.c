/* Tables that fit the terminal. The first rows wait until their widths are known; the widths then stay, so
 * that a long list flows. When all columns together are too wide, the elastic ones give way, the widest
 * first; a pipe gets everything uncut. */
#include "ctl/table.h"

#include <errno.h>
#include <inttypes.h>

#include "ctl/text.h"

enum {
	FITTED_ROWS = 300, /* looked at for the widths */
	GAP = 2,           /* blanks between columns */
	LEAST_ELASTIC = 8,
	LIST_VALUE_BYTES = 400, /* of one value in a list */
	RECORD_VALUE_BYTES = 16384,
};

static const char tone_end[] = "\033[0m";

static const char *tone_code(enum tone tone)
{
	static const char *const codes[] = {
		[TONE_PLAIN] = "",       [TONE_GOOD] = "\033[32m", [TONE_WARN] = "\033[33m",
		[TONE_BAD] = "\033[31m", [TONE_HEAD] = "\033[1m",
	};
	return codes[tone];
}

/* "name=value name=value", cut where a list has seen enough. */
static void add_pairs(struct buf *out, const struct entry *entry, bool unicode)
{
	if (entry->pair_count == 0)
		buf_add_char(out, '-');
	for (size_t i = 0; i < entry->pair_count && out->n < LIST_VALUE_BYTES; i++) {
		if (i > 0)
			buf_add_char(out, ' ');
		text_escape(out, entry->pairs[i].name, unicode, LIST_VALUE_BYTES);
		buf_add_char(out, '=');
		text_escape(out, entry->pairs[i].value, unicode, LIST_VALUE_BYTES);
	}
}

static void add_cell(struct buf *out, const struct cell *cell, enum show show, bool unicode, size_t max_bytes)
{
	switch (cell->kind) {
	case CELL_NULL:
		buf_add_char(out, '-');
		return;
	case CELL_NUMBER:
		if (show == SHOW_DURATION)
			text_add_duration(out, cell->number);
		else if (show == SHOW_TIME)
			text_add_time(out, cell->number);
		else
			buf_addf(out, "%" PRId64, cell->number);
		return;
	case CELL_FLAG:
		buf_add_text(out, cell->number ? "yes" : "no");
		return;
	case CELL_TEXT:
		text_escape(out, cell->text, unicode, max_bytes);
		return;
	case CELL_JSON:
		if (cell->shown.n == 0)
			buf_add_char(out, '-');
		text_escape(out, cell->shown, unicode, max_bytes);
		return;
	case CELL_PAIRS:
		add_pairs(out, cell->entry, unicode);
		return;
	}
}

void table_cell(struct buf *out, const struct cell *cell, enum show show, bool unicode)
{
	add_cell(out, cell, show, unicode, LIST_VALUE_BYTES);
}

int table_begin(struct list *l)
{
	l->pending = calloc(l->n * FITTED_ROWS, sizeof(*l->pending));
	l->tones = calloc(l->n * FITTED_ROWS, sizeof(*l->tones));
	if (l->pending && l->tones)
		return 0;
	free(l->pending);
	free(l->tones);
	l->pending = NULL;
	l->tones = NULL;
	return -ENOMEM;
}

static size_t total_width(const struct list *l)
{
	size_t total = 0;
	for (size_t i = 0; i < l->n; i++) {
		if (l->columns[i].title)
			total += l->widths[i] + (total ? GAP : 0);
	}
	return total;
}

/* Take from the widest elastic column, one by one, until it fits or nothing gives way any more. */
static void fit(struct list *l)
{
	while (l->output->width && total_width(l) > l->output->width) {
		size_t widest = l->n;
		for (size_t i = 0; i < l->n; i++) {
			if (l->columns[i].title && l->columns[i].elastic && l->widths[i] > LEAST_ELASTIC &&
			    (widest == l->n || l->widths[i] > l->widths[widest]))
				widest = i;
		}
		if (widest == l->n)
			return;
		l->widths[widest]--;
	}
}

static bool is_last(const struct list *l, size_t column)
{
	for (size_t i = column + 1; i < l->n; i++) {
		if (l->columns[i].title)
			return false;
	}
	return true;
}

static void print_row(struct list *l, const struct buf *cells, const enum tone *tones)
{
	struct output *o = l->output;
	AUTO_BUF line = { 0 };
	bool first = true;
	for (size_t i = 0; i < l->n; i++) {
		if (!l->columns[i].title)
			continue;
		if (!first)
			buf_addf(&line, "%*s", GAP, "");
		first = false;
		AUTO_BUF cell = { 0 };
		if (o->width)
			text_cut(&cell, buf_bytes(&cells[i]), l->widths[i], o->unicode);
		else
			buf_add_bytes(&cell, buf_bytes(&cells[i]));
		bool coloured = o->colour && tones[i] != TONE_PLAIN;
		if (coloured)
			buf_add_text(&line, tone_code(tones[i]));
		buf_add_bytes(&line, buf_bytes(&cell));
		if (coloured)
			buf_add_text(&line, tone_end);
		size_t width = text_width(buf_bytes(&cell));
		if (width < l->widths[i] && !is_last(l, i))
			buf_addf(&line, "%*s", (int)(l->widths[i] - width), "");
	}
	buf_add_char(&line, '\n');
	output_write(o, buf_bytes(&line));
}

static void print_titles(struct list *l)
{
	struct buf *cells = calloc(l->n, sizeof(*cells));
	enum tone *tones = calloc(l->n, sizeof(*tones));
	for (size_t i = 0; cells && tones && i < l->n; i++) {
		buf_add_text(&cells[i], l->columns[i].title ? l->columns[i].title : "");
		tones[i] = TONE_HEAD;
	}
	if (cells && tones)
		print_row(l, cells, tones);
	for (size_t i = 0; cells && i < l->n; i++)
		buf_done(&cells[i]);
	free(cells);
	free(tones);
}

static void settle_widths(struct list *l)
{
	l->widths = calloc(l->n, sizeof(*l->widths));
	if (!l->widths) {
		l->output->failed = true;
		l->output->error = ENOMEM;
		return;
	}
	for (size_t i = 0; i < l->n; i++) {
		l->widths[i] = l->columns[i].title ? strlen(l->columns[i].title) : 0;
		for (size_t row = 0; row < l->pending_rows; row++) {
			size_t width = text_width(buf_bytes(&l->pending[row * l->n + i]));
			if (width > l->widths[i])
				l->widths[i] = width;
		}
	}
	fit(l);
}

static void release_pending(struct list *l)
{
	if (l->pending_rows == 0)
		return;
	if (!l->widths) {
		settle_widths(l);
		if (!l->widths)
			return;
		print_titles(l);
	}
	for (size_t row = 0; row < l->pending_rows; row++) {
		print_row(l, &l->pending[row * l->n], &l->tones[row * l->n]);
		for (size_t i = 0; i < l->n; i++)
			buf_clear(&l->pending[row * l->n + i]);
	}
	l->pending_rows = 0;
}

void table_row(struct list *l, const struct cell *cells)
{
	struct output *o = l->output;
	size_t base = l->pending_rows * l->n;
	for (size_t i = 0; i < l->n; i++) {
		if (l->columns[i].title)
			add_cell(&l->pending[base + i], &cells[i], l->columns[i].show, o->unicode,
				 LIST_VALUE_BYTES);
		l->tones[base + i] = cells[i].tone;
	}
	l->pending_rows++;
	if (l->widths || l->pending_rows == FITTED_ROWS)
		release_pending(l);
}

void table_end(struct list *l)
{
	release_pending(l);
	for (size_t i = 0; l->pending && i < l->n * FITTED_ROWS; i++)
		buf_done(&l->pending[i]);
	free(l->pending);
	free(l->tones);
	free(l->widths);
	l->pending = NULL;
	l->tones = NULL;
	l->widths = NULL;
}

/* A name and its value; the lines of a longer text stand below each other. */
static void add_record_line(struct buf *out, const struct output *o, size_t name_width, struct bytes name,
			    struct bytes value)
{
	AUTO_BUF shown = { 0 };
	text_escape(&shown, name, o->unicode, LIST_VALUE_BYTES);
	size_t width = text_width(buf_bytes(&shown));
	buf_addf(out, "%s%s%s%*s", o->colour ? tone_code(TONE_HEAD) : "", shown.p ? shown.p : "",
		 o->colour ? tone_end : "", (int)(width < name_width ? name_width - width : 0) + GAP, "");
	buf_add_bytes(out, value);
	buf_add_char(out, '\n');
}

static void add_record_text(struct buf *out, const struct output *o, size_t name_width, const char *title,
			    struct bytes text)
{
	while (text.n > 0 && text.p[text.n - 1] == '\n')
		text.n--;
	struct bytes name = bytes_of(title);
	size_t left = RECORD_VALUE_BYTES;
	do {
		const char *end = text.n ? memchr(text.p, '\n', text.n) : NULL;
		size_t length = end ? (size_t)(end - text.p) : text.n;
		AUTO_BUF line = { 0 };
		text_escape(&line, (struct bytes){ text.p, length }, o->unicode, left);
		add_record_line(out, o, name_width, name, buf_bytes(&line));
		left -= length < left ? length : left;
		name = bytes_of("");
		size_t eaten = end ? length + 1 : length;
		text = (struct bytes){ text.p + eaten, text.n - eaten };
	} while (text.n > 0 && left > 0);
}

static size_t shown_width(struct bytes text, bool unicode)
{
	AUTO_BUF shown = { 0 };
	text_escape(&shown, text, unicode, LIST_VALUE_BYTES);
	return text_width(buf_bytes(&shown));
}

static void add_record_pairs(struct buf *out, const struct output *o, const char *title,
			     const struct entry *entry)
{
	enum { INDENT = 2, WIDEST_NAME = 30 };
	buf_addf(out, "%s%s%s\n", o->colour ? tone_code(TONE_HEAD) : "", title, o->colour ? tone_end : "");
	size_t widest = 0;
	for (size_t i = 0; i < entry->pair_count; i++) {
		size_t width = shown_width(entry->pairs[i].name, o->unicode);
		if (width > widest)
			widest = width < WIDEST_NAME ? width : WIDEST_NAME;
	}
	for (size_t i = 0; i < entry->pair_count; i++) {
		AUTO_BUF value = { 0 };
		text_escape(&value, entry->pairs[i].value, o->unicode, RECORD_VALUE_BYTES);
		buf_addf(out, "%*s", INDENT, "");
		add_record_line(out, o, widest, entry->pairs[i].name, buf_bytes(&value));
	}
}

void table_record(struct buf *out, const struct output *o, const struct column *columns,
		  const struct cell *cells, size_t n)
{
	size_t name_width = 0;
	for (size_t i = 0; i < n; i++) {
		if (columns[i].title && cells[i].kind != CELL_NULL && cells[i].kind != CELL_PAIRS &&
		    strlen(columns[i].title) > name_width)
			name_width = strlen(columns[i].title);
	}
	for (size_t i = 0; i < n; i++) {
		if (!columns[i].title || cells[i].kind == CELL_NULL)
			continue;
		if (cells[i].kind == CELL_PAIRS) {
			add_record_pairs(out, o, columns[i].title, cells[i].entry);
			continue;
		}
		if (cells[i].kind == CELL_TEXT) {
			add_record_text(out, o, name_width, columns[i].title, cells[i].text);
			continue;
		}
		AUTO_BUF value = { 0 };
		add_cell(&value, &cells[i], columns[i].show, o->unicode, RECORD_VALUE_BYTES);
		add_record_line(out, o, name_width, bytes_of(columns[i].title), buf_bytes(&value));
	}
}
