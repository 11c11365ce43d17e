/* Expressions: what is taken, what is refused and what is said of it, at which place; the next slot; the
 * calendar below it. That the slots of whole years are right in many zones is compared with another reckoning
 * in tests/integration/test_cron.py. */
#include "unit.h"

#include "base/civil.h"
#include "domain/cron.h"

#define ALL(n) ((UINT64_C(1) << (n)) - 1)

static struct cron parse(const char *text)
{
	struct cron c = { 0 };
	struct fault fault = { 0 };
	size_t place;

	if (cron_parse(text, &c, &place, &fault) < 0)
		fail_msg("%s: %s", text, fault.text);
	return c;
}

static void test_taken(void **state)
{
	static const struct {
		const char *text;
		uint64_t minutes, hours, month_days, months, week_days;
	} rows[] = {
		{ "* * * * *", ALL(60), ALL(24), ALL(32) - 1, ALL(13) - 1, ALL(7) },
		{ " 0\t3  *\n* * \n", 1, 8, ALL(32) - 1, ALL(13) - 1, ALL(7) },
		{ "*/15 */12 */10 */6 */2", 1 | 1 << 15 | 1 << 30 | UINT64_C(1) << 45, 1 | 1 << 12,
		  1 << 1 | 1 << 11 | 1 << 21 | 1u << 31, 1 << 1 | 1 << 7, 0x55 },
		{ "5,10-12,50-59/4 1 1 1 1",
		  1 << 5 | 1 << 10 | 1 << 11 | 1 << 12 | UINT64_C(0x44) << 48 | UINT64_C(1) << 58, 2, 2, 2,
		  2 },
		{ "0 0 1 jan,Mar-MAY,12 *", 1, 1, 2, 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 12, ALL(7) },
		{ "0 0 * * mon-fri", 1, 1, ALL(32) - 1, ALL(13) - 1, 0x3e },
		{ "0 0 * * 7", 1, 1, ALL(32) - 1, ALL(13) - 1, 1 },
		{ "0 0 * * 5-7", 1, 1, ALL(32) - 1, ALL(13) - 1, 0x61 },
		{ "0 0 * * FRI-SUN", 1, 1, ALL(32) - 1, ALL(13) - 1, 0x61 },
		{ "0 0 * * sun-tue", 1, 1, ALL(32) - 1, ALL(13) - 1, 7 },
		{ "0 0 * * 0,7", 1, 1, ALL(32) - 1, ALL(13) - 1, 1 },
		{ "0 0 29 2 *", 1, 1, 1 << 29, 4, ALL(7) },
		{ "@hourly", 1, ALL(24), ALL(32) - 1, ALL(13) - 1, ALL(7) },
		{ "@daily", 1, 1, ALL(32) - 1, ALL(13) - 1, ALL(7) },
		{ " @Midnight ", 1, 1, ALL(32) - 1, ALL(13) - 1, ALL(7) },
		{ "@weekly", 1, 1, ALL(32) - 1, ALL(13) - 1, 1 },
		{ "@monthly", 1, 1, 2, ALL(13) - 1, ALL(7) },
		{ "@yearly", 1, 1, 2, 2, ALL(7) },
		{ "@annually", 1, 1, 2, 2, ALL(7) },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cron c = parse(rows[i].text);
		if (c.minutes != rows[i].minutes || c.hours != rows[i].hours ||
		    c.month_days != rows[i].month_days || c.months != rows[i].months ||
		    c.week_days != rows[i].week_days)
			fail_msg("%s: %llx %x %x %x %x", rows[i].text, (unsigned long long)c.minutes, c.hours,
				 c.month_days, c.months, c.week_days);
	}
	assert_true(parse("0 * 1 1 1").each_hour && parse("0 */2 1 1 1").each_hour &&
		    !parse("* 0-23 1 1 1").each_hour);
	assert_true(parse("0 0 * 1 1").both_days && parse("0 0 1 1 *").both_days &&
		    parse("0 0 */2 1 1").both_days && !parse("0 0 1 1 1").both_days);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		size_t place;
		const char *says; /* the beginning of it */
	} rows[] = {
		{ "", 0, "has 0 fields, not five" },
		{ " ", 0, "has 0 fields" },
		{ "*", 0,
		  "has 1 field, not five (minute hour day month weekday, such as \"0 3 * * *\"; or @daily" },
		{ "* * * *", 0, "has 4 fields" },
		{ "0 * * * * *", 0,
		  "has 6 fields, not five (minute hour day month weekday, such as \"0 3 * * *\"; seconds are "
		  "not known)" },
		{ "60 * * * *", 0, "minute: must be 0 to 59, not 60" },
		{ "* 24 * * *", 2, "hour: must be 0 to 23, not 24" },
		{ "* * 0 * *", 4, "day of the month: must be 1 to 31, not 0" },
		{ "* * 32 * *", 4, "day of the month: must be 1 to 31" },
		{ "* * * 0 *", 6, "month: must be 1 to 12" },
		{ "* * * 13 *", 6, "month: must be 1 to 12" },
		{ "* * * * 8", 8, "day of the week: must be 0 to 7" },
		{ "99999999999999999999 * * * *", 0, "minute: must be 0 to 59, not 99999999999999999999" },
		{ "0,61 * * * *", 2, "minute: must be 0 to 59, not 61" },
		{ "10-5 * * * *", 0,
		  "minute: the range 10-5 runs backwards (write two, with a comma between)" },
		{ "* * * * fri-mon", 8, "day of the week: the range fri-mon runs backwards" },
		{ "*/0 * * * *", 2, "minute: the step must be 1 to 59" },
		{ "*/60 * * * *", 2, "minute: the step must be 1 to 59" },
		{ "*/ * * * *", 2, "minute: the step must be" },
		{ "*/99999999999 * * * *", 2, "minute: the step must be" },
		{ "5/10 * * * *", 1, "minute: a step needs a range before it (such as */5 or 10-59/5)" },
		{ "* * * monday *", 6, "month: monday is no name here (jan, feb" },
		{ "* * * * monday", 8, "day of the week: monday is no name here (sun, mon" },
		{ "mon * * * *", 0, "minute: mon is no name here (write a number)" },
		{ "* * ? * *", 4, "day of the month: ? is not known here" },
		{ "* * L * *", 4, "day of the month: L is no name here" },
		{ "* * * * 5L", 9, "day of the week: L cannot stand there" },
		{ "* * * * 5#2", 9, "day of the week: # cannot stand there" },
		{ "~ * * * *", 0, "minute: ~ is not known here" },
		{ "1,,2 * * * *", 2, "minute: a number is missing" },
		{ ", * * * *", 0, "minute: a number is missing" },
		{ "1, * * * *", 2, "minute: a number is missing" },
		{ "-5 * * * *", 0, "minute: a number is missing" },
		{ "5- * * * *", 2, "minute: a number is missing" },
		{ "1-5-9 * * * *", 3, "minute: - cannot stand there" },
		{ "** * * * *", 1, "minute: * cannot stand there" },
		{ "*5 * * * *", 1, "minute: 5 cannot stand there" },
		{ "+5 * * * *", 0, "minute: a number is missing" },
		{ "0x5 * * * *", 1, "minute: x cannot stand there" },
		{ "5\x01 * * * *", 1, "minute: ? cannot stand there" },
		{ "@dialy", 0, "@dialy is not known (@hourly, @daily, @weekly, @monthly or @yearly)" },
		{ " @reboot", 1, "@reboot is not known" },
		{ "@daily 5", 0, "@daily 5 is not known" },
		{ "@", 0, "@ is not known" },
		{ "0 0 30 2 *", 0, "never comes" },
		{ "0 0 31 4,6,9,feb,11 *", 0, "never comes" },
		{ "0 0 30-31 2 *", 0, "never comes" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fault fault = { 0 };
		struct cron c;
		size_t place = 999;
		if (cron_parse(rows[i].text, &c, &place, &fault) != -EINVAL)
			fail_msg("%s is taken", rows[i].text);
		if (strncmp(fault.text, rows[i].says, strlen(rows[i].says)) != 0 || place != rows[i].place)
			fail_msg("\"%s\": %s at %zu", rows[i].text, fault.text, place);
	}
}

/* 2026-01-01 00:00 UTC, a Thursday */
#define NEW_YEAR INT64_C(1767225600)
#define DAY      INT64_C(86400)

static int64_t next(const char *text, int64_t after)
{
	struct cron c = parse(text);

	return cron_next(&c, NULL, after);
}

static void test_next(void **state)
{
	(void)state;
	assert_int_equal(next("* * * * *", NEW_YEAR), NEW_YEAR + 60);
	assert_int_equal(next("* * * * *", NEW_YEAR - 1), NEW_YEAR);
	assert_int_equal(next("* * * * *", NEW_YEAR + 59), NEW_YEAR + 60);
	assert_int_equal(next("@yearly", NEW_YEAR), NEW_YEAR + 365 * DAY);
	assert_int_equal(next("@yearly", NEW_YEAR - 1), NEW_YEAR);
	assert_int_equal(next("59 23 31 12 *", NEW_YEAR), NEW_YEAR + 365 * DAY - 60);
	assert_int_equal(next("0 0 * * thu", NEW_YEAR), NEW_YEAR + 7 * DAY);
	assert_int_equal(next("0 0 13 * 5", NEW_YEAR), NEW_YEAR + DAY); /* either: the next Friday */
	assert_int_equal(next("0 0 */2 * 5", NEW_YEAR),
			 NEW_YEAR + 8 * DAY); /* both: a Friday with an odd day */
	assert_int_equal(next("0 0 29 2 *", NEW_YEAR), NEW_YEAR + (365 + 365 + 59) * DAY);
	assert_int_equal(next("0 0 29 2 *", INT64_C(3981916800) /* 2096-03-07 */),
			 civil_to_days(2104, 2, 29) * DAY);
	assert_int_equal(next("0 0 29 2 */7", NEW_YEAR), civil_to_days(2032, 2, 29) * DAY); /* a Sunday */
	assert_int_equal(next("0 0 1 1 *", -DAY * 400), -365 * DAY);
	assert_int_equal(next("* * * * *", INT64_MAX), CRON_NEVER);
	assert_int_equal(next("* * * * *", INT64_MIN), CRON_NEVER);
}

static void test_count(void **state)
{
	const struct cron minute = parse("* * * * *"), yearly = parse("@yearly"), crowd = parse("* * * 1 *");

	(void)state;
	assert_int_equal(cron_count(&minute, NULL, NEW_YEAR, NEW_YEAR + 600, 1000), 10);
	assert_int_equal(cron_count(&minute, NULL, NEW_YEAR, NEW_YEAR + 600, 7), 7);
	assert_int_equal(cron_count(&minute, NULL, NEW_YEAR, NEW_YEAR + 59, 1000), 0);
	assert_int_equal(cron_count(&minute, NULL, NEW_YEAR, NEW_YEAR - 600, 1000), 0);
	assert_int_equal(cron_last(&minute, NULL, NEW_YEAR, NEW_YEAR + 659, 1), NEW_YEAR + 600);
	assert_int_equal(cron_last(&minute, NULL, NEW_YEAR, NEW_YEAR + 660, 1), NEW_YEAR + 660);
	assert_int_equal(cron_last(&minute, NULL, NEW_YEAR, NEW_YEAR + 659, 3), NEW_YEAR + 480);
	assert_int_equal(cron_last(&minute, NULL, NEW_YEAR, NEW_YEAR + 659, 11), NEW_YEAR);
	assert_int_equal(cron_last(&minute, NULL, NEW_YEAR + 30, NEW_YEAR + 59, 1), NEW_YEAR + 30);
	/* Long ago: every minute since 1970. */
	assert_int_equal(cron_last(&minute, NULL, 0, NEW_YEAR + 5, 101), NEW_YEAR - 6000);
	assert_int_equal(cron_last(&yearly, NULL, 0, NEW_YEAR + 5, 2), NEW_YEAR - 365 * DAY);
	assert_int_equal(cron_last(&yearly, NULL, 0, NEW_YEAR + 5, 101), 0);
	assert_int_equal(cron_last(&crowd, NULL, 0, NEW_YEAR + 40 * DAY, 1), NEW_YEAR + 31 * DAY - 60);
}

static void test_civil(void **state)
{
	int64_t days = civil_to_days(1599, 12, 31);

	(void)state;
	for (int64_t year = 1600; year <= 2401; year++) {
		for (int month = 1; month <= 12; month++) {
			for (int day = 1; day <= civil_month_days(year, month); day++) {
				struct civil_day d = civil_from_days(++days);
				assert_true(d.year == year && d.month == month && d.day == day);
				assert_int_equal(civil_to_days(year, month, day), days);
				assert_int_equal(civil_weekday(days), ((days + 4) % 7 + 7) % 7);
			}
		}
	}
	assert_int_equal(civil_to_days(1970, 1, 1), 0);
	assert_int_equal(civil_weekday(0), 4);
	assert_true(civil_is_leap(2000) && !civil_is_leap(1900) && civil_is_leap(2024) &&
		    !civil_is_leap(2025));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken), cmocka_unit_test(test_refused), cmocka_unit_test(test_next),
		cmocka_unit_test(test_count), cmocka_unit_test(test_civil),
	};

	return RUN_GROUP(tests);
}
