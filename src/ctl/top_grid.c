/* Lines of marked text, and tables in them. Widths are columns of a terminal (wcwidth), not bytes; a line is
 * never wider than it may be, whatever is put into it. */
#include "ctl/top.h"

#include <stdio.h>

#include "ctl/table.h"
#include "ctl/text.h"

enum { GAP = 1, LEAST_ELASTIC = 6, LONGEST_TEXT = 2000 };

void top_lines_done(struct top_lines *l)
{
	for (size_t i = 0; i < l->count; i++)
		buf_done(&l->lines[i].text);
	free(l->lines);
	*l = (struct top_lines){ 0 };
}

struct top_line *top_line_add(struct top_lines *l)
{
	if (l->count == l->room) {
		size_t room = l->room ? 2 * l->room : 32;
		struct top_line *grown = reallocarray(l->lines, room, sizeof(*grown));
		if (!grown) {
			l->failed = true;
			return NULL;
		}
		l->lines = grown;
		l->room = room;
	}
	struct top_line *line = &l->lines[l->count++];
	*line = (struct top_line){ .mark_count = 0 };
	return line;
}

void top_line_style(struct top_line *line, enum top_style style)
{
	if (!line)
		return;
	struct top_mark *last = line->mark_count ? &line->marks[line->mark_count - 1] : NULL;
	if (last && last->from == line->text.n)
		last->style = style;
	else if ((!last || last->style != style) && line->mark_count < TOP_MOST_MARKS)
		line->marks[line->mark_count++] = (struct top_mark){ line->text.n, style };
}

static size_t left(const struct top_lines *l, const struct top_line *line)
{
	size_t used = text_width(buf_bytes(&line->text));
	return l->width == 0 ? SIZE_MAX : used < l->width ? l->width - used : 0;
}

void top_line_shown(struct top_lines *l, struct top_line *line, struct bytes shown)
{
	if (!line)
		return;
	text_cut(&line->text, shown, left(l, line), l->unicode);
	l->failed = l->failed || line->text.failed;
}

/* A character that combines would change what stands before it: it gets a circle of its own. */
static void escape(struct buf *out, struct bytes text, bool unicode)
{
	AUTO_BUF shown = { 0 };
	text_escape(&shown, text, unicode, LONGEST_TEXT);
	if (text_begins_combining(buf_bytes(&shown)))
		buf_add_text(out, "◌");
	buf_add_bytes(out, buf_bytes(&shown));
}

void top_line_text(struct top_lines *l, struct top_line *line, struct bytes text)
{
	AUTO_BUF shown = { 0 };
	escape(&shown, text, l->unicode);
	top_line_shown(l, line, buf_bytes(&shown));
}

void top_line_textf(struct top_lines *l, struct top_line *line, const char *format, ...)
{
	char text[LONGEST_TEXT];
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	top_line_text(l, line, bytes_of(text));
}

void top_line_pad(struct top_lines *l, struct top_line *line, size_t column)
{
	if (!line)
		return;
	size_t used = text_width(buf_bytes(&line->text));
	if (l->width && column > l->width)
		column = l->width;
	if (used < column)
		buf_addf(&line->text, "%*s", (int)(column - used), "");
	l->failed = l->failed || line->text.failed;
}

/* ---- tables ---- */

static void cell_text_of(const struct column *column, const struct cell *cell, bool unicode, struct buf *out)
{
	buf_clear(out);
	AUTO_BUF shown = { 0 };
	if (cell->kind != CELL_JSON || cell->shown.n > 0)
		table_cell(&shown, cell, column->show, unicode);
	if (text_begins_combining(buf_bytes(&shown)))
		buf_add_text(out, "◌");
	buf_add_bytes(out, buf_bytes(&shown));
}

static void add_title(struct buf *out, const struct top_grid *g, const struct top_columns *c, size_t column)
{
	buf_clear(out);
	if (g->numbered && column == 0)
		buf_addf(out, "%d ", (int)g->pane + 1);
	buf_add_text(out, c->columns[column].title);
	if (g->sort == (int)column)
		buf_add_char(out, g->reversed ? '<' : '>');
}

/* As wide as the widest of all rows, so that columns stay where they are while one scrolls. */
static void measure(const struct top_frame *f, const struct top_grid *g, bool unicode,
		    size_t widths[TOP_MOST_COLUMNS])
{
	const struct top_columns *c = top_columns(g->pane);
	AUTO_BUF text = { 0 };
	AUTO_TOP_SCRATCH scratch = { 0 };
	struct cell cells[TOP_MOST_COLUMNS];
	for (size_t i = 0; i < c->n; i++) {
		widths[i] = 0;
		if (!c->columns[i].title)
			continue;
		add_title(&text, g, c, i);
		widths[i] = text.n;
	}
	for (size_t row = 0; row < g->count; row++) {
		top_cells(f, g->pane, g->order[row], &scratch, cells);
		for (size_t i = 0; i < c->n; i++) {
			if (!c->columns[i].title)
				continue;
			cell_text_of(&c->columns[i], &cells[i], unicode, &text);
			size_t width = text_width(buf_bytes(&text));
			if (width > widths[i])
				widths[i] = width;
		}
	}
}

/* The widest elastic column gives way first; when none can, columns are left out from the right. */
static void fit(const struct top_columns *c, size_t width, size_t widths[TOP_MOST_COLUMNS],
		bool shown[TOP_MOST_COLUMNS])
{
	for (size_t i = 0; i < c->n; i++)
		shown[i] = c->columns[i].title != NULL;
	while (width > 0) {
		size_t total = 0, widest = c->n, last = c->n;
		for (size_t i = 0; i < c->n; i++) {
			if (!shown[i])
				continue;
			total += widths[i] + (total ? GAP : 0);
			last = i;
			if (c->columns[i].elastic && widths[i] > LEAST_ELASTIC &&
			    (widest == c->n || widths[i] > widths[widest]))
				widest = i;
		}
		if (total <= width || last == c->n)
			return;
		if (widest < c->n)
			widths[widest]--;
		else
			shown[last] = false;
	}
}

static enum top_style style_of(enum tone tone)
{
	return tone == TONE_GOOD   ? TOP_GOOD
	       : tone == TONE_WARN ? TOP_WARN
	       : tone == TONE_BAD  ? TOP_BAD
	       : tone == TONE_HEAD ? TOP_BOLD
				   : TOP_PLAIN;
}

/* One cell at its place: cut, and flush with its side. */
static void put(struct top_lines *out, struct top_line *line, size_t at, size_t width, bool right,
		struct bytes text)
{
	AUTO_BUF cut = { 0 };
	text_cut(&cut, text, width, out->unicode);
	size_t used = text_width(buf_bytes(&cut));
	top_line_pad(out, line, right && used < width ? at + width - used : at);
	top_line_shown(out, line, buf_bytes(&cut));
}

struct layout {
	size_t widths[TOP_MOST_COLUMNS];
	bool shown[TOP_MOST_COLUMNS];
};

static void add_head(const struct top_grid *g, const struct layout *layout, struct top_lines *out)
{
	const struct top_columns *c = top_columns(g->pane);
	struct top_line *line = top_line_add(out);
	AUTO_BUF text = { 0 };
	size_t at = 0;
	top_line_style(line, g->title);
	for (size_t i = 0; i < c->n; i++) {
		if (!layout->shown[i])
			continue;
		add_title(&text, g, c, i);
		put(out, line, at, layout->widths[i], c->right >> i & 1, buf_bytes(&text));
		at += layout->widths[i] + GAP;
	}
	top_line_pad(out, line, out->width);
}

static void add_row(const struct top_frame *f, const struct top_grid *g, const struct layout *layout,
		    size_t row, struct top_lines *out)
{
	const struct top_columns *c = top_columns(g->pane);
	struct top_line *line = top_line_add(out);
	bool selected = row == g->selected;
	AUTO_BUF text = { 0 };
	AUTO_TOP_SCRATCH scratch = { 0 };
	struct cell cells[TOP_MOST_COLUMNS];
	size_t at = 0;
	top_cells(f, g->pane, g->order[row], &scratch, cells);
	top_line_style(line, selected ? TOP_SELECTED : TOP_PLAIN);
	for (size_t i = 0; i < c->n; i++) {
		if (!layout->shown[i])
			continue;
		cell_text_of(&c->columns[i], &cells[i], out->unicode, &text);
		top_line_pad(out, line, at);
		if (!selected)
			top_line_style(line, style_of(cells[i].tone));
		put(out, line, at, layout->widths[i], c->right >> i & 1, buf_bytes(&text));
		if (!selected)
			top_line_style(line, TOP_PLAIN);
		at += layout->widths[i] + GAP;
	}
	if (selected)
		top_line_pad(out, line, out->width);
}

void top_grid(const struct top_frame *f, const struct top_grid *g, struct top_lines *out)
{
	struct layout layout = { 0 };
	measure(f, g, out->unicode, layout.widths);
	fit(top_columns(g->pane), out->width, layout.widths, layout.shown);
	add_head(g, &layout, out);
	for (size_t row = g->first; row < g->count && row - g->first < g->limit; row++)
		add_row(f, g, &layout, row, out);
}
