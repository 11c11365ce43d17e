/* The JSON on a handler's stdin: one line, exact text for small entries, and every byte recoverable for any entry. */
#include "unit.h"

#include "base/clock.h"
#include "base/json.h"
#include "domain/payload.h"

static void test_fields(void **state)
{
	(void)state;
	static const struct {
		struct entry_pair pairs[4];
		size_t count;
		const char *json;
	} rows[] = {
		{ { PAIR("", "") }, 0, "\"fields\":{}" },
		{ { PAIR("a", "1"), PAIR("b", "x\"\n") }, 2, "\"fields\":{\"a\":\"1\",\"b\":\"x\\\"\\n\"}" },
		{ { PAIR("", "empty name") }, 1, "\"fields\":{\"\":\"empty name\"}" },
		{ { PAIR("a\0", "x\0y") }, 1, "\"fields\":{\"a\\u0000\":\"x\\u0000y\"}" },
		{ { PAIR("t", "ok"), PAIR("b", "\xff\xfe") }, 2, "\"fields\":{\"t\":\"ok\"},\"fields_b64\":{\"b\":\"//4=\"}" },
		{ { PAIR("a", "1"), PAIR("a", "2"), PAIR("b", "3") }, 3,
		  "\"fields\":{\"a\":\"1\",\"b\":\"3\"},\"pairs_b64\":[[\"YQ==\",\"MQ==\"],[\"YQ==\",\"Mg==\"],[\"Yg==\",\"Mw==\"]]" },
		{ { PAIR("a", "\xff"), PAIR("a", "2") }, 2,
		  "\"fields\":{},\"fields_b64\":{\"a\":\"/w==\"},\"pairs_b64\":[[\"YQ==\",\"/w==\"],[\"YQ==\",\"Mg==\"]]" },
		{ { PAIR("\xff", "v"), PAIR("a", "1") }, 2, "\"fields\":{\"a\":\"1\"},\"pairs_b64\":[[\"/w==\",\"dg==\"],[\"YQ==\",\"MQ==\"]]" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF out = { 0 };
		payload_add_fields(&out, rows[i].pairs, rows[i].count);
		assert_bytes(buf_bytes(&out), bytes_of(rows[i].json));
	}
}

static void test_object(void **state)
{
	(void)state;
	struct job job = { .name = (char *)"t", .stream = (char *)"s\"1", .group = (char *)"g", .retry = { .max_attempts = 5 } };
	struct entry_pair pairs[] = { PAIR("a", "1") };
	struct entry e = { .id = "17-3", .delivery = 4, PAIRS(pairs) };
	struct run_facts facts = { .job = &job, .entry = &e, .attempt = 2, .enqueued_ms = 1700000000000 };
	AUTO_BUF out = { 0 };

	assert_int_equal(payload_json(&out, &facts), 0);
	assert_bytes(buf_bytes(&out), BYTES("{\"id\":\"17-3\",\"stream\":\"s\\\"1\",\"group\":\"g\",\"job\":\"t\",\"attempt\":2,\"delivery\":4,"
					    "\"max_attempts\":5,\"enqueued_ms\":1700000000000,\"fields\":{\"a\":\"1\"}}\n"));
	buf_clear(&out);
	facts.enqueued_ms = -1;
	assert_int_equal(payload_json(&out, &facts), 0);
	assert_non_null(strstr(out.p, "\"enqueued_ms\":null,"));
}

static void test_hostile_is_one_line(void **state)
{
	(void)state;
	struct job job = { .name = (char *)"t", .stream = (char *)"s", .group = (char *)"g" };
	struct entry_pair pairs[] = { PAIR("a\n}", "\n{\"id\":\"forged\"}\n"), PAIR("\xe2\x80\xa8", "\xc2\x85\x7f\x1b[2J"), PAIR("a\n}", "\xff\n") };
	struct entry e = { .id = "1-1", PAIRS(pairs) };
	struct run_facts facts = { .job = &job, .entry = &e, .attempt = 1, .enqueued_ms = -1 };
	AUTO_BUF out = { 0 };

	assert_int_equal(payload_json(&out, &facts), 0);
	assert_ptr_equal(memchr(out.p, '\n', out.n), out.p + out.n - 1);
	AUTO_JSON *parsed = json_parse(buf_bytes(&out));
	assert_non_null(parsed);
	json_t *list = json_object_get(parsed, "pairs_b64");
	assert_int_equal(json_array_size(list), ARRAY_LEN(pairs));
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		AUTO_BUF name = { 0 };
		AUTO_BUF value = { 0 };
		json_t *row = json_array_get(list, i);
		assert_int_equal(buf_add_base64_decoded(&name, bytes_of(json_string_value(json_array_get(row, 0)))), 0);
		assert_int_equal(buf_add_base64_decoded(&value, bytes_of(json_string_value(json_array_get(row, 1)))), 0);
		assert_bytes(buf_bytes(&name), pairs[i].name);
		assert_bytes(buf_bytes(&value), pairs[i].value);
	}
}

/* Linear is well below a second here; quadratic would be minutes. */
static void test_many_and_large(void **state)
{
	(void)state;
	enum { MANY = 100000, LARGE = 16 << 20 };
	struct entry_pair *pairs = calloc(MANY, sizeof(*pairs));
	char (*names)[8] = calloc(MANY, sizeof(*names));
	char *large = malloc(LARGE);
	int64_t start = clock_mono_ms();
	AUTO_BUF out = { 0 };

	memset(large, 'x', LARGE);
	for (size_t i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof(names[i]), "%zu", i % (MANY / 2));
		pairs[i] = (struct entry_pair){ bytes_of(names[i]), BYTES("v") };
	}
	pairs[0].value = (struct bytes){ large, LARGE };
	payload_add_fields(&out, pairs, MANY);
	assert_false(out.failed);
	assert_true(out.n > LARGE + LARGE / 3 * 4);
	assert_true(clock_mono_ms() - start < 20000);
	free(large);
	free(names);
	free(pairs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_object),
		cmocka_unit_test(test_hostile_is_one_line),
		cmocka_unit_test(test_many_and_large),
	};
	return RUN_GROUP(tests);
}
