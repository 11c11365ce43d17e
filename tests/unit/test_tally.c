/* The buckets of the metrics' histograms: bounds belong to the bucket below, nothing is lost, and every word
 * has a name. */
#include "unit.h"

#include "ipc/tally.h"

static void test_bounds(void **state)
{
	(void)state;
	assert_int_equal(tally_bucket(0), 0);
	for (size_t i = 0; i < TALLY_BOUNDS; i++) {
		if (i > 0)
			assert_true(tally_bounds_ms[i] > tally_bounds_ms[i - 1]);
		assert_int_equal(tally_bucket(tally_bounds_ms[i]), i);
		assert_int_equal(tally_bucket(tally_bounds_ms[i] + 1), i + 1);
	}
	assert_int_equal(tally_bucket(INT64_MAX), TALLY_BOUNDS);
}

static void test_times(void **state)
{
	struct tally_histogram h = { 0 };
	(void)state;

	tally_time(&h, -5); /* a clock that went back: no time, but one more */
	tally_time(&h, 3);
	tally_time(&h, INT64_C(7200000));
	assert_int_equal(h.bucket[0], 1);
	assert_int_equal(h.bucket[1], 1);
	assert_int_equal(h.bucket[TALLY_BOUNDS], 1);
	assert_int_equal(h.sum_ms, 7200003);
}

static void test_names(void **state)
{
	(void)state;
	for (int i = 0; i < TALLY_OUTCOME_COUNT; i++)
		assert_true(strlen(tally_outcome_name((enum tally_outcome)i)) > 0);
	for (int i = 0; i < TALLY_RECOVERY_COUNT; i++)
		assert_true(strlen(tally_recovery_name((enum tally_recovery)i)) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_names),
	};
	return RUN_GROUP(tests);
}
