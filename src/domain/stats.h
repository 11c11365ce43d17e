/* Percentiles for job.summary: a small log-linear histogram of milliseconds, fixed size, no allocation. */
#pragma once

#include <stdint.h>

enum { STATS_BUCKETS = 256 };
struct histogram {
	uint32_t bucket[STATS_BUCKETS];
	uint64_t count;
	int64_t max;
};
void histogram_add(struct histogram *h, int64_t value_ms);
/* The same value so many times; more than a bucket can count is cut. */
void histogram_add_times(struct histogram *h, int64_t value_ms, uint64_t times);
/* Add all that `from` has. */
void histogram_merge(struct histogram *into, const struct histogram *from);
/* Upper bound of the bucket that holds the quantile (0.5, 0.95, …), at most max; -1 when empty. Error ≤ 7 %. */
int64_t histogram_quantile(const struct histogram *h, double quantile);
void histogram_clear(struct histogram *h);
