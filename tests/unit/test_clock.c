/* Clocks go forward, stamps are RFC 3339. */
#include "unit.h"

#include "base/clock.h"

static void test_forward(void **state)
{
	(void)state;
	int64_t before = clock_mono_us();
	assert_true(clock_mono_us() >= before);
	assert_true(clock_mono_ms() >= before / 1000);
	assert_true(clock_boot_ms() >= clock_mono_ms() - 1);
	assert_true(clock_wall_ms() > 1600000000000); /* 2020 */
	assert_true(clock_wall_us() / 1000 >= clock_wall_ms() - 1000);
}

static void test_stamp(void **state)
{
	(void)state;
	static const struct {
		int64_t us;
		const char *text;
	} rows[] = {
		{ 0, "1970-01-01T00:00:00.000000Z" },
		{ 1706695872123456, "2024-01-31T10:11:12.123456Z" },
		{ 1709164800000001, "2024-02-29T00:00:00.000001Z" },
		{ -1, "1969-12-31T23:59:59.999999Z" },
		{ -1000000, "1969-12-31T23:59:59.000000Z" },
		{ 253402300799999999, "9999-12-31T23:59:59.999999Z" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[CLOCK_STAMP_SIZE];
		clock_stamp(rows[i].us, text);
		assert_string_equal(text, rows[i].text);
	}
}

static void test_stamp_of_nonsense(void **state)
{
	(void)state;
	static const int64_t rows[] = { INT64_MAX, INT64_MIN + 1000000, INT64_MAX / 1000 };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[CLOCK_STAMP_SIZE];
		clock_stamp(rows[i], text);
		assert_true(strlen(text) < sizeof(text));
		assert_int_equal(text[strlen(text) - 1], 'Z');
	}
}

static void test_parse(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t us;
	} rows[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2024-01-31T10:11:12.123456Z", 1706695872123456 },
		{ "2024-02-29", 1709164800000000 },
		{ "2024-02-29 00:00", 1709164800000000 },
		{ "2024-02-29T01:30:00+01:30", 1709164800000000 },
		{ "2024-02-28T22:00:00.0-02:00", 1709164800000000 },
		{ "2000-03-01T00:00:00.5Z", 951868800500000 },
		{ "9999-12-31T23:59:59.999999999Z", 253402300799999999 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t us;
		assert_int_equal(clock_parse(bytes_of(rows[i].text), &us), 0);
		assert_int_equal(us, rows[i].us);
	}
	static const char *const wrong[] = { "", "2024", "2024-13-01", "2023-02-29", "1900-01-01", "2024-01-01T", "2024-01-01T24:00Z",
					     "2024-01-01T00:00:00.Z", "2024-01-01T00:00:00+1", "2024-01-01T00:00:00Zx", "yesterday", "-001-01-01" };
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		int64_t us;
		assert_int_equal(clock_parse(bytes_of(wrong[i]), &us), -EINVAL);
	}
}

static void test_parse_is_the_way_back(void **state)
{
	(void)state;
	for (int64_t us = 1; us < 250000000000000000; us += us / 50 + 86400000000) {
		char text[CLOCK_STAMP_SIZE];
		int64_t back;
		clock_stamp(us, text);
		assert_int_equal(clock_parse(bytes_of(text), &back), 0);
		assert_int_equal(back, us);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forward),
		cmocka_unit_test(test_stamp),
		cmocka_unit_test(test_stamp_of_nonsense),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_is_the_way_back),
	};
	return RUN_GROUP(tests);
}
