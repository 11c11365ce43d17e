/* Replies of a process for many entries. The commonest of them is read without a parser: what it gives must
 * be what the parser gives for the same line with a member that nobody knows, and whatever is not exactly
 * that must not be taken for it. */
#include "unit.h"

#include <stdio.h>

#include "domain/reply.h"

static struct reply parsed(const char *line)
{
	struct reply r;
	reply_parse(bytes_of(line), /* cut= */ false, &r);
	return r;
}

static void test_plain_and_parsed_agree(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"{\"id\":\"1700000000000-0\",\"status\":\"ok\"}",
		"{\"id\": \"1-2\", \"status\": \"ok\"}",
		" {\t\"id\" : \"18446744073709551615-18446744073709551615\" ,\r\"status\"\t:\"ok\" } \r",
		"{\"id\":\"007-1\",\"status\":\"ok\"}",
	};
	char longer[256];

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct reply plain = parsed(lines[i]);
		snprintf(longer, sizeof(longer), "%.*s,\"x\":null}", (int)(strrchr(lines[i], '}') - lines[i]),
			 lines[i]);
		struct reply whole = parsed(longer);
		assert_int_equal(plain.status, REPLY_OK);
		assert_int_equal(whole.status, REPLY_OK);
		assert_true(plain.id[0] != '\0');
		assert_string_equal(plain.id, whole.id);
		assert_int_equal(plain.after_ms, whole.after_ms);
		assert_string_equal(plain.reason, whole.reason);
	}
}

static void test_nothing_else_is_ok(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"",
		"{",
		"{}",
		"{\"id\":\"1-2\",\"status\":\"ok\"",
		"{\"id\":\"1-2\",\"status\":\"ok\"}}",
		"{\"id\":\"1-2\",\"status\":\"ok\"}x",
		"{\"id\":\"1-2\",\"status\":\"oK\"}",
		"{\"id\":\"1-2\",\"status\":\"okay\"}",
		"{\"id\":\"1-2\",\"status\":ok}",
		"{\"id\":\"1-2\",\"status\":\"ok\",}",
		"{\"id\":\"1-2\"\"status\":\"ok\"}",
		"{\"id\":\"1-2\",\"id\":\"1-3\",\"status\":\"ok\"}",
		"{\"id\":\"1-2\",\"status\":\"dead\",\"status\":\"ok\"}",
		"[\"id\",\"1-2\",\"status\",\"ok\"]",
		"{\"id\":\"1-2\",\"status\":\"\"}",
	};
	struct reply cut;

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		if (parsed(lines[i]).status != REPLY_NONSENSE)
			print_error("row %zu is taken for an answer\n", i);
		assert_int_equal(parsed(lines[i]).status, REPLY_NONSENSE);
	}
	reply_parse(bytes_of("{\"id\":\"1-2\",\"status\":\"ok\"}"), /* cut= */ true, &cut);
	assert_int_equal(cut.status, REPLY_NONSENSE);
}

/* Without an ID that could be one nothing is ever done: a second "ok" for one entry must not be taken for the
 * next one's. */
static void test_ids(void **state)
{
	(void)state;
	static const struct {
		const char *line, *id;
	} rows[] = {
		{ "{\"status\":\"ok\"}", "" },
		{ "{\"id\":\"\",\"status\":\"ok\"}", "" },
		{ "{\"id\":\"1\",\"status\":\"ok\"}", "" },
		{ "{\"id\":\"1-x\",\"status\":\"ok\"}", "" },
		{ "{\"id\":\"18446744073709551616-0\",\"status\":\"ok\"}", "" },
		{ "{\"id\":\"1\\u002d2\",\"status\":\"ok\"}", "1-2" },
		{ "{\"id\":\"000000000000000000000000000000000000000000000000000001-2\",\"status\":\"ok\"}",
		  "" },
		{ "{\"id\":12,\"status\":\"ok\"}", "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct reply r = parsed(rows[i].line);
		assert_int_equal(r.status, rows[i].id[0] ? REPLY_OK : REPLY_NONSENSE);
		assert_string_equal(r.id, rows[i].id);
	}
}

static void test_other_answers(void **state)
{
	(void)state;
	struct reply r = parsed("{\"id\":\"1-2\",\"status\":\"retry\",\"after\":1.5,\"reason\":\"busy\"}");
	assert_int_equal(r.status, REPLY_RETRY);
	assert_int_equal(r.after_ms, 1500);
	assert_string_equal(r.reason, "busy");
	assert_int_equal(parsed("{\"id\":\"1-2\",\"status\":\"later\"}").status, REPLY_LATER);
	assert_int_equal(parsed("{\"id\":\"1-2\",\"status\":\"dead\",\"after\":-1}").after_ms, -1);
}

static void check_result(const char *line, bool cut, enum result_state state, const char *text, size_t n)
{
	struct reply r;

	reply_parse(bytes_of(line), cut, &r);
	assert_int_equal(r.result.state, state);
	if (!bytes_eq(result_bytes(&r.result), (struct bytes){ text, n }))
		fail_msg("%s: %.*s", line, (int)r.result.n, r.result.text);
	reply_done(&r);
}

/* A string is its text; anything else stays as it was written, but for blanks between its parts. */
static void test_results(void **state)
{
	(void)state;
	static const struct {
		const char *value, *text;
	} rows[] = {
		{ "\"done\"", "done" },
		{ "\"\"", "" },
		{ "\"a b\\n\\\"\\u00e9\"", "a b\n\"\303\251" },
		{ "null", "null" },
		{ "true", "true" },
		{ "0.1", "0.1" },
		{ "1.50e2", "1.50e2" },
		{ "123456789012345678901234567890", "123456789012345678901234567890" },
		{ "[ ]", "[]" },
		{ " { \"a\" : [ 1 , 2.0,\t\"x , }\\\" ] y\" ] , \"result\" : { } } ",
		  "{\"a\":[1,2.0,\"x , }\\\" ] y\"],\"result\":{}}" },
	};
	char line[512];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		snprintf(line, sizeof(line), "{\"id\":\"1-2\",\"status\":\"ok\",\"result\":%s}",
			 rows[i].value);
		check_result(line, false, RESULT_GIVEN, rows[i].text, strlen(rows[i].text));
		snprintf(line, sizeof(line),
			 " { \"x\":{\"result\":[1]}, \"result\" : %s , \"status\": \"ok\", \"id\":\"1-2\" } ",
			 rows[i].value);
		check_result(line, false, RESULT_GIVEN, rows[i].text, strlen(rows[i].text));
		snprintf(line, sizeof(line), "{\"id\":\"1-2\",\"status\":\"retry\",\"result\":%s}",
			 rows[i].value);
		check_result(line, false, RESULT_NONE, NULL, 0);
	}
	check_result("{\"id\":\"1-2\",\"status\":\"ok\",\"result\":\"a\\u0000b\"}", false, RESULT_GIVEN,
		     "a\0b", 3);
	check_result("{\"id\":\"1-2\",\"status\":\"ok\",\"\\u0072esult\":[1, 2]}", false, RESULT_GIVEN,
		     "[1.0,2.0]", 9);
	check_result("{\"id\":\"1-2\",\"status\":\"ok\",\"results\":1,\"resul\":2,\"x\":\"result\"}", false,
		     RESULT_NONE, NULL, 0);
	check_result("{\"id\":\"1-2\",\"status\":\"ok\"}", false, RESULT_NONE, NULL, 0);
	check_result("{\"id\":\"1-2\",\"status\":\"ok\",\"result\":}", false, RESULT_NONE, NULL, 0);
}

static void test_limit_of_a_result(void **state)
{
	(void)state;
	for (size_t more = 0; more < 2; more++) {
		for (size_t json = 0; json < 2; json++) {
			AUTO_BUF line = { 0 };
			struct reply r;
			buf_add_text(&line, "{\"id\":\"1-2\",\"status\":\"ok\",\"result\":");
			buf_add_text(&line, json ? "[\"" : "\"");
			for (size_t i = 0; i < RESULT_MAX_BYTES + more - 4 * json; i++)
				buf_add_char(&line, 'x');
			buf_add_text(&line, json ? "\"] }" : "\"}");
			reply_parse(buf_bytes(&line), false, &r);
			assert_int_equal(r.status, REPLY_OK);
			assert_int_equal(r.result.state, more ? RESULT_TOO_LONG : RESULT_GIVEN);
			assert_int_equal(r.result.n, more ? 0 : RESULT_MAX_BYTES);
			reply_done(&r);
		}
	}
}

/* That it is done was said before the result, which does not fit into the line: it is done. */
static void test_result_beyond_the_line(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		bool done;
	} rows[] = {
		{ "{\"id\":\"1-2\",\"status\":\"ok\",\"result\":\"xxx", true },
		{ " { \"id\" : \"1-2\", \"status\" : \"ok\" , \"result\" : [", true },
		{ "{\"id\":\"1-2\",\"status\":\"ok\",\"resul", false },
		{ "{\"id\":\"1-2\",\"status\":\"ok\",\"x\":\"result\":", false },
		{ "{\"id\":\"1-2\",\"status\":\"dead\",\"result\":\"xxx", false },
		{ "{\"result\":\"xxx", false },
		{ "{\"status\":\"ok\",\"result\":\"xxx", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct reply r;
		reply_parse(bytes_of(rows[i].line), /* cut= */ true, &r);
		assert_int_equal(r.status, rows[i].done ? REPLY_OK : REPLY_NONSENSE);
		assert_string_equal(r.id, rows[i].done ? "1-2" : "");
		assert_int_equal(r.result.state, rows[i].done ? RESULT_TOO_LONG : RESULT_NONE);
		reply_parse(bytes_of(rows[i].line), /* cut= */ false, &r);
		assert_int_equal(r.status, REPLY_NONSENSE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_and_parsed_agree),
		cmocka_unit_test(test_nothing_else_is_ok),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_other_answers),
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_limit_of_a_result),
		cmocka_unit_test(test_result_beyond_the_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
