/* Strict numbers: what is one, what is not, and every overflow. */
#include "unit.h"

#include "base/num.h"

struct row {
	struct bytes text;
	int r;
	int64_t value;
};

static void check(int (*parse)(struct bytes, int64_t *), const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int64_t value = -77;
		int r = parse(rows[i].text, &value);
		if (r != rows[i].r)
			print_error("\"%.*s\" gives %d\n", (int)rows[i].text.n, rows[i].text.p ? rows[i].text.p : "", r);
		assert_int_equal(r, rows[i].r);
		assert_int_equal(value, r == 0 ? rows[i].value : -77); /* untouched on failure */
	}
}

static void test_i64(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ BYTES("0"), 0, 0 },
		{ BYTES("-0"), 0, 0 },
		{ BYTES("007"), 0, 7 },
		{ BYTES("9223372036854775807"), 0, INT64_MAX },
		{ BYTES("-9223372036854775808"), 0, INT64_MIN },
		{ BYTES("9223372036854775808"), -ERANGE, 0 },
		{ BYTES("-9223372036854775809"), -ERANGE, 0 },
		{ BYTES("99999999999999999999999"), -ERANGE, 0 },
		{ BYTES("99999999999999999999999x"), -EINVAL, 0 },
		{ BYTES(""), -EINVAL, 0 },
		{ { NULL, 0 }, -EINVAL, 0 },
		{ BYTES("-"), -EINVAL, 0 },
		{ BYTES("+1"), -EINVAL, 0 },
		{ BYTES(" 1"), -EINVAL, 0 },
		{ BYTES("1 "), -EINVAL, 0 },
		{ BYTES("1\0"), -EINVAL, 0 },
		{ BYTES("0x1"), -EINVAL, 0 },
		{ BYTES("1e3"), -EINVAL, 0 },
	};
	check(num_i64, rows, ARRAY_LEN(rows));
}

static void test_u64(void **state)
{
	(void)state;
	uint64_t value = 0;
	assert_int_equal(num_u64(BYTES("18446744073709551615"), &value), 0);
	assert_true(value == UINT64_MAX);
	assert_int_equal(num_u64(BYTES("18446744073709551616"), &value), -ERANGE);
	assert_int_equal(num_u64(BYTES("-1"), &value), -EINVAL);
}

static void test_text(void **state)
{
	(void)state;
	static const struct {
		int64_t value;
		const char *text;
	} rows[] = {
		{ 0, "0" },
		{ -1, "-1" },
		{ 10, "10" },
		{ 1700000000000, "1700000000000" },
		{ INT64_MAX, "9223372036854775807" },
		{ INT64_MIN, "-9223372036854775808" },
	};
	char text[NUM_TEXT_SIZE];
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(num_i64_text(rows[i].value, text), strlen(rows[i].text));
		assert_string_equal(text, rows[i].text);
	}
	assert_int_equal(num_u64_text(UINT64_MAX, text), 20);
	assert_string_equal(text, "18446744073709551615");
}

static void test_seconds(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ BYTES("30"), 0, 30000 },      { BYTES("0.5"), 0, 500 },      { BYTES("0"), 0, 0 },
		{ BYTES("0.0004"), 0, 0 },      { BYTES("0.0006"), 0, 1 },     { BYTES("1.999"), 0, 1999 },
		{ BYTES("99999999999"), 0, (int64_t)10 * 366 * 24 * 3600 * 1000 },
		{ BYTES("-1"), -EINVAL, 0 },    { BYTES(""), -EINVAL, 0 },     { { NULL, 0 }, -EINVAL, 0 },
		{ BYTES("."), -EINVAL, 0 },     { BYTES("1."), -EINVAL, 0 },   { BYTES(".5"), -EINVAL, 0 },
		{ BYTES("1.2.3"), -EINVAL, 0 }, { BYTES("1e9"), -EINVAL, 0 },  { BYTES("nan"), -EINVAL, 0 },
		{ BYTES("inf"), -EINVAL, 0 },   { BYTES("0,5"), -EINVAL, 0 },  { BYTES("1.-5"), -EINVAL, 0 },
	};
	check(num_seconds_ms, rows, ARRAY_LEN(rows));
}

static void test_decimal(void **state)
{
	(void)state;
	double value = 0;
	assert_int_equal(num_decimal(BYTES("0.25"), &value), 0);
	assert_true(value > 0.2499999 && value < 0.2500001);
	assert_int_equal(num_decimal(BYTES("1."), &value), -EINVAL);
}

static void test_duration(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ BYTES("0"), 0, 0 },          { BYTES("500ms"), 0, 500 },     { BYTES("30s"), 0, 30000 },    { BYTES("5m"), 0, 300000 },
		{ BYTES("2h"), 0, 7200000 },   { BYTES("7d"), 0, 604800000 },  { BYTES("0s"), 0, 0 },         { BYTES("5"), -EINVAL, 0 },
		{ BYTES("00"), -EINVAL, 0 },   { BYTES(""), -EINVAL, 0 },      { { NULL, 0 }, -EINVAL, 0 },   { BYTES("s"), -EINVAL, 0 },
		{ BYTES("-5s"), -EINVAL, 0 },  { BYTES("5 s"), -EINVAL, 0 },   { BYTES("1.5s"), -EINVAL, 0 }, { BYTES("5sec"), -EINVAL, 0 },
		{ BYTES("5S"), -EINVAL, 0 },   { BYTES("5s\0"), -EINVAL, 0 },  { BYTES("4000d"), -ERANGE, 0 },
		{ BYTES("9223372036854775807d"), -ERANGE, 0 },
	};
	check(num_duration_ms, rows, ARRAY_LEN(rows));
}

static void test_size(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ BYTES("123"), 0, 123 },       { BYTES("64K"), 0, 65536 },   { BYTES("10M"), 0, 10485760 }, { BYTES("1G"), 0, 1073741824 },
		{ BYTES("0"), 0, 0 },           { BYTES(""), -EINVAL, 0 },    { BYTES("K"), -EINVAL, 0 },    { BYTES("64k"), -EINVAL, 0 },
		{ BYTES("64KB"), -EINVAL, 0 },  { BYTES("-1K"), -EINVAL, 0 }, { BYTES("9223372036854775807K"), -ERANGE, 0 },
	};
	check(num_size_bytes, rows, ARRAY_LEN(rows));
}

static void test_duration_text(void **state)
{
	(void)state;
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {
		{ 0, "0" }, { 1, "1ms" }, { 1500, "1500ms" }, { 30000, "30s" }, { 300000, "5m" }, { 90000, "90s" }, { 7200000, "2h" }, { 604800000, "7d" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[NUM_DURATION_SIZE];
		int64_t back = -1;
		assert_string_equal(num_duration_text(rows[i].ms, text), rows[i].text);
		assert_int_equal(num_duration_ms(bytes_of(text), &back), 0);
		assert_int_equal(back, rows[i].ms);
	}
}

static void test_rate(void **state)
{
	(void)state;
	static const struct {
		struct bytes text;
		int result;
		int64_t count, period_ms;
	} rows[] = {
		{ BYTES("0"), 0, 0, 0 },           { BYTES("10/s"), 0, 10, 1000 },    { BYTES("1/h"), 0, 1, 3600000 },
		{ BYTES("600/m"), 0, 600, 60000 }, { BYTES("1000000/s"), 0, 1000000, 1000 },
		{ BYTES("0/s"), -ERANGE, 0, 0 },   { BYTES("-1/s"), -ERANGE, 0, 0 },  { BYTES("1000001/s"), -ERANGE, 0, 0 },
		{ BYTES("99999999999999999999/s"), -ERANGE, 0, 0 },
		{ BYTES("10"), -EINVAL, 0, 0 },    { BYTES("/s"), -EINVAL, 0, 0 },    { BYTES("10/"), -EINVAL, 0, 0 },
		{ BYTES("10/S"), -EINVAL, 0, 0 },  { BYTES("10/d"), -EINVAL, 0, 0 },  { BYTES("10 /s"), -EINVAL, 0, 0 },
		{ BYTES("1.5/s"), -EINVAL, 0, 0 }, { BYTES("10/s/s"), -EINVAL, 0, 0 }, { BYTES(""), -EINVAL, 0, 0 },
		{ { NULL, 0 }, -EINVAL, 0, 0 },    { BYTES("10/s\0"), -EINVAL, 0, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[NUM_DURATION_SIZE];
		int64_t count = -1, period_ms = -1;
		assert_int_equal(num_rate(rows[i].text, &count, &period_ms), rows[i].result);
		if (rows[i].result != 0)
			continue;
		assert_int_equal(count, rows[i].count);
		assert_int_equal(period_ms, rows[i].period_ms);
		assert_true(bytes_eq(bytes_of(num_rate_text(count, period_ms, text)), rows[i].text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_i64),     cmocka_unit_test(test_u64),
		cmocka_unit_test(test_text),    cmocka_unit_test(test_seconds),
		cmocka_unit_test(test_decimal), cmocka_unit_test(test_duration),
		cmocka_unit_test(test_size),    cmocka_unit_test(test_duration_text),
		cmocka_unit_test(test_rate),
	};
	return RUN_GROUP(tests);
}
