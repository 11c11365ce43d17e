/* A year here begins in March, so that a leap day is its last; 400 years are always as long. */
#include "base/civil.h"

enum { ERA_YEARS = 400, ERA_DAYS = 146097, ERA_TO_1970 = 719468 /* days from 0000-03-01 */ };

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

bool civil_is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

int civil_month_days(int64_t year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return month == 2 && civil_is_leap(year) ? 29 : days[month - 1];
}

int64_t civil_to_days(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = floor_div(y, ERA_YEARS), of_era = y - era * ERA_YEARS;
	int64_t of_year = ((month + 9) % 12 * 306 + 5) / 10 + day - 1;

	return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - ERA_TO_1970;
}

struct civil_day civil_from_days(int64_t days)
{
	int64_t era = floor_div(days + ERA_TO_1970, ERA_DAYS);
	int64_t of_era = days + ERA_TO_1970 - era * ERA_DAYS;
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * of_year + 2) / 153; /* 0 = March */
	struct civil_day d = {
		.year = year + era * ERA_YEARS + (month >= 10),
		.month = (int)(month < 10 ? month + 3 : month - 9),
		.day = (int)(of_year - (153 * month + 2) / 5 + 1),
	};

	return d;
}

int civil_weekday(int64_t days)
{
	return (int)(days + 4 - floor_div(days + 4, 7) * 7);
}
