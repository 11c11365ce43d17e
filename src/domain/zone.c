/* TZif: a header and a block with 32-bit times, and, from version 2 on, the same again with 64-bit times and
 * a rule for what comes behind. All counts are checked against the length before anything is read. */
#include "domain/zone.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "domain/zone_rule.h"

struct change {
	int64_t at_s, offset_s;
};

struct zone {
	int64_t first_s; /* offset before the first change */
	struct change *changes;
	size_t count;
	struct zone_rule rule;
	bool has_rule;
};

enum { HEADER_BYTES = 44, TYPE_BYTES = 6, CHANGES_MAX = 100000, TYPES_MAX = 256, OFFSET_MAX_S = 26 * 3600 };

struct tzif_counts {
	size_t utc, std, leaps, changes, types, letters;
};

static uint32_t big32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static int64_t big_time(const char *p, size_t size)
{
	if (size == 4)
		return (int32_t)big32(p);
	return (int64_t)((uint64_t)big32(p) << 32 | big32(p + 4));
}

static bool read_header(struct bytes file, struct tzif_counts *n, char *ret_version)
{
	if (file.n < HEADER_BYTES || memcmp(file.p, "TZif", 4) != 0)
		return false;
	*ret_version = file.p[4];
	*n = (struct tzif_counts){
		.utc = big32(file.p + 20),
		.std = big32(file.p + 24),
		.leaps = big32(file.p + 28),
		.changes = big32(file.p + 32),
		.types = big32(file.p + 36),
		.letters = big32(file.p + 40),
	};
	return n->changes <= CHANGES_MAX && n->types >= 1 && n->types <= TYPES_MAX &&
	       n->letters <= CHANGES_MAX && n->leaps <= CHANGES_MAX && n->utc <= n->types &&
	       n->std <= n->types;
}

static size_t block_bytes(const struct tzif_counts *n, size_t time_size)
{
	return n->changes * (time_size + 1) + n->types * TYPE_BYTES + n->letters +
	       n->leaps * (time_size + 4) + n->std + n->utc;
}

static int read_block(struct zone *z, const char *p, const struct tzif_counts *n, size_t time_size)
{
	const char *indexes = p + n->changes * time_size, *types = indexes + n->changes;

	if (n->leaps > 0)
		return -EINVAL; /* its seconds are not ours */
	z->changes = calloc(n->changes + 1, sizeof(*z->changes));
	if (!z->changes)
		return -ENOMEM;
	z->first_s = (int32_t)big32(types);
	for (size_t i = 0; i < n->changes; i++) {
		size_t type = (unsigned char)indexes[i];
		if (type >= n->types)
			return -EINVAL;
		z->changes[i] = (struct change){ big_time(p + i * time_size, time_size),
						 (int32_t)big32(types + type * TYPE_BYTES) };
		if (i > 0 && z->changes[i].at_s <= z->changes[i - 1].at_s)
			return -EINVAL;
		if (z->changes[i].offset_s > OFFSET_MAX_S || z->changes[i].offset_s < -OFFSET_MAX_S)
			return -EINVAL;
		z->count++;
	}
	return z->first_s <= OFFSET_MAX_S && z->first_s >= -OFFSET_MAX_S ? 0 : -EINVAL;
}

/* "\nRULE\n"; an empty one says nothing. */
static int read_footer(struct zone *z, struct bytes rest)
{
	const char *end = rest.n > 1 ? memchr(rest.p + 1, '\n', rest.n - 1) : NULL;

	if (rest.n < 2 || rest.p[0] != '\n' || !end)
		return -EINVAL;
	struct bytes rule = { rest.p + 1, (size_t)(end - rest.p - 1) };
	z->has_rule = rule.n > 0;
	return !z->has_rule || zone_rule_parse(rule, &z->rule) ? 0 : -EINVAL;
}

static int read_file(struct zone *z, struct bytes file)
{
	struct tzif_counts n;
	char version;

	if (!read_header(file, &n, &version) || file.n < HEADER_BYTES + block_bytes(&n, 4))
		return -EINVAL;
	if (version < '2')
		return read_block(z, file.p + HEADER_BYTES, &n, 4);
	size_t skip = HEADER_BYTES + block_bytes(&n, 4);
	struct bytes second = { file.p + skip, file.n - skip };
	if (!read_header(second, &n, &version) || second.n < HEADER_BYTES + block_bytes(&n, 8))
		return -EINVAL;
	int r = read_block(z, second.p + HEADER_BYTES, &n, 8);
	skip = HEADER_BYTES + block_bytes(&n, 8);
	return r < 0 ? r : read_footer(z, (struct bytes){ second.p + skip, second.n - skip });
}

int zone_from_file(struct bytes tzif, struct zone **ret_zone)
{
	struct zone *z = calloc(1, sizeof(*z));
	int r = z ? read_file(z, tzif) : -ENOMEM;

	if (r < 0) {
		zone_free(z);
		return r;
	}
	*ret_zone = z;
	return 0;
}

int zone_from_rule(const char *rule, struct zone **ret_zone)
{
	struct zone_rule parsed;

	if (!zone_rule_parse(bytes_of(rule), &parsed))
		return -EINVAL;
	struct zone *z = calloc(1, sizeof(*z));
	if (!z)
		return -ENOMEM;
	z->rule = parsed;
	z->has_rule = true;
	*ret_zone = z;
	return 0;
}

void zone_free(struct zone *z)
{
	if (!z)
		return;
	free(z->changes);
	free(z);
}

/* How many changes are at or before a moment. */
static size_t changes_before(const struct zone *z, int64_t at_s)
{
	size_t low = 0, high = z->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (z->changes[middle].at_s <= at_s)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct zone_span zone_span(const struct zone *z, int64_t at_s)
{
	if (!z)
		return (struct zone_span){ INT64_MIN, INT64_MAX, 0 };
	size_t passed = changes_before(z, at_s);
	struct zone_span span = {
		.from_s = passed > 0 ? z->changes[passed - 1].at_s : INT64_MIN,
		.until_s = passed < z->count ? z->changes[passed].at_s : INT64_MAX,
		.offset_s = passed > 0 ? z->changes[passed - 1].offset_s : z->first_s,
	};
	if (passed < z->count || !z->has_rule)
		return span;
	struct zone_span ruled = zone_rule_span(&z->rule, at_s);
	if (ruled.from_s < span.from_s)
		ruled.from_s = span.from_s;
	return ruled;
}
