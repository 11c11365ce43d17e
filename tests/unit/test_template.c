/* Argument templates: what compiles, where an error is, and that a value stays one argument, whole or not at all. */
#include "unit.h"

#include "domain/template.h"

static void release(struct template **t)
{
	template_free(*t);
}
#define AUTO_TEMPLATE __attribute__((cleanup(release))) struct template

static const struct template_values values = { .id = "5-1", .job = "thumb", .stream = "thumbs", .attempt = 3 };

static void test_expand(void **state)
{
	(void)state;
	struct entry_pair pairs[] = {
		PAIR("path", "/a b"), PAIR("empty", ""), PAIR("path", "second"), PAIR("a:b", "colon"), PAIR("brace", "{path} {{ $(id) `id`\n"), PAIR("@id", "field"),
		PAIR("bin", "\xff\xfe"),
	};
	struct entry e = { PAIRS(pairs) };
	static const struct {
		const char *text;
		struct bytes argument;
	} rows[] = {
		{ "", BYTES("") },
		{ "plain", BYTES("plain") },
		{ "{path}", BYTES("/a b") },
		{ "-o={path}.png", BYTES("-o=/a b.png") },
		{ "{path}{path}", BYTES("/a b/a b") },
		{ "{empty}", BYTES("") },
		{ "{empty:-x}", BYTES("") }, /* empty is not missing */
		{ "{none:-x y}", BYTES("x y") },
		{ "{none:-}", BYTES("") },
		{ "{none:-a:-b}", BYTES("a:-b") },
		{ "{none:-@id}", BYTES("@id") },
		{ "{path:-x}", BYTES("/a b") },
		{ "{a:b}", BYTES("colon") },
		{ "{{path}}", BYTES("{path}") },
		{ "{{{path}}}", BYTES("{/a b}") },
		{ "{{", BYTES("{") },
		{ "}}", BYTES("}") },
		{ "{brace}", BYTES("{path} {{ $(id) `id`\n") }, /* a value is never a template */
		{ "{bin}", BYTES("\xff\xfe") },
		{ "{@id} {@job} {@attempt} {@stream}", BYTES("5-1 thumb 3 thumbs") },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_TEMPLATE *t = NULL;
		struct fault f = { 0 };
		AUTO_BUF out = { 0 };
		buf_add(&out, "first", 6);
		assert_int_equal(template_compile(rows[i].text, &t, &f), 0);
		assert_int_equal(template_expand(t, &e, &values, &out, &f), TEMPLATE_OK);
		assert_int_equal(out.p[out.n - 1], '\0');
		assert_bytes((struct bytes){ out.p + 6, out.n - 7 }, rows[i].argument);
	}
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *column;
	} rows[] = {
		{ "{}", "column 1" },        { "ab{}", "column 3" },     { "{:-x}", "column 1" },    { "{@nope}", "column 1" },    { "{@}", "column 1" },
		{ "{@id:-x}", "column 1" },  { "a{b", "column 2" },      { "{", "column 1" },        { "a}", "column 2" },         { "}", "column 1" },
		{ "{a}}", "column 4" },      { "{{{a}}", "column 6" },   { "{a{b}}", "column 1" },   { "{{}", "column 3" },        { "{a:-{b}}", "column 1" },
		{ "{@ID}", "column 1" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_TEMPLATE *t = NULL;
		struct fault f = { 0 };
		assert_int_equal(template_compile(rows[i].text, &t, &f), -EINVAL);
		assert_null(t);
		if (!strstr(f.text, rows[i].column))
			print_error("\"%s\": %s\n", rows[i].text, f.text);
		assert_non_null(strstr(f.text, rows[i].column));
	}
}

static void test_answers(void **state)
{
	(void)state;
	static char long_value[200 * 1024];
	memset(long_value, 'x', sizeof(long_value));
	struct entry_pair pairs[] = {
		PAIR("nul", "a\0b"),
		{ BYTES("fits"), { long_value, 128 * 1024 - 1 } },
		{ BYTES("long"), { long_value, 128 * 1024 } },
		PAIR("nul", "good"),
	};
	struct entry e = { PAIRS(pairs) };
	static const struct {
		const char *text;
		int answer;
		const char *names;
	} rows[] = {
		{ "{fits}", TEMPLATE_OK, "" },
		{ "{fits}x", TEMPLATE_TOO_LONG, "" },
		{ "{fits}{fits}", TEMPLATE_TOO_LONG, "" },
		{ "{long}", TEMPLATE_TOO_LONG, "\"long\"" },
		{ "a{nul}", TEMPLATE_NUL, "\"nul\"" },
		{ "a{none}", TEMPLATE_MISSING_FIELD, "\"none\"" },
		{ "{long:-x}", TEMPLATE_TOO_LONG, "\"long\"" },
		{ "{nul:-x}", TEMPLATE_NUL, "\"nul\"" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_TEMPLATE *t = NULL;
		struct fault f = { 0 };
		AUTO_BUF out = { 0 };
		buf_add(&out, "first", 6);
		assert_int_equal(template_compile(rows[i].text, &t, &f), 0);
		assert_int_equal(template_expand(t, &e, &values, &out, &f), rows[i].answer);
		assert_non_null(strstr(f.text, rows[i].names));
		if (rows[i].answer != TEMPLATE_OK)
			assert_bytes(buf_bytes(&out), BYTES("first\0")); /* no half argument is left */
	}
}

static void test_no_pairs(void **state)
{
	(void)state;
	struct entry e = { .payload_gone = true };
	AUTO_TEMPLATE *t = NULL;
	struct fault f = { 0 };
	AUTO_BUF out = { 0 };
	assert_int_equal(template_compile("{a}", &t, &f), 0);
	assert_int_equal(template_expand(t, &e, &values, &out, &f), TEMPLATE_MISSING_FIELD);
	template_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expand),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_no_pairs),
	};
	return RUN_GROUP(tests);
}
