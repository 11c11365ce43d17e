/* Waiting times: each kind, the cap, the jitter's edges, and attempts and limits far beyond what an int64 can double. */
#include "unit.h"

#include "domain/backoff.h"

#define RULES(kind, first, cap, spread) { .backoff = BACKOFF_##kind, .initial_ms = (first), .max_ms = (cap), .jitter = (spread) }

static void test_retry(void **state)
{
	(void)state;
	static const struct {
		struct retry_rules rules;
		int64_t n;
		double random;
		int64_t wait;
	} rows[] = {
		{ RULES(FIXED, 1000, 900000, 0), 1, 0, 1000 },
		{ RULES(FIXED, 1000, 900000, 0), 1000, 0, 1000 },
		{ RULES(FIXED, 1000, 500, 0), 1, 0, 500 },
		{ RULES(LINEAR, 1000, 900000, 0), 1, 0, 1000 },
		{ RULES(LINEAR, 1000, 900000, 0), 7, 0, 7000 },
		{ RULES(LINEAR, 1000, 900000, 0), 901, 0, 900000 },
		{ RULES(LINEAR, 1000, 900000, 0), INT64_MAX, 0, 900000 },
		{ RULES(EXPONENTIAL, 1000, 900000, 0), 1, 0, 1000 },
		{ RULES(EXPONENTIAL, 1000, 900000, 0), 2, 0, 2000 },
		{ RULES(EXPONENTIAL, 1000, 900000, 0), 5, 0, 16000 },
		{ RULES(EXPONENTIAL, 1000, 900000, 0), 11, 0, 900000 },
		{ RULES(EXPONENTIAL, 1000, 900000, 0), INT64_MAX, 0, 900000 },
		{ RULES(EXPONENTIAL, 1000, 900000, 0), 0, 0, 1000 },
		{ RULES(EXPONENTIAL, 1000, 900000, 0), -5, 0, 1000 },
		{ RULES(EXPONENTIAL, 0, 900000, 0.2), INT64_MAX, 0.9, 0 },
		{ RULES(EXPONENTIAL, 1000, 900000, 0.2), 1, 0, 800 },
		{ RULES(EXPONENTIAL, 1000, 900000, 0.2), 1, 0.5, 1000 },
		{ RULES(EXPONENTIAL, 1000, 900000, 0.2), 1, 0.999999, 1200 },
		{ RULES(EXPONENTIAL, 1000, 900000, 0.2), 20, 0.999999, 1080000 }, /* the cap comes first, then the jitter */
		{ RULES(FIXED, 1000, 900000, 1), 1, 0, 0 },
		{ RULES(FIXED, 1, 900000, 1), 1, 0, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(backoff_retry_ms(&rows[i].rules, rows[i].n, rows[i].random), rows[i].wait);
}

static void test_no_overflow(void **state)
{
	(void)state;
	static const struct retry_rules rules = RULES(EXPONENTIAL, INT64_MAX, INT64_MAX, 1);
	assert_true(backoff_retry_ms(&rules, 100, 0.999) > (int64_t)365 * 24 * 3600 * 1000);
	assert_int_equal(backoff_retry_ms(&rules, 100, 0), 0);
}

static void test_full_jitter(void **state)
{
	(void)state;
	static const struct {
		int64_t base, cap, failures;
		double random;
		int64_t wait;
	} rows[] = {
		{ 100, 5000, 1, 0, 50 },     { 100, 5000, 1, 0.75, 75 },  { 100, 5000, 0, 0.75, 75 },         { 100, 5000, 3, 0.5, 200 },
		{ 100, 5000, 9, 0.5, 2500 }, { 100, 5000, 1000000, 0, 50 }, { 100, 5000, INT64_MAX, 0.5, 2500 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(backoff_full_jitter_ms(rows[i].base, rows[i].cap, rows[i].failures, rows[i].random), rows[i].wait);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_retry),
		cmocka_unit_test(test_no_overflow),
		cmocka_unit_test(test_full_jitter),
	};
	return RUN_GROUP(tests);
}
