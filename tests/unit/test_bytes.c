/* The growing buffer, UTF-8 and base64. */
#include "unit.h"

static void test_growth(void **state)
{
	(void)state;
	AUTO_BUF b = { 0 };
	for (int i = 0; i < 10000; i++)
		buf_addf(&b, "%d,", i % 10);
	assert_int_equal(b.n, 20000);
	assert_int_equal(strlen(b.p), 20000);
	buf_clear(&b);
	assert_int_equal(b.n, 0);
	assert_string_equal(b.p, "");
	buf_add(&b, NULL, 0);
	buf_add_bytes(&b, BYTES("a\0b"));
	buf_add_char(&b, 'c');
	buf_add_text(&b, "de");
	assert_bytes(buf_bytes(&b), BYTES("a\0bcde"));
	assert_int_equal(b.p[b.n], '\0');
}

static void test_failure_sticks(void **state)
{
	(void)state;
	AUTO_BUF b = { 0 };
	buf_add_text(&b, "kept");
	assert_int_equal(buf_reserve(&b, SIZE_MAX / 2), -ENOMEM);
	assert_true(b.failed);
	buf_add_text(&b, "ignored");
	buf_addf(&b, "%d", 1);
	assert_bytes(buf_bytes(&b), BYTES("kept"));
	assert_null(buf_take(&b));
	assert_false(b.failed); /* taken: empty and good again */
}

static void test_take(void **state)
{
	(void)state;
	struct buf b = { 0 };
	AUTO_FREE char *empty = buf_take(&b);
	assert_string_equal(empty, "");
	buf_add_text(&b, "x");
	AUTO_FREE char *text = buf_take(&b);
	assert_string_equal(text, "x");
	assert_null(b.p);
}

static void test_utf8(void **state)
{
	(void)state;
	static const struct {
		struct bytes text;
		bool valid;
		struct bytes clean;
	} rows[] = {
		{ BYTES(""), true, BYTES("") },
		{ BYTES("a\0b"), true, BYTES("a\0b") },
		{ BYTES("12345678\xc3\xa9 and more ASCII"), true, BYTES("12345678\xc3\xa9 and more ASCII") },
		{ BYTES("\xe2\x82\xac\xf0\x9f\x98\x80"), true, BYTES("\xe2\x82\xac\xf0\x9f\x98\x80") },
		{ BYTES("\xf4\x8f\xbf\xbf"), true, BYTES("\xf4\x8f\xbf\xbf") },
		{ BYTES("\xf4\x90\x80\x80"), false, BYTES("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd") },
		{ BYTES("\xc0\x80"), false, BYTES("\xef\xbf\xbd\xef\xbf\xbd") },
		{ BYTES("\xe0\x80\x80"), false, BYTES("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd") },
		{ BYTES("\xed\xa0\x80"), false, BYTES("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd") },
		{ BYTES("a\xff" "b"), false, BYTES("a\xef\xbf\xbd" "b") },
		{ BYTES("a\xe2\x82"), false, BYTES("a\xef\xbf\xbd\xef\xbf\xbd") },
		{ BYTES("12345678\x80"), false, BYTES("12345678\xef\xbf\xbd") },
		{ BYTES("\xc3"), false, BYTES("\xef\xbf\xbd") },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF b = { 0 };
		/* A copy of exact size, so that a sanitizer sees a read behind it. */
		AUTO_FREE char *copy = malloc(rows[i].text.n + 1);
		struct bytes text = { memcpy(copy + 1, rows[i].text.p, rows[i].text.n), rows[i].text.n };
		assert_int_equal(utf8_valid(text), rows[i].valid);
		buf_add_utf8(&b, text);
		assert_bytes(buf_bytes(&b), rows[i].clean);
	}
}

static void test_base64(void **state)
{
	(void)state;
	static const struct {
		struct bytes data;
		struct bytes text;
	} rows[] = {
		{ BYTES(""), BYTES("") },          { BYTES("f"), BYTES("Zg==") },       { BYTES("fo"), BYTES("Zm8=") },
		{ BYTES("foo"), BYTES("Zm9v") },   { BYTES("foobar"), BYTES("Zm9vYmFy") }, { BYTES("\0\xff\xfe"), BYTES("AP/+") },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF text = { 0 };
		AUTO_BUF data = { 0 };
		buf_add_base64(&text, rows[i].data);
		assert_bytes(buf_bytes(&text), rows[i].text);
		assert_int_equal(buf_add_base64_decoded(&data, rows[i].text), 0);
		assert_bytes(buf_bytes(&data), rows[i].data);
	}
}

static void test_base64_refused(void **state)
{
	(void)state;
	static const struct bytes rows[] = {
		BYTES("A"), BYTES("AB"), BYTES("ABC"), BYTES("===="), BYTES("A==="), BYTES("AB=C"), BYTES("A=BC"), BYTES("AA==AAAA"),
		BYTES("AAA\n"), BYTES("AA A"), BYTES("AAA\0"), BYTES("AA-_"), BYTES("AAA\xff"),
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF data = { 0 };
		assert_int_equal(buf_add_base64_decoded(&data, rows[i]), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_growth), cmocka_unit_test(test_failure_sticks), cmocka_unit_test(test_take),
		cmocka_unit_test(test_utf8),   cmocka_unit_test(test_base64),         cmocka_unit_test(test_base64_refused),
	};
	return RUN_GROUP(tests);
}
