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

/* Without an ID that could be one nothing is ever done: a second "ok" for one entry must not be taken for the next one's. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_and_parsed_agree),
		cmocka_unit_test(test_nothing_else_is_ok),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_other_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
