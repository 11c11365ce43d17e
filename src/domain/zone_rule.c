/* A rule gives two changes a year. Which span a moment is in is told by the changes of its year and of those
 * around it, in their order. */
#include "domain/zone_rule.h"

#include "base/civil.h"

enum {
	DAY_S = 24 * 60 * 60,
	OFFSET_HOURS = 24,
	TIME_HOURS = 167,
	YEARS_AROUND = 1,
	CHANGES = 2 * (2 * YEARS_AROUND + 1)
};

/* What is left of the text. */
struct rule_text {
	const char *p, *end;
};

static bool take(struct rule_text *t, char c)
{
	if (t->p == t->end || *t->p != c)
		return false;
	t->p++;
	return true;
}

static bool take_number(struct rule_text *t, int64_t least, int64_t most, int64_t *ret_value)
{
	int64_t value = 0;
	const char *begin = t->p;

	while (t->p < t->end && *t->p >= '0' && *t->p <= '9' && value <= most)
		value = value * 10 + (*t->p++ - '0');
	if (t->p == begin || value < least || value > most)
		return false;
	*ret_value = value;
	return true;
}

/* The names are not used. */
static bool take_name(struct rule_text *t)
{
	const char *begin = t->p;

	if (take(t, '<')) {
		while (t->p < t->end && *t->p != '>')
			t->p++;
		return take(t, '>') && t->p - begin >= 5;
	}
	while (t->p < t->end && ((*t->p >= 'a' && *t->p <= 'z') || (*t->p >= 'A' && *t->p <= 'Z')))
		t->p++;
	return t->p - begin >= 3;
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(struct rule_text *t, int64_t hours, int64_t *ret_s)
{
	bool minus = take(t, '-');
	int64_t h, m = 0, s = 0;

	if (!minus)
		(void)take(t, '+');
	if (!take_number(t, 0, hours, &h) ||
	    (take(t, ':') && (!take_number(t, 0, 59, &m) || (take(t, ':') && !take_number(t, 0, 59, &s)))))
		return false;
	*ret_s = (h * 3600 + m * 60 + s) * (minus ? -1 : 1);
	return true;
}

static bool take_day(struct rule_text *t, struct zone_day *d)
{
	int64_t month = 0, week = 0, day = 0;

	if (take(t, 'M')) {
		d->kind = ZONE_DAY_OF_MONTH;
		if (!take_number(t, 1, 12, &month) || !take(t, '.') || !take_number(t, 1, 5, &week) ||
		    !take(t, '.') || !take_number(t, 0, 6, &day))
			return false;
	} else {
		d->kind = take(t, 'J') ? ZONE_DAY_JULIAN : ZONE_DAY_OF_YEAR;
		if (!take_number(t, d->kind == ZONE_DAY_JULIAN ? 1 : 0, 365, &day))
			return false;
	}
	d->month = (int)month;
	d->week = (int)week;
	d->day = (int)day;
	d->time_s = 2 * 3600;
	return !take(t, '/') || take_time(t, TIME_HOURS, &d->time_s);
}

bool zone_rule_parse(struct bytes text, struct zone_rule *ret_rule)
{
	struct rule_text t = { text.p, text.p + text.n };
	struct zone_rule r = { 0 };

	if (!take_name(&t) || !take_time(&t, OFFSET_HOURS, &r.standard_s))
		return false;
	r.standard_s = r.summer_s = -r.standard_s; /* written the other way round */
	if (t.p < t.end) {
		r.has_summer = true;
		r.summer_s += 3600;
		if (!take_name(&t))
			return false;
		if (t.p < t.end && *t.p != ',') {
			if (!take_time(&t, OFFSET_HOURS, &r.summer_s))
				return false;
			r.summer_s = -r.summer_s;
		}
		if (!take(&t, ',') || !take_day(&t, &r.begin) || !take(&t, ',') || !take_day(&t, &r.end))
			return false;
	}
	if (t.p != t.end)
		return false;
	*ret_rule = r;
	return true;
}

/* The moment of a change, by the clock that is in force before it. */
static int64_t change_at(const struct zone_day *d, int64_t year, int64_t offset_s)
{
	int64_t day = civil_to_days(year, 1, 1);

	if (d->kind == ZONE_DAY_OF_YEAR) {
		day += d->day;
	} else if (d->kind == ZONE_DAY_JULIAN) {
		day += d->day - 1 + (civil_is_leap(year) && d->day >= 60);
	} else {
		int64_t first = civil_to_days(year, d->month, 1);
		int64_t in_month = (d->day - civil_weekday(first) + 7) % 7 + (d->week - 1) * 7;
		while (in_month >= civil_month_days(year, d->month)) /* week 5 is the last one */
			in_month -= 7;
		day = first + in_month;
	}
	return day * DAY_S + d->time_s - offset_s;
}

struct zone_span zone_rule_span(const struct zone_rule *rule, int64_t at_s)
{
	struct zone_span span = { INT64_MIN, INT64_MAX, rule->standard_s };
	struct {
		int64_t at_s, offset_s;
	} changes[CHANGES];
	size_t count = 0;

	if (!rule->has_summer)
		return span;
	int64_t day = at_s / DAY_S - (at_s % DAY_S < 0);
	int64_t year = civil_from_days(day).year;
	for (int64_t y = year - YEARS_AROUND; y <= year + YEARS_AROUND; y++) {
		int64_t begin = change_at(&rule->begin, y, rule->standard_s),
			end = change_at(&rule->end, y, rule->summer_s);
		bool begin_first = begin < end; /* at the same moment summer time begins anew */
		changes[count].at_s = begin_first ? begin : end;
		changes[count++].offset_s = begin_first ? rule->summer_s : rule->standard_s;
		changes[count].at_s = begin_first ? end : begin;
		changes[count++].offset_s = begin_first ? rule->standard_s : rule->summer_s;
	}
	/* Where summer time fills the year its end lies in the next one, at the moment of its beginning: the
	 * beginning counts. */
	for (size_t i = 0; i < count; i++) {
		if (changes[i].at_s > at_s) {
			if (changes[i].at_s < span.until_s)
				span.until_s = changes[i].at_s;
		} else if (changes[i].at_s > span.from_s ||
			   (changes[i].at_s == span.from_s && changes[i].offset_s == rule->summer_s)) {
			span.from_s = changes[i].at_s;
			span.offset_s = changes[i].offset_s;
		}
	}
	return span;
}
