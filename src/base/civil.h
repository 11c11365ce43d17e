/* Days of the Gregorian calendar, counted from 1970-01-01 (day 0, a Thursday). Years -9999 to 99999 stay
 * exact. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct civil_day {
	int64_t year;
	int month; /* 1 … 12 */
	int day;   /* 1 … 31 */
};

int64_t civil_to_days(int64_t year, int month, int day);
struct civil_day civil_from_days(int64_t days);
int civil_weekday(int64_t days); /* 0 = Sunday … 6 */
int civil_month_days(int64_t year, int month);
bool civil_is_leap(int64_t year);
