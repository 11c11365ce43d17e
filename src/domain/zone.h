/* A time zone as data: what a file of the system's zoneinfo (TZif, RFC 8536) or a rule such as
 * CET-1CEST,M3.5.0,M10.5.0/3 says. The C library's own zone belongs to the whole process and is changed
 * behind the back of its threads; this one is a value: made once, asked from anywhere. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

struct zone;

/* All times are seconds since 1970-01-01 UTC; what is not known begins at INT64_MIN and ends at INT64_MAX. */
struct zone_span {
	int64_t from_s,
		until_s;  /* [from, until): within it the offset is the same (neighbours may have it, too) */
	int64_t offset_s; /* local time less UTC */
};

/* The bytes of a file. 0, -EINVAL (not one, or torn, or one that counts leap seconds), -ENOMEM. */
MUST_CHECK int zone_from_file(struct bytes tzif, struct zone **ret_zone);
/* POSIX's rule as in $TZ, with hours up to 167 and names in <>. 0, -EINVAL, -ENOMEM. */
MUST_CHECK int zone_from_rule(const char *rule, struct zone **ret_zone);
void zone_free(struct zone *z);

/* z NULL: UTC. */
struct zone_span zone_span(const struct zone *z, int64_t at_s);
