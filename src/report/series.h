/* Buckets over time that need no more memory for a year than for a minute: at most SERIES_BUCKETS of them,
 * all of one width. A time that lies outside of what they span makes them wider, and neighbours are merged.
 * The widths are round (a second, ten, a minute, …) and the bounds are multiples of them, so what comes out
 * does not depend on the order of the times. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum { SERIES_BUCKETS = 300 };

/* Add what is in `from` to `into`. */
typedef void series_merge_fn(void *into, const void *from);

struct series {
	size_t bucket_size; /* bytes of one */
	series_merge_fn *merge;
	unsigned char *buckets; /* owned; all zero where nothing was added */
	size_t used;            /* from the first to the last that was asked for */
	int64_t first;          /* number of buckets[0]: its time divided by the width */
	unsigned step;          /* which of the widths */
};

/* 0 or -ENOMEM. */
MUST_CHECK int series_init(struct series *s, size_t bucket_size, series_merge_fn *merge);
void series_done(struct series *s);

/* The bucket of this time (Unix ms), which is cut to the years 1970 to 9999. Good until the next call. */
void *series_at(struct series *s, int64_t at_ms);

int64_t series_width_ms(const struct series *s);
/* When the bucket begins; index below used. */
int64_t series_begin_ms(const struct series *s, size_t index);
const void *series_bucket(const struct series *s, size_t index);
