/* The search goes through the spans of the zone, and within one through the local calendar: by days, then by
 * the bits of hours and minutes. */
#include "domain/cron.h"

#include "base/civil.h"

enum { MINUTE_S = 60, HOUR_MINUTES = 60, DAY_MINUTES = 24 * 60, DAY_S = 24 * 60 * 60 };
/* The longest way is from one 29 February on a certain day of the week to the next, across a century: 40
 * years. */
#define HORIZON_S    (INT64_C(41) * 366 * DAY_S)
#define MOMENT_MAX_S (INT64_C(250000000000)) /* far beyond any clock, far below what overflows */

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static bool day_fits(const struct cron *c, int64_t days)
{
	struct civil_day d = civil_from_days(days);
	bool of_month = c->month_days >> d.day & 1, of_week = c->week_days >> civil_weekday(days) & 1;

	return (c->months >> d.month & 1) && (c->both_days ? of_month && of_week : of_month || of_week);
}

/* The first minute of the day from `from` on, or -1. */
static int64_t minute_in_day(const struct cron *c, int64_t from)
{
	for (int64_t hour = from / HOUR_MINUTES; hour < 24; hour++) {
		uint64_t left = c->minutes >> (from % HOUR_MINUTES) << (from % HOUR_MINUTES);
		if ((c->hours >> hour & 1) && left)
			return hour * HOUR_MINUTES + __builtin_ctzll(left);
		from = 0;
	}
	return -1;
}

/* The first fitting minute of the local clock in [from, until), all in local seconds; CRON_NEVER: none. */
static int64_t find_local(const struct cron *c, int64_t from_s, int64_t until_s)
{
	int64_t minute = -floor_div(-from_s, MINUTE_S); /* the first that begins there or later */
	int64_t day = floor_div(minute, DAY_MINUTES), of_day = minute - day * DAY_MINUTES;

	for (; day * DAY_S < until_s; day++, of_day = 0) {
		int64_t found = day_fits(c, day) ? minute_in_day(c, of_day) : -1;
		if (found < 0)
			continue;
		int64_t at = (day * DAY_MINUTES + found) * MINUTE_S;
		return at < until_s ? at : CRON_NEVER;
	}
	return CRON_NEVER;
}

/* Within the span that begins or goes on at from. */
static int64_t next_in_span(const struct cron *c, const struct zone *zone, const struct zone_span *span,
			    int64_t from_s, int64_t until_s)
{
	if (!c->each_hour && span->from_s != INT64_MIN) {
		/* What the local clock showed last before the change: from there on it is new. */
		int64_t before_s = span->from_s + zone_span(zone, span->from_s - 1).offset_s,
			begin_s = span->from_s + span->offset_s;
		if (from_s == span->from_s && find_local(c, before_s, begin_s) != CRON_NEVER)
			return from_s;
		if (before_s > begin_s && from_s < before_s - span->offset_s)
			from_s = before_s - span->offset_s;
	}
	if (from_s >= until_s)
		return CRON_NEVER;
	int64_t found = find_local(c, from_s + span->offset_s, until_s + span->offset_s);
	return found == CRON_NEVER ? CRON_NEVER : found - span->offset_s;
}

int64_t cron_next(const struct cron *cron, const struct zone *zone, int64_t after_s)
{
	if (after_s < -MOMENT_MAX_S || after_s > MOMENT_MAX_S)
		return CRON_NEVER;
	int64_t limit = after_s + HORIZON_S;
	for (int64_t from = after_s + 1; from < limit;) {
		struct zone_span span = zone_span(zone, from);
		int64_t until = span.until_s < limit ? span.until_s : limit;
		int64_t found = next_in_span(cron, zone, &span, from, until);
		if (found != CRON_NEVER)
			return found;
		from = until;
	}
	return CRON_NEVER;
}

int64_t cron_count(const struct cron *cron, const struct zone *zone, int64_t after_s, int64_t until_s,
		   int64_t most)
{
	int64_t count = 0;

	while (count < most && (after_s = cron_next(cron, zone, after_s)) <= until_s)
		count++;
	return count;
}

int64_t cron_last(const struct cron *cron, const struct zone *zone, int64_t after_s, int64_t until_s,
		  int64_t nth)
{
	static const int64_t windows_s[] = { 2 * 3600, 2 * DAY_S, INT64_C(62) * DAY_S,
					     INT64_C(2) * 366 * DAY_S, HORIZON_S };

	/* From near the end: what lies years back is not counted minute by minute. */
	for (size_t i = 0; i <= ARRAY_LEN(windows_s); i++) {
		bool all = i == ARRAY_LEN(windows_s) || until_s - windows_s[i] <= after_s;
		int64_t begin = all ? after_s : until_s - windows_s[i];
		int64_t count = cron_count(cron, zone, begin, until_s, INT64_MAX);
		if (count < nth && !all)
			continue;
		for (; count >= nth; count--)
			begin = cron_next(cron, zone, begin);
		return begin;
	}
	return after_s;
}
