/* The histogram: every value is told within 7 %, up to nine hours; beyond, by the maximum. */
#include "unit.h"

#include "domain/stats.h"

static void test_empty(void **state)
{
	(void)state;
	struct histogram h = { 0 };
	assert_int_equal(histogram_quantile(&h, 0.5), -1);
}

static void test_error_of_one_value(void **state)
{
	(void)state;
	for (int64_t v = 0; v < 9 * 3600 * 1000; v = v < 5000 ? v + 1 : v + v / 97) {
		struct histogram h = { 0 };
		histogram_add(&h, v);
		histogram_add(&h, INT64_MAX); /* so that max does not hide the bucket's bound */
		int64_t bound = histogram_quantile(&h, 0.5);
		assert_true(bound >= v);
		assert_true((double)(bound - v) <= 0.07 * (double)v);
	}
}

static void test_order(void **state)
{
	(void)state;
	struct histogram h = { 0 };
	for (int64_t v = 1000; v >= 1; v--)
		histogram_add(&h, v);
	static const struct {
		double quantile;
		int64_t exact;
	} rows[] = { { 0, 1 }, { 0.001, 1 }, { 0.01, 10 }, { 0.5, 500 }, { 0.95, 950 }, { 0.99, 990 }, { 1, 1000 } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t q = histogram_quantile(&h, rows[i].quantile);
		assert_true(q >= rows[i].exact && (double)q <= 1.07 * (double)rows[i].exact);
	}
	assert_int_equal(h.count, 1000);
	assert_int_equal(h.max, 1000);
}

static void test_edges(void **state)
{
	(void)state;
	struct histogram h = { 0 };
	histogram_add(&h, -5); /* a clock that stepped */
	assert_int_equal(histogram_quantile(&h, 1), 0);
	histogram_add(&h, INT64_MAX);
	assert_int_equal(histogram_quantile(&h, 1), INT64_MAX);
	histogram_clear(&h);
	assert_int_equal(histogram_quantile(&h, 1), -1);
	histogram_add(&h, (int64_t)40 * 24 * 3600 * 1000);
	assert_int_equal(histogram_quantile(&h, 0.5), (int64_t)40 * 24 * 3600 * 1000);
}

static void test_merge_is_adding_all(void **state)
{
	(void)state;
	struct histogram all = { 0 }, left = { 0 }, right = { 0 };
	for (int64_t v = 0; v < 100000; v += 7) {
		histogram_add(&all, v);
		histogram_add(v % 3 ? &left : &right, v);
	}
	histogram_merge(&left, &right);
	assert_memory_equal(&left, &all, sizeof(all));
}

static void test_many_at_once(void **state)
{
	(void)state;
	struct histogram h = { 0 };
	histogram_add_times(&h, 12, 99);
	histogram_add_times(&h, 5000, 1);
	histogram_add_times(&h, 1000000, 0);
	assert_int_equal(h.count, 100);
	assert_int_equal(h.max, 5000);
	assert_int_equal(histogram_quantile(&h, 0.99), 12);
	histogram_add_times(&h, 12, UINT64_MAX); /* cut, not around */
	assert_int_equal(histogram_quantile(&h, 0.5), 12);
	assert_int_equal(h.count, (uint64_t)UINT32_MAX + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_error_of_one_value),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_merge_is_adding_all),
		cmocka_unit_test(test_many_at_once),
	};
	return RUN_GROUP(tests);
}
