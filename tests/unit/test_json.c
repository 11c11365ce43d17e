/* The JSON writer: whatever is written parses again, and nothing in it can end a line or a string. */
#include "unit.h"

#include "base/json.h"

static void test_text(void **state)
{
	(void)state;
	static const struct {
		struct bytes text;
		const char *json;
	} rows[] = {
		{ BYTES(""), "\"\"" },
		{ BYTES("a\"b\\c/"), "\"a\\\"b\\\\c/\"" },
		{ BYTES("\n\r\t\b\f"), "\"\\n\\r\\t\\b\\f\"" },
		{ BYTES("a\0b\x1f"), "\"a\\u0000b\\u001f\"" },
		{ BYTES("\x7f"), "\"\\u007f\"" },
		{ BYTES("\xc2\x85\xc2\x9f\xc2\xa0"), "\"\\u0085\\u009f\xc2\xa0\"" },
		{ BYTES("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"), "\"\\u2028\\u2029\xe2\x80\xaa\"" },
		{ BYTES("\xf0\x9f\x98\x80"), "\"\xf0\x9f\x98\x80\"" },
		{ BYTES("x\xff\n"), "\"x\xef\xbf\xbd\\n\"" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF b = { 0 };
		json_add_text(&b, rows[i].text);
		assert_string_equal(b.p, rows[i].json);
		AUTO_JSON *parsed = json_parse(buf_bytes(&b));
		assert_non_null(parsed);
		if (utf8_valid(rows[i].text))
			assert_bytes((struct bytes){ json_string_value(parsed), json_string_length(parsed) }, rows[i].text);
	}
}

static void test_members(void **state)
{
	(void)state;
	AUTO_BUF b = { 0 };
	buf_add_char(&b, '{');
	json_add_name(&b, "a");
	json_add_i64(&b, INT64_MIN);
	json_add_name(&b, "b");
	buf_add_char(&b, '{');
	json_add_name(&b, "c");
	json_add_text(&b, BYTES("{"));
	buf_add_text(&b, "}}");
	assert_string_equal(b.p, "{\"a\":-9223372036854775808,\"b\":{\"c\":\"{\"}}");
}

static void test_parse(void **state)
{
	(void)state;
	static const struct {
		struct bytes text;
		bool good;
	} rows[] = {
		{ BYTES("{}"), true },
		{ BYTES("3"), true },
		{ BYTES("\"a\\u0000b\""), true },
		{ BYTES(" {\"a\":1} \n"), true },
		{ BYTES(""), false },
		{ { NULL, 0 }, false },
		{ BYTES("{} {}"), false },
		{ BYTES("{\"a\":1,\"a\":2}"), false },
		{ BYTES("{"), false },
		{ BYTES("\"\xff\""), false },
		{ BYTES("{}\0"), false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON *parsed = json_parse(rows[i].text);
		assert_int_equal(parsed != NULL, rows[i].good);
	}
}

static void test_deep_nesting_is_refused(void **state)
{
	(void)state;
	AUTO_BUF b = { 0 };
	for (int i = 0; i < 100000; i++)
		buf_add_char(&b, '[');
	AUTO_JSON *parsed = json_parse(buf_bytes(&b));
	assert_null(parsed);
}

static void test_value(void **state)
{
	(void)state;
	AUTO_JSON *bad = json_text(BYTES("a\xff"));
	AUTO_JSON *nul = json_text(BYTES("a\0b"));
	AUTO_JSON *none = json_text((struct bytes){ NULL, 0 });
	assert_string_equal(json_string_value(bad), "a\xef\xbf\xbd");
	assert_int_equal(json_string_length(nul), 3);
	assert_string_equal(json_string_value(none), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),  cmocka_unit_test(test_members), cmocka_unit_test(test_parse), cmocka_unit_test(test_deep_nesting_is_refused),
		cmocka_unit_test(test_value),
	};
	return RUN_GROUP(tests);
}
