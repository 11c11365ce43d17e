/* Where the reader is: which rows are shown in which order, and which of them is meant. */
#include "ctl/top.h"

#include <stdio.h>
#include <strings.h>

#include "ctl/table.h"

void top_state_init(struct top_state *s)
{
	*s = (struct top_state){ .mode = TOP_LIST };
	for (int i = 0; i < TOP_PANES; i++)
		s->places[i].sort = -1;
}

void top_state_done(struct top_state *s)
{
	for (int i = 0; i < TOP_PANES; i++)
		buf_done(&s->places[i].selected);
	buf_done(&s->look);
}

void top_say(struct top_state *s, bool bad, int64_t until_ms, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(s->message, sizeof(s->message), format, arguments);
	va_end(arguments);
	s->message_bad = bad;
	s->message_until_ms = until_ms;
}

size_t top_utf8(uint32_t code, char ret_text[5])
{
	size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : code < 0x110000 ? 4 : 0;
	static const unsigned char leads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	memset(ret_text, 0, 5);
	for (size_t i = n; i > 1; i--) {
		ret_text[i - 1] = (char)(0x80 | (code & 0x3f));
		code >>= 6;
	}
	if (n > 0)
		ret_text[0] = (char)(leads[n] | code);
	return n;
}

/* ---- the filter ---- */

static bool contains(struct bytes text, const char *wanted)
{
	size_t n = strlen(wanted);
	for (size_t i = 0; i + n <= text.n; i++) {
		if (strncasecmp(text.p + i, wanted, n) == 0)
			return true;
	}
	return false;
}

/* What is typed is compared with what is seen. */
static bool fits(const struct top_frame *f, enum top_pane pane, size_t row, const char *filter)
{
	const struct top_columns *c = top_columns(pane);
	AUTO_TOP_SCRATCH scratch = { 0 };
	struct cell cells[TOP_MOST_COLUMNS];
	if (!*filter)
		return true;
	top_cells(f, pane, row, &scratch, cells);
	for (size_t i = 0; i < c->n; i++) {
		AUTO_BUF shown = { 0 };
		if (cells[i].kind != CELL_TEXT && cells[i].kind != CELL_JSON)
			continue;
		table_cell(&shown, &cells[i], c->columns[i].show, true);
		if (contains(buf_bytes(&shown), filter))
			return true;
	}
	return false;
}

/* ---- the order ---- */

struct sorting {
	const struct top_frame *frame;
	enum top_pane pane;
	size_t column;
	bool reversed;
};

static int compare_bytes(struct bytes a, struct bytes b)
{
	int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
	return order ? order : (a.n > b.n) - (a.n < b.n);
}

/* Numbers: the greatest first; texts: by the alphabet; what is not known comes last. */
static int compare_cells(const struct cell *a, const struct cell *b)
{
	if (a->kind == CELL_NULL || b->kind == CELL_NULL)
		return (a->kind == CELL_NULL) - (b->kind == CELL_NULL);
	if (a->kind == CELL_TEXT)
		return compare_bytes(a->text, b->text);
	if (a->number != b->number || a->kind != CELL_JSON)
		return (a->number < b->number) - (a->number > b->number);
	return a->number ? 0 : compare_bytes(a->shown, b->shown);
}

static int compare_rows(const void *left, const void *right, void *user)
{
	const struct sorting *s = user;
	size_t a = *(const size_t *)left, b = *(const size_t *)right;
	AUTO_TOP_SCRATCH scratch_a = { 0 }, scratch_b = { 0 };
	struct cell cells_a[TOP_MOST_COLUMNS], cells_b[TOP_MOST_COLUMNS];
	top_cells(s->frame, s->pane, a, &scratch_a, cells_a);
	top_cells(s->frame, s->pane, b, &scratch_b, cells_b);
	int order = compare_cells(&cells_a[s->column], &cells_b[s->column]);
	if (order == 0)
		return (a > b) - (a < b);
	return s->reversed ? -order : order;
}

size_t *top_order(const struct top_frame *f, const struct top_state *s, enum top_pane pane, size_t *ret_count)
{
	const struct top_place *place = &s->places[pane];
	size_t all = top_count(f, pane), n = 0;
	size_t *order = calloc(all + 1, sizeof(*order));
	*ret_count = 0;
	if (!order)
		return NULL;
	for (size_t i = 0; i < all; i++) {
		size_t row = place->sort < 0 && place->reversed ? all - 1 - i : i;
		if (fits(f, pane, row, s->filter))
			order[n++] = row;
	}
	struct sorting sorting = { f, pane, (size_t)place->sort, place->reversed };
	if (place->sort >= 0)
		qsort_r(order, n, sizeof(*order), compare_rows, &sorting);
	*ret_count = n;
	return order;
}

/* ---- the cursor ---- */

void top_move(const struct top_frame *f, struct top_place *p, enum top_pane pane, const size_t *order,
	      size_t count, size_t cursor)
{
	p->cursor = count == 0 ? 0 : cursor < count ? cursor : count - 1;
	if (count > 0)
		top_row_key(f, pane, order[p->cursor], &p->selected);
}

void top_follow(const struct top_frame *f, struct top_place *p, enum top_pane pane, const size_t *order,
		size_t count)
{
	AUTO_BUF key = { 0 };
	for (size_t i = 0; i < count && p->selected.n > 0; i++) {
		top_row_key(f, pane, order[i], &key);
		if (bytes_eq(buf_bytes(&key), buf_bytes(&p->selected))) {
			p->cursor = i;
			return;
		}
	}
	top_move(f, p, pane, order, count, p->cursor);
}
