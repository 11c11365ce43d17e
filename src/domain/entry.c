/* What is asked of an entry. Names that repeat are found by sorting, by hash first: as quick as a hash set for honest names, and no choice
 * of names makes it slower than n log n. */
#include "domain/entry.h"

#include <errno.h>

#include "base/num.h"

enum { FEW = 16 };

void entry_done(struct entry *e)
{
	free(e->note);
	if (e->backing_free && e->backing)
		e->backing_free(e->backing);
	free(e->pairs);
	*e = (struct entry){ 0 };
}

int64_t entry_attempt(const struct entry *e)
{
	int64_t attempt = e->delivery - e->given;
	return attempt < 1 ? 1 : attempt;
}

const struct entry_pair *entry_find(const struct entry *e, struct bytes name)
{
	for (size_t i = 0; i < e->pair_count; i++) {
		if (bytes_eq(e->pairs[i].name, name))
			return &e->pairs[i];
	}
	return NULL;
}

/* ---- first of its name ---- */

struct keyed {
	uint64_t hash;
	size_t index;
};

struct name_order {
	const struct entry_pair *pairs;
	unsigned char (*map_byte)(unsigned char);
};

static unsigned char as_it_is(unsigned char c)
{
	return c;
}

static uint64_t hash_name(const struct name_order *o, struct bytes name)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a */
	for (size_t i = 0; i < name.n; i++)
		h = (h ^ o->map_byte((unsigned char)name.p[i])) * 1099511628211u;
	return h;
}

static int compare_names(const struct name_order *o, struct bytes a, struct bytes b)
{
	if (a.n != b.n)
		return a.n < b.n ? -1 : 1;
	for (size_t i = 0; i < a.n; i++) {
		int difference = o->map_byte((unsigned char)a.p[i]) - o->map_byte((unsigned char)b.p[i]);
		if (difference != 0)
			return difference;
	}
	return 0;
}

static int compare_keyed(const void *left, const void *right, void *order)
{
	const struct keyed *a = left, *b = right;
	const struct name_order *o = order;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	int r = compare_names(o, o->pairs[a->index].name, o->pairs[b->index].name);
	if (r != 0)
		return r;
	return a->index < b->index ? -1 : a->index > b->index;
}

/* As most entries are: each beside all before it is quicker than a list that is sorted. */
static void mark_few(const struct name_order *o, size_t count, bool *ret_first)
{
	for (size_t i = 0; i < count; i++) {
		ret_first[i] = true;
		for (size_t before = 0; before < i && ret_first[i]; before++)
			ret_first[i] = compare_names(o, o->pairs[before].name, o->pairs[i].name) != 0;
	}
}

int entry_mark_firsts(const struct entry_pair *pairs, size_t count, unsigned char (*map_byte)(unsigned char), bool *ret_first)
{
	struct name_order order = { pairs, map_byte ? map_byte : as_it_is };

	if (count <= FEW) {
		mark_few(&order, count, ret_first);
		return 0;
	}
	AUTO_FREE struct keyed *list = calloc(count, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		list[i] = (struct keyed){ hash_name(&order, pairs[i].name), i };
	qsort_r(list, count, sizeof(*list), compare_keyed, &order);
	for (size_t i = 0; i < count; i++)
		ret_first[list[i].index] = i == 0 || list[i - 1].hash != list[i].hash ||
					   compare_names(&order, pairs[list[i - 1].index].name, pairs[list[i].index].name) != 0;
	return 0;
}

/* ---- IDs ---- */

int entry_id_parse(struct bytes id, uint64_t *ret_ms, uint64_t *ret_seq)
{
	const char *dash = id.n ? memchr(id.p, '-', id.n) : NULL;
	uint64_t ms = 0, seq = 0;

	if (!dash)
		return -EINVAL;
	if (num_u64((struct bytes){ id.p, (size_t)(dash - id.p) }, &ms) < 0 ||
	    num_u64((struct bytes){ dash + 1, id.n - (size_t)(dash - id.p) - 1 }, &seq) < 0)
		return -EINVAL;
	*ret_ms = ms;
	*ret_seq = seq;
	return 0;
}

int entry_id_cmp(const char *a, const char *b)
{
	uint64_t a_ms = 0, a_seq = 0, b_ms = 0, b_seq = 0;
	(void)!entry_id_parse(bytes_of(a), &a_ms, &a_seq);
	(void)!entry_id_parse(bytes_of(b), &b_ms, &b_seq);
	if (a_ms != b_ms)
		return a_ms < b_ms ? -1 : 1;
	return a_seq == b_seq ? 0 : a_seq < b_seq ? -1 : 1;
}

int64_t entry_id_time_ms(const char *id, int64_t now_ms)
{
	enum { DAY_MS = 24 * 3600 * 1000 };
	const uint64_t year_2001_ms = 978307200000u; /* an ID below is a number that someone made up */
	uint64_t ms = 0, seq = 0;

	if (entry_id_parse(bytes_of(id), &ms, &seq) < 0 || ms < year_2001_ms || now_ms <= 0 || ms > (uint64_t)now_ms + DAY_MS)
		return -1;
	return (int64_t)ms;
}

int64_t entry_wait_ms(const struct entry *e, int64_t now_ms)
{
	int64_t at_ms = delivery_life(e->delivery) > 0 ? -1 : entry_id_time_ms(e->id, now_ms);

	return at_ms < 0 ? -1 : now_ms > at_ms ? now_ms - at_ms : 0;
}
