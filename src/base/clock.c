/* The clocks. clock_gettime cannot fail for these, so nobody has to check. */
#include "base/clock.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

static int64_t read_us(clockid_t id)
{
	struct timespec t;
	(void)clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

int64_t clock_boot_ms(void)
{
	return read_us(CLOCK_BOOTTIME) / 1000;
}

int64_t clock_wall_us(void)
{
	return read_us(CLOCK_REALTIME);
}

int64_t clock_wall_ms(void)
{
	return clock_wall_us() / 1000;
}

void clock_stamp(int64_t wall_us, char ret_text[CLOCK_STAMP_SIZE])
{
	int64_t below = ((wall_us % 1000000) + 1000000) % 1000000; /* never negative, so that times before 1970 are right too */
	time_t seconds = (time_t)((wall_us - below) / 1000000);
	struct tm tm;
	char day[CLOCK_STAMP_SIZE - 8];

	if (!gmtime_r(&seconds, &tm) || strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		snprintf(day, sizeof(day), "1970-01-01T00:00:00");
	snprintf(ret_text, CLOCK_STAMP_SIZE, "%s.%06uZ", day, (unsigned)below % 1000000u);
}

/* Exactly n digits, taken off the front. */
static bool take_digits(struct bytes *text, size_t n, int64_t *ret_value)
{
	int64_t value = 0;
	if (text->n < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (text->p[i] < '0' || text->p[i] > '9')
			return false;
		value = value * 10 + (text->p[i] - '0');
	}
	*text = (struct bytes){ text->p + n, text->n - n };
	*ret_value = value;
	return true;
}

static bool take_char(struct bytes *text, char c)
{
	if (text->n == 0 || *text->p != c)
		return false;
	*text = (struct bytes){ text->p + 1, text->n - 1 };
	return true;
}

/* Days since 1970-01-01 in the Gregorian calendar; a year here begins in March, so that a leap day is its last. */
static bool take_day(struct bytes *text, int64_t *ret_days)
{
	static const int month_days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int64_t year, month, day;
	if (!take_digits(text, 4, &year) || !take_char(text, '-') || !take_digits(text, 2, &month) || !take_char(text, '-') ||
	    !take_digits(text, 2, &day))
		return false;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (year < 1970 || month < 1 || month > 12 || day < 1 || day > month_days[month - 1] || (month == 2 && day == 29 && !leap))
		return false;
	int64_t y = month <= 2 ? year - 1 : year, m = (month + 9) % 12;
	*ret_days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 306 + 5) / 10 + day - 1 - 719468;
	return true;
}

static bool take_fraction(struct bytes *text, int64_t *ret_us)
{
	int64_t unit = 100000, digit;
	*ret_us = 0;
	if (!take_char(text, '.'))
		return true;
	if (!take_digits(text, 1, &digit))
		return false;
	do {
		*ret_us += digit * unit;
		unit /= 10;
	} while (take_digits(text, 1, &digit));
	return true;
}

static bool take_time(struct bytes *text, int64_t *ret_us)
{
	int64_t hour, minute, second = 0, fraction;
	if (!take_digits(text, 2, &hour) || !take_char(text, ':') || !take_digits(text, 2, &minute))
		return false;
	if (take_char(text, ':') && !take_digits(text, 2, &second))
		return false;
	if (hour > 23 || minute > 59 || second > 60 || !take_fraction(text, &fraction))
		return false;
	*ret_us = ((hour * 60 + minute) * 60 + second) * 1000000 + fraction;
	return true;
}

static bool take_zone(struct bytes *text, int64_t *ret_us)
{
	int64_t hour, minute, sign;
	*ret_us = 0;
	if (text->n == 0 || take_char(text, 'Z'))
		return true;
	sign = take_char(text, '-') ? -1 : take_char(text, '+') ? 1 : 0;
	if (sign == 0 || !take_digits(text, 2, &hour) || !take_char(text, ':') || !take_digits(text, 2, &minute) || hour > 23 || minute > 59)
		return false;
	*ret_us = sign * (hour * 60 + minute) * 60 * 1000000;
	return true;
}

int clock_parse(struct bytes text, int64_t *ret_wall_us)
{
	int64_t days, us = 0, zone_us = 0;
	if (!take_day(&text, &days))
		return -EINVAL;
	if (text.n > 0 && ((!take_char(&text, 'T') && !take_char(&text, ' ')) || !take_time(&text, &us) || !take_zone(&text, &zone_us)))
		return -EINVAL;
	if (text.n > 0)
		return -EINVAL;
	*ret_wall_us = days * 86400 * 1000000 + us - zone_us;
	return 0;
}
