/* Pairs of bytes as JSON that loses nothing: [[NAME, VALUE], ...], each a string, or {"b64": "..."} where it
 * is not UTF-8. */
#pragma once

#include "base/json.h"
#include "domain/entry.h"

void pairs_add_json(struct buf *out, const struct entry_pair *pairs, size_t n);

struct pair_list {
	struct entry_pair *pairs; /* borrows strings of the JSON */
	size_t n;
	struct buf *decoded; /* private: two a pair */
};
/* 0, -EINVAL (not of that form), -ENOMEM. The JSON must outlive the list. */
MUST_CHECK int pairs_read_json(json_t *json, struct pair_list *ret);
void pair_list_done(struct pair_list *l);
#define AUTO_PAIRS __attribute__((cleanup(pair_list_done))) struct pair_list
