/* See top.h. */
#include "report/top.h"

#include <errno.h>

int top_init(struct top *t, size_t most)
{
	*t = (struct top){ .most = most, .rows = calloc(most, sizeof(struct top_row)) };
	return t->rows ? 0 : -ENOMEM;
}

void top_done(struct top *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->rows[i].text);
	free(t->rows);
	*t = (struct top){ 0 };
}

static bool less(const struct top_row *a, const struct top_row *b)
{
	return a->key != b->key ? a->key < b->key : a->order > b->order;
}

static void sink(struct top *t, size_t at)
{
	for (;;) {
		size_t least = at;
		for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < t->count; child++) {
			if (less(&t->rows[child], &t->rows[least]))
				least = child;
		}
		if (least == at)
			return;
		struct top_row row = t->rows[at];
		t->rows[at] = t->rows[least];
		t->rows[least] = row;
		at = least;
	}
}

static void rise(struct top *t, size_t at)
{
	while (at > 0 && less(&t->rows[at], &t->rows[(at - 1) / 2])) {
		struct top_row row = t->rows[at];
		t->rows[at] = t->rows[(at - 1) / 2];
		t->rows[(at - 1) / 2] = row;
		at = (at - 1) / 2;
	}
}

bool top_wants(struct top *t, int64_t key)
{
	t->offered++;
	return t->count < t->most || key > t->rows[0].key;
}

void top_add(struct top *t, int64_t key, struct buf *text)
{
	size_t n = text->n;
	struct top_row row = { key, t->offered, buf_take(text) };
	if (!row.text)
		return;
	char *fitting = realloc(row.text, n + 1); /* it stays: what a growing buffer has beyond it does not */
	row.text = fitting ? fitting : row.text;
	if (t->count < t->most) {
		t->rows[t->count++] = row;
		rise(t, t->count - 1);
		return;
	}
	free(t->rows[0].text);
	t->rows[0] = row;
	sink(t, 0);
}

static int largest_first(const void *a, const void *b)
{
	const struct top_row *x = *(const struct top_row *const *)a, *y = *(const struct top_row *const *)b;
	if (less(x, y))
		return 1;
	return less(y, x) ? -1 : 0;
}

void top_write(struct buf *out, const struct top *const *tops, size_t count)
{
	size_t n = 0, all = 0;
	for (size_t i = 0; i < count; i++)
		all += tops[i]->count;
	AUTO_FREE const struct top_row **rows = calloc(all + 1, sizeof(*rows));
	if (!rows) {
		out->failed = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < tops[i]->count; k++)
			rows[n++] = &tops[i]->rows[k];
	}
	qsort(rows, n, sizeof(*rows), largest_first);
	buf_add_char(out, '[');
	for (size_t i = 0; i < n; i++) {
		buf_add_text(out, i ? ",\n" : "");
		buf_add_text(out, rows[i]->text);
	}
	buf_add_char(out, ']');
}
