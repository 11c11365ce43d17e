/* The rule for all years behind a zone's last transition: POSIX's TZ. Private to the zone. */
#pragma once

#include <stdbool.h>

#include "domain/zone.h"

enum zone_day_kind {
	ZONE_DAY_JULIAN /* J1 … J365, no leap day */,
	ZONE_DAY_OF_YEAR /* 0 … 365 */,
	ZONE_DAY_OF_MONTH /* M.week.weekday */
};

struct zone_day {
	enum zone_day_kind kind;
	int month, week, day;
	int64_t time_s; /* of the local day; may be negative or beyond it */
};

struct zone_rule {
	int64_t standard_s, summer_s; /* local less UTC */
	bool has_summer;
	struct zone_day begin, end; /* of summer time */
};

/* The whole text must be one. */
bool zone_rule_parse(struct bytes text, struct zone_rule *ret_rule);
struct zone_span zone_rule_span(const struct zone_rule *rule, int64_t at_s);
