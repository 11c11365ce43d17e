/* Writing figures in the two text forms that Prometheus reads: OpenMetrics 1.0, and the older text format
 * 0.0.4, which differ in what the head of a counter or of an info is called. Values of labels are escaped;
 * names and helps are our own literals. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_INFO };

struct openmetrics {
	struct buf *out;  /* borrowed; its `failed` tells whether all is in it */
	bool classic;     /* text format 0.0.4 */
	const char *name; /* private: the family that was begun last */
	enum metric_type type;
};

struct metric_label {
	const char *name;
	const char *value; /* any text; what is not UTF-8 becomes U+FFFD */
};
#define LABELS(...)                                   \
	(const struct metric_label[]){ __VA_ARGS__ }, \
		sizeof((const struct metric_label[]){ __VA_ARGS__ }) / sizeof(struct metric_label)
#define NO_LABELS NULL, 0

/* A family: name without `_total` or `_info`, which are added to the samples. Its samples follow, no other
 * family's between them. Borrows name. */
void metric_family(struct openmetrics *m, const char *name, enum metric_type type, const char *help);
void metric_count(struct openmetrics *m, const struct metric_label *labels, size_t count, uint64_t value);
void metric_seconds(struct openmetrics *m, const struct metric_label *labels, size_t count, int64_t value_ms);
/* buckets: bound_count + 1 of them, each its own count (the last: beyond all bounds); bounds ascend. */
void metric_histogram(struct openmetrics *m, const struct metric_label *labels, size_t count,
		      const int64_t *bounds_ms, size_t bound_count, const uint64_t *buckets, uint64_t sum_ms);
void metrics_end(struct openmetrics *m);
