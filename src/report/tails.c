/* See tails.h: a hash table of small sets that never grows. */
#include "report/tails.h"

#include <errno.h>

int tails_init(struct tails *t)
{
	*t = (struct tails){ .rows = calloc((size_t)TAILS_SETS * TAILS_WAYS, sizeof(struct tail)) };
	return t->rows ? 0 : -ENOMEM;
}

void tails_done(struct tails *t)
{
	for (size_t i = 0; t->rows && i < (size_t)TAILS_SETS * TAILS_WAYS; i++)
		buf_done(&t->rows[i].text);
	free(t->rows);
	*t = (struct tails){ 0 };
}

static uint64_t hash(const struct tail_key *key)
{
	const struct bytes parts[] = { key->stream, key->group, key->id };
	uint64_t h =
		14695981039346656037u; /* FNV-1a, and well mixed behind it: IDs differ in their last digits */
	for (size_t k = 0; k < ARRAY_LEN(parts); k++) {
		for (size_t i = 0; i < parts[k].n; i++)
			h = (h ^ (unsigned char)parts[k].p[i]) * 1099511628211u;
		h = (h ^ 0xff) * 1099511628211u;
	}
	h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
	return (h ^ h >> 33) | 1;
}

static struct tail *set_of(const struct tails *t, uint64_t h)
{
	return &t->rows[(h >> 8) % TAILS_SETS * TAILS_WAYS];
}

/* Its own place, a free one, or the oldest. */
static struct tail *place_for(const struct tails *t, uint64_t h)
{
	struct tail *set = set_of(t, h), *best = &set[0];
	for (size_t i = 0; i < TAILS_WAYS; i++) {
		if (set[i].hash == h)
			return &set[i];
		if (best->hash != 0 && (set[i].hash == 0 || set[i].age < best->age))
			best = &set[i];
	}
	return best;
}

void tails_keep(struct tails *t, const struct tail_key *key, struct bytes text)
{
	uint64_t h = hash(key);
	struct tail *row = place_for(t, h);
	if (text.n > TAILS_LONGEST)
		text = (struct bytes){ text.p + text.n - TAILS_LONGEST, TAILS_LONGEST };
	row->hash = h;
	row->attempt = key->attempt;
	row->age = ++t->clock;
	buf_clear(&row->text);
	buf_add_bytes(&row->text, text);
}

struct bytes tails_take(struct tails *t, const struct tail_key *key)
{
	uint64_t h = hash(key);
	struct tail *set = set_of(t, h);
	for (size_t i = 0; i < TAILS_WAYS; i++) {
		if (set[i].hash != h)
			continue;
		set[i].hash = 0;
		if (set[i].attempt == key->attempt)
			return buf_bytes(&set[i].text);
	}
	return (struct bytes){ 0 };
}
