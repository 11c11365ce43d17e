/* Log-linear buckets: exact below 16 ms, then 11 for each doubling, so that a bucket is at most 6.6 % wide. 256 of them reach
 * 2^25 ms (9 hours) and a little more; what is longer falls into the last one, which answers with the maximum. */
#include "domain/stats.h"

enum { LINEAR = 16, FIRST_TOP = 4, PER_DOUBLING = 11, MANTISSA_BITS = 10 };

/* 2^(i/11) in units of 1/1024: where the buckets of one doubling begin; the last is where the next doubling does. */
static const uint64_t begins[PER_DOUBLING + 1] = { 1024, 1091, 1162, 1237, 1318, 1403, 1495, 1592, 1695, 1805, 1923, 2048 };

static unsigned bucket_of(uint64_t v)
{
	if (v < LINEAR)
		return (unsigned)v;
	unsigned top = 63u - (unsigned)__builtin_clzll(v);
	uint64_t mantissa = top > MANTISSA_BITS ? v >> (top - MANTISSA_BITS) : v << (MANTISSA_BITS - top);
	unsigned part = PER_DOUBLING - 1;
	while (mantissa < begins[part])
		part--;
	unsigned b = LINEAR + (top - FIRST_TOP) * PER_DOUBLING + part;
	return b < STATS_BUCKETS ? b : STATS_BUCKETS - 1;
}

/* The largest value that falls into it. */
static int64_t upper_bound(unsigned bucket)
{
	if (bucket < LINEAR)
		return bucket;
	if (bucket == STATS_BUCKETS - 1)
		return INT64_MAX;
	unsigned top = (bucket - LINEAR) / PER_DOUBLING + FIRST_TOP;
	uint64_t end = begins[(bucket - LINEAR) % PER_DOUBLING + 1];
	return (int64_t)(((end << top) - 1) >> MANTISSA_BITS);
}

static void add_to_bucket(struct histogram *h, unsigned bucket, uint64_t times)
{
	uint64_t room = UINT32_MAX - h->bucket[bucket];
	if (times > room)
		times = room;
	h->bucket[bucket] += (uint32_t)times;
	h->count += times;
}

void histogram_add_times(struct histogram *h, int64_t value_ms, uint64_t times)
{
	if (value_ms < 0)
		value_ms = 0;
	add_to_bucket(h, bucket_of((uint64_t)value_ms), times);
	if (times > 0 && value_ms > h->max)
		h->max = value_ms;
}

void histogram_add(struct histogram *h, int64_t value_ms)
{
	histogram_add_times(h, value_ms, 1);
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	for (unsigned i = 0; i < STATS_BUCKETS; i++)
		add_to_bucket(into, i, from->bucket[i]);
	if (from->max > into->max)
		into->max = from->max;
}

int64_t histogram_quantile(const struct histogram *h, double quantile)
{
	uint64_t seen = 0;

	if (h->count == 0)
		return -1;
	uint64_t wanted = (uint64_t)(quantile * (double)h->count + 0.999999); /* rounded up, but not for what is only a rounding error */
	for (unsigned i = 0; i < STATS_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen >= wanted && seen > 0) {
			int64_t bound = upper_bound(i);
			return bound < h->max ? bound : h->max;
		}
	}
	return h->max;
}

void histogram_clear(struct histogram *h)
{
	*h = (struct histogram){ 0 };
}
