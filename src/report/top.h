/* The N rows with the largest keys out of any number: the slowest entries, the last dead letters. Of equal
 * keys the first stay. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

struct top_row {
	int64_t key;
	uint64_t order;
	char *text; /* owned: JSON */
};
struct top {
	size_t most;
	size_t count;
	uint64_t offered;     /* all that came */
	struct top_row *rows; /* owned; a heap, the least on top */
};

/* 0 or -ENOMEM. */
MUST_CHECK int top_init(struct top *t, size_t most);
void top_done(struct top *t);

/* Count a row with this key. True: it is among them, make its text and top_add it. */
bool top_wants(struct top *t, int64_t key);
/* Takes the content of text; nothing happens when that failed. */
void top_add(struct top *t, int64_t key, struct buf *text);
/* The rows as a JSON array, the largest key first; several tops together are one list. */
void top_write(struct buf *out, const struct top *const *tops, size_t count);
