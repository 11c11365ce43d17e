/* See series.h. Each width divides the next, so that a wider bucket is a whole number of narrower ones. */
#include "report/series.h"

#include <errno.h>
#include <string.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

static const int64_t widths[] = {
	SECOND,      2 * SECOND, 10 * SECOND, 30 * SECOND, MINUTE,    2 * MINUTE, 10 * MINUTE,
	30 * MINUTE, HOUR,       2 * HOUR,    6 * HOUR,    12 * HOUR, DAY,        7 * (int64_t)DAY,
};

/* Behind the table each is twice the one before. The mask changes nothing: a week doubled eleven
 * times is wide enough for all that cut() lets through. */
static int64_t width(unsigned step)
{
	const unsigned last = ARRAY_LEN(widths) - 1;
	return step <= last ? widths[step] : widths[last] << ((step - last) & 31);
}

static int64_t cut(int64_t at_ms)
{
	const int64_t end_of_9999 = 253402300799999;
	if (at_ms < 0)
		return 0;
	return at_ms > end_of_9999 ? end_of_9999 : at_ms;
}

int series_init(struct series *s, size_t bucket_size, series_merge_fn *merge)
{
	*s = (struct series){ .bucket_size = bucket_size, .merge = merge };
	s->buckets = calloc(SERIES_BUCKETS, bucket_size);
	return s->buckets ? 0 : -ENOMEM;
}

void series_done(struct series *s)
{
	free(s->buckets);
	*s = (struct series){ 0 };
}

static void *bucket(const struct series *s, size_t index)
{
	return s->buckets + index * s->bucket_size;
}

/* Never to the right: a bucket's new place is at or before its old one. */
static void widen(struct series *s)
{
	int64_t factor = width(s->step + 1) / width(s->step), first = s->first / factor;
	size_t used = 0;
	for (size_t i = 0; i < s->used; i++) {
		size_t to = (size_t)((s->first + (int64_t)i) / factor - first);
		if (to < used) {
			s->merge(bucket(s, to), bucket(s, i));
			continue;
		}
		if (to != i)
			memcpy(bucket(s, to), bucket(s, i), s->bucket_size);
		used = to + 1;
	}
	memset(bucket(s, used), 0, (s->used - used) * s->bucket_size);
	s->used = used;
	s->first = first;
	s->step++;
}

/* How many buckets it takes when one of this time is among them. */
static int64_t span_with(const struct series *s, int64_t at_ms)
{
	int64_t number = at_ms / width(s->step), last = s->first + (int64_t)s->used - 1;
	int64_t low = number < s->first ? number : s->first;
	return (number > last ? number : last) - low + 1;
}

void *series_at(struct series *s, int64_t at_ms)
{
	at_ms = cut(at_ms);
	if (s->used == 0) {
		s->first = at_ms / width(s->step);
		s->used = 1;
		return bucket(s, 0);
	}
	while (span_with(s, at_ms) > SERIES_BUCKETS)
		widen(s);
	int64_t number = at_ms / width(s->step);
	if (number < s->first) {
		size_t more = (size_t)(s->first - number);
		memmove(bucket(s, more), bucket(s, 0), s->used * s->bucket_size);
		memset(bucket(s, 0), 0, more * s->bucket_size);
		s->first = number;
		s->used += more;
	}
	size_t index = (size_t)(number - s->first);
	if (index >= s->used)
		s->used = index + 1;
	return bucket(s, index);
}

int64_t series_width_ms(const struct series *s)
{
	return width(s->step);
}

int64_t series_begin_ms(const struct series *s, size_t index)
{
	return (s->first + (int64_t)index) * width(s->step);
}

const void *series_bucket(const struct series *s, size_t index)
{
	return bucket(s, index);
}
