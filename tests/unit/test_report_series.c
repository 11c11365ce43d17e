/* The report's bounded shapes: buckets over time that merge, tables of names, rankings. */
#include "unit.h"

#include "report/names.h"
#include "report/series.h"
#include "report/tails.h"
#include "report/top.h"

static void add_numbers(void *into, const void *from)
{
	*(uint64_t *)into += *(const uint64_t *)from;
}

static void count(struct series *s, int64_t at_ms)
{
	++*(uint64_t *)series_at(s, at_ms);
	assert_true(s->used >= 1 && s->used <= SERIES_BUCKETS);
}

static uint64_t sum(const struct series *s)
{
	uint64_t n = 0;
	for (size_t i = 0; i < s->used; i++)
		n += *(const uint64_t *)series_bucket(s, i);
	return n;
}

static void test_a_minute_is_told_by_the_second(void **state)
{
	(void)state;
	struct series s;
	assert_int_equal(series_init(&s, sizeof(uint64_t), add_numbers), 0);
	for (int64_t ms = 90000; ms < 150000; ms += 100)
		count(&s, ms);
	assert_int_equal(series_width_ms(&s), 1000);
	assert_int_equal(s.used, 60);
	for (size_t i = 0; i < s.used; i++) {
		assert_int_equal(series_begin_ms(&s, i), 90000 + 1000 * (int64_t)i);
		assert_int_equal(*(const uint64_t *)series_bucket(&s, i), 10);
	}
	series_done(&s);
}

/* Whatever the order, the same comes out, and each time is in the bucket that it belongs to. */
static void test_order_does_not_matter(void **state)
{
	(void)state;
	enum { TIMES = 4000 };
	const int64_t span_ms = 40 * 86400000LL, base_ms = 1700000000000;
	struct series up, down, mixed;
	assert_int_equal(series_init(&up, sizeof(uint64_t), add_numbers), 0);
	assert_int_equal(series_init(&down, sizeof(uint64_t), add_numbers), 0);
	assert_int_equal(series_init(&mixed, sizeof(uint64_t), add_numbers), 0);
	for (int i = 0; i < TIMES; i++) {
		count(&up, base_ms + span_ms / TIMES * i);
		count(&down, base_ms + span_ms / TIMES * (TIMES - 1 - i));
		count(&mixed, base_ms + span_ms / TIMES * (i * 1103 % TIMES));
	}
	assert_true(series_width_ms(&up) > 86400000 / 12 && up.used > SERIES_BUCKETS / 8);
	assert_int_equal(sum(&up), TIMES);
	for (size_t i = 0; i < up.used; i++) {
		uint64_t wanted = 0;
		for (int k = 0; k < TIMES; k++) {
			int64_t at = base_ms + span_ms / TIMES * k;
			wanted += at >= series_begin_ms(&up, i) &&
				  at < series_begin_ms(&up, i) + series_width_ms(&up);
		}
		assert_int_equal(*(const uint64_t *)series_bucket(&up, i), wanted);
	}
	const struct series *others[] = { &down, &mixed };
	for (size_t k = 0; k < ARRAY_LEN(others); k++) {
		assert_int_equal(others[k]->used, up.used);
		assert_int_equal(others[k]->first, up.first);
		assert_memory_equal(others[k]->buckets, up.buckets, up.used * sizeof(uint64_t));
	}
	series_done(&up);
	series_done(&down);
	series_done(&mixed);
}

static void test_nonsense_times(void **state)
{
	(void)state;
	struct series s;
	assert_int_equal(series_init(&s, sizeof(uint64_t), add_numbers), 0);
	const int64_t times[] = {
		INT64_MIN, INT64_MAX, 0, -1, 1700000000000, 253402300799999, 253402300800000
	};
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		count(&s, times[i]);
	assert_int_equal(sum(&s), ARRAY_LEN(times));
	series_done(&s);
}

static void test_names(void **state)
{
	(void)state;
	struct names n;
	assert_int_equal(names_init(&n, 3), 0);
	assert_int_equal(names_index(&n, BYTES("a")), 0);
	assert_int_equal(names_index(&n, BYTES("b\0c")), 1);
	assert_int_equal(names_index(&n, BYTES("a")), 0);
	assert_int_equal(names_index(&n, BYTES("b")), 2);
	assert_int_equal(names_index(&n, BYTES("one too many")), 3);
	assert_int_equal(names_index(&n, BYTES("another")), 3);
	assert_int_equal(names_index(&n, BYTES("b\0c")), 1);
	assert_bytes(names_text(&n, 1), BYTES("b\0c"));
	assert_bytes(names_text(&n, 3), BYTES("other"));
	names_done(&n);
}

static void test_names_are_cut(void **state)
{
	(void)state;
	struct names n;
	char long_name[NAMES_LONGEST + 100];
	memset(long_name, 'x', sizeof(long_name));
	assert_int_equal(names_init(&n, 3), 0);
	assert_int_equal(names_index(&n, (struct bytes){ long_name, sizeof(long_name) }), 0);
	assert_int_equal(names_index(&n, (struct bytes){ long_name, NAMES_LONGEST }), 0);
	assert_int_equal(names_text(&n, 0).n, NAMES_LONGEST);
	names_done(&n);
}

static void test_top(void **state)
{
	(void)state;
	struct top t;
	AUTO_BUF out = { 0 };
	size_t made = 0;
	assert_int_equal(top_init(&t, 5), 0);
	for (int64_t i = 0; i < 1000; i++) {
		int64_t key = i * 617 % 1000;
		if (!top_wants(&t, key))
			continue;
		AUTO_BUF text = { 0 };
		buf_addf(&text, "%d", (int)key);
		top_add(&t, key, &text);
		made++;
	}
	assert_int_equal(t.offered, 1000);
	assert_int_equal(t.count, 5);
	assert_true(made < 100);          /* a row that is not wanted costs nothing */
	assert_false(top_wants(&t, 995)); /* of equal ones the first stays */
	top_write(&out, (const struct top *const[]){ &t }, 1);
	assert_string_equal(out.p, "[999,\n998,\n997,\n996,\n995]");
	top_done(&t);
}

/* As many at once as many workers have: each gets its own back, once. */
static void test_tails(void **state)
{
	(void)state;
	enum { AT_ONCE = 100, ROUNDS = 50 };
	struct tails t;
	assert_int_equal(tails_init(&t), 0);
	for (int round = 0; round < ROUNDS; round++) {
		for (int pass = 0; pass < 2; pass++) {
			for (int i = 0; i < AT_ONCE; i++) {
				char id[32];
				(void)snprintf(id, sizeof(id), "1795663518934-%d", round * AT_ONCE + i);
				const struct tail_key key = { BYTES("s"), BYTES("g"), bytes_of(id), 3 };
				const struct tail_key other = { BYTES("s"), BYTES("g"), bytes_of(id), 4 };
				if (pass == 0) {
					tails_keep(&t, &key, bytes_of(id));
				} else if (i % 3) {
					assert_bytes(tails_take(&t, &key), bytes_of(id));
					assert_int_equal(tails_take(&t, &key).n, 0);
				} else {
					assert_int_equal(tails_take(&t, &other).n,
							 0); /* of another attempt */
				}
			}
		}
	}
	tails_done(&t);
}

static void test_tails_are_bounded(void **state)
{
	(void)state;
	struct tails t;
	char text[2 * TAILS_LONGEST];
	memset(text, 'x', sizeof(text));
	assert_int_equal(tails_init(&t), 0);
	for (int i = 0; i < 5000; i++) {
		char id[32];
		(void)snprintf(id, sizeof(id), "%d-0", i);
		const struct tail_key key = { BYTES("s"), BYTES("g"), bytes_of(id), 1 };
		tails_keep(&t, &key, (struct bytes){ text, sizeof(text) });
	}
	const struct tail_key last = { BYTES("s"), BYTES("g"), BYTES("4999-0"), 1 };
	assert_int_equal(tails_take(&t, &last).n, TAILS_LONGEST);
	tails_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_minute_is_told_by_the_second),
		cmocka_unit_test(test_order_does_not_matter),
		cmocka_unit_test(test_nonsense_times),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_names_are_cut),
		cmocka_unit_test(test_top),
		cmocka_unit_test(test_tails),
		cmocka_unit_test(test_tails_are_bounded),
	};
	return RUN_GROUP(tests);
}
