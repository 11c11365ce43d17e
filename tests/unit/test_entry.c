/* Entries: attempts, the first of a name, IDs, and what is freed. */
#include "unit.h"

static void test_attempt(void **state)
{
	(void)state;
	static const struct {
		int64_t delivery, given, attempt;
	} rows[] = { { 1, 0, 1 }, { 3, 0, 3 }, { 3, 2, 1 }, { 3, 3, 1 }, { 3, 9, 1 }, { 0, 0, 1 } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct entry e = { .delivery = rows[i].delivery, .given = rows[i].given };
		assert_int_equal(entry_attempt(&e), rows[i].attempt);
	}
}

static void test_find(void **state)
{
	(void)state;
	struct entry_pair pairs[] = { PAIR("a", "1"), PAIR("", "empty"), PAIR("a", "2"), PAIR("a\0b", "nul"), PAIR("A", "upper") };
	struct entry e = { PAIRS(pairs) };
	struct entry none = { 0 };
	assert_bytes(entry_find(&e, BYTES("a"))->value, BYTES("1"));
	assert_bytes(entry_find(&e, BYTES("a\0b"))->value, BYTES("nul"));
	assert_bytes(entry_find(&e, BYTES(""))->value, BYTES("empty"));
	assert_null(entry_find(&e, BYTES("b")));
	assert_null(entry_find(&none, BYTES("a")));
}

static void test_id_parse(void **state)
{
	(void)state;
	static const struct {
		struct bytes id;
		int r;
		uint64_t ms, seq;
	} rows[] = {
		{ BYTES("1700000000000-0"), 0, 1700000000000, 0 },
		{ BYTES("0-1"), 0, 0, 1 },
		{ BYTES("18446744073709551615-18446744073709551615"), 0, UINT64_MAX, UINT64_MAX },
		{ BYTES("18446744073709551616-0"), -EINVAL, 0, 0 },
		{ BYTES(""), -EINVAL, 0, 0 },
		{ { NULL, 0 }, -EINVAL, 0, 0 },
		{ BYTES("1"), -EINVAL, 0, 0 },
		{ BYTES("-"), -EINVAL, 0, 0 },
		{ BYTES("1-"), -EINVAL, 0, 0 },
		{ BYTES("-1"), -EINVAL, 0, 0 },
		{ BYTES("1-2-3"), -EINVAL, 0, 0 },
		{ BYTES("1--2"), -EINVAL, 0, 0 },
		{ BYTES("1-2\0"), -EINVAL, 0, 0 },
		{ BYTES("1-*"), -EINVAL, 0, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t ms = 0, seq = 0;
		assert_int_equal(entry_id_parse(rows[i].id, &ms, &seq), rows[i].r);
		assert_true(ms == rows[i].ms && seq == rows[i].seq);
	}
}

static void test_id_cmp(void **state)
{
	(void)state;
	static const char *const sorted[] = { "0-1", "9-0", "9-10", "10-0", "10-1", "18446744073709551615-0" };
	for (size_t i = 0; i < ARRAY_LEN(sorted); i++) {
		for (size_t k = 0; k < ARRAY_LEN(sorted); k++) {
			int r = entry_id_cmp(sorted[i], sorted[k]);
			assert_int_equal(r < 0 ? -1 : r > 0, i < k ? -1 : i > k);
		}
	}
}

static void test_id_time(void **state)
{
	(void)state;
	const int64_t now = 1700000000000;
	static const struct {
		const char *id;
		int64_t ms;
	} rows[] = {
		{ "1700000000000-5", 1700000000000 },
		{ "1700086400000-0", 1700086400000 }, /* a day ahead: another host's clock */
		{ "1700086400001-0", -1 },
		{ "978307200000-0", 978307200000 },
		{ "978307199999-0", -1 },
		{ "1-1", -1 },
		{ "18446744073709551615-0", -1 },
		{ "nonsense", -1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(entry_id_time_ms(rows[i].id, now), rows[i].ms);
}

static void test_wait(void **state)
{
	(void)state;
	const int64_t now = 1700000000000, life = now * 1000 / 1024 * 1024;
	const struct {
		const char *id;
		int64_t delivery, wait;
	} rows[] = {
		{ "1699999999000-0", 1, 1000 }, { "1699999999000-0", 1000, 1000 }, { "1700000000500-0", 1, 0 },
		{ "5-0", 1, -1 },               { "1699999999000-0", life + 1, -1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct entry e = { .delivery = rows[i].delivery };
		snprintf(e.id, sizeof(e.id), "%s", rows[i].id);
		assert_int_equal(entry_wait_ms(&e, now), rows[i].wait);
	}
	assert_int_equal(delivery_life(1), 0);
	assert_int_equal(delivery_life(life), delivery_life(life + 1000));
	assert_true(delivery_life(life + 1024) > delivery_life(life));
}

static unsigned char fold(unsigned char c)
{
	return c >= 'a' && c <= 'z' ? (unsigned char)(c - 32) : c;
}

static void test_firsts(void **state)
{
	(void)state;
	struct entry_pair pairs[] = { PAIR("b", ""), PAIR("a", ""), PAIR("B", ""), PAIR("a", ""), PAIR("", ""), PAIR("", ""), PAIR("a\0", ""), PAIR("A", "") };
	static const bool as_is[] = { true, true, true, false, true, false, true, true };
	static const bool folded[] = { true, true, false, false, true, false, true, false };
	bool first[ARRAY_LEN(pairs)];
	assert_int_equal(entry_mark_firsts(pairs, ARRAY_LEN(pairs), /* map_byte= */ NULL, first), 0);
	assert_memory_equal(first, as_is, sizeof(first));
	assert_int_equal(entry_mark_firsts(pairs, ARRAY_LEN(pairs), fold, first), 0);
	assert_memory_equal(first, folded, sizeof(first));
	assert_int_equal(entry_mark_firsts(NULL, 0, NULL, NULL), 0);
}

static void test_firsts_of_many(void **state)
{
	(void)state;
	enum { MANY = 50000, DIFFERENT = 777 };
	struct entry_pair *pairs = calloc(MANY, sizeof(*pairs));
	char (*names)[8] = calloc(MANY, sizeof(*names));
	bool *first = calloc(MANY, sizeof(*first));
	for (int i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof(names[i]), "%d", i % DIFFERENT);
		pairs[i].name = bytes_of(names[i]);
	}
	assert_int_equal(entry_mark_firsts(pairs, MANY, /* map_byte= */ NULL, first), 0);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(first[i], i < DIFFERENT);
	free(pairs);
	free(names);
	free(first);
}

static void count_free(void *backing)
{
	(*(int *)backing)++;
}

static void test_done(void **state)
{
	(void)state;
	int freed = 0;
	struct entry e = { .pairs = calloc(2, sizeof(struct entry_pair)), .pair_count = 2, .note = strdup("{}"), .backing = &freed, .backing_free = count_free };
	entry_done(&e);
	assert_int_equal(freed, 1);
	assert_null(e.pairs);
	entry_done(&e);
	assert_int_equal(freed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attempt), cmocka_unit_test(test_find),   cmocka_unit_test(test_id_parse),       cmocka_unit_test(test_id_cmp),
		cmocka_unit_test(test_id_time), cmocka_unit_test(test_wait), cmocka_unit_test(test_firsts), cmocka_unit_test(test_firsts_of_many), cmocka_unit_test(test_done),
	};
	return RUN_GROUP(tests);
}
