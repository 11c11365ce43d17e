/* A schedule's expression, as crontab(5) has it, and when it next comes. Pure.
 *
 * Five fields: minute, hour, day of the month, month, day of the week; lists, ranges, steps, names of months
 * and days; @hourly and its kin. Where neither of the two days begins with `*`, either is enough; else both
 * count.
 *
 * A slot is a moment (UTC) at which an entry is due. Where the clocks change:
 *   hour begins with `*`:  each minute that comes and fits, by the local clock of that moment: none for what
 * is skipped, both of what comes twice. any other hour:        what comes twice counts the first time; what
 * is skipped comes, all of it as one slot, at the moment of the jump. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "domain/zone.h"

struct cron {
	uint64_t minutes; /* bit n = minute n */
	uint32_t hours;
	uint32_t month_days; /* bits 1 … 31 */
	uint16_t months;     /* bits 1 … 12 */
	uint8_t week_days;   /* bits 0 (Sunday) … 6 */
	bool each_hour;      /* hour begins with `*` */
	bool both_days;      /* one of the days begins with `*` */
};

/* 0; -EINVAL with what is wrong and what would be right, and the place of it (bytes from the beginning of the
 * text). An expression that never comes (30 February) is wrong, too. */
MUST_CHECK int cron_parse(const char *text, struct cron *ret_cron, size_t *ret_place,
			  struct fault *ret_fault);

/* The first slot after a moment, both in seconds since 1970 UTC; CRON_NEVER: none that the calendar reaches.
 * zone NULL: UTC. */
#define CRON_NEVER INT64_MAX
int64_t cron_next(const struct cron *cron, const struct zone *zone, int64_t after_s);

/* Slots in (after, until]: how many, counted up to most, … */
int64_t cron_count(const struct cron *cron, const struct zone *zone, int64_t after_s, int64_t until_s,
		   int64_t most);
/* … and the nth from the end (1: the last one), or after_s where there are fewer. Bounded work, however long
 * the time. */
int64_t cron_last(const struct cron *cron, const struct zone *zone, int64_t after_s, int64_t until_s,
		  int64_t nth);
