/* The lines of fd 3, one row for each thing a handler may say or get wrong. */
#undef NDEBUG
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "handler/lines.h"
#include "handler/notify.h"

static void take(void *user, struct bytes line, bool cut)
{
	notify_line(user, line, cut);
}

static void hear(struct notify *n, struct bytes text)
{
	static struct lines lines;
	static char room[NOTIFY_LINE_MAX_BYTES];

	lines_init(&lines, room, sizeof(room));
	notify_begin(n, /* wants_result= */ true);
	lines_begin(&lines);
	lines_feed(&lines, text, take, n);
	lines_end(&lines, take, n);
}

struct row {
	const char *text;
	int64_t retry_after_ms;
	int64_t later_ms;
	int64_t progress;
	int64_t extend_ms;
	const char *status;
	const char *dead; /* NULL = not said */
};

static const struct row rows[] = {
	{ "", -1, -1, -1, -1, "", NULL },
	{ "RETRY_AFTER=30\n", 30000, -1, -1, -1, "", NULL },
	{ "RETRY_AFTER=0.25", 250, -1, -1, -1, "", NULL },
	{ "LATER=0\n", -1, 0, -1, -1, "", NULL },
	{ "LATER=1\nLATER=2\nLATER=x\n", -1, 2000, -1, -1, "", NULL },
	{ "LATER=-1\nRETRY_AFTER= 5\nEXTEND_TIMEOUT=5 \nPROGRESS=nan\n", -1, -1, -1, -1, "", NULL },
	{ "LATER=1e3\nRETRY_AFTER=0x10\nEXTEND_TIMEOUT=inf\nPROGRESS=\n", -1, -1, -1, -1, "", NULL },
	{ "RETRY_AFTER=99999999999999999999999\n", -1, -1, -1, -1, "", NULL },
	{ "EXTEND_TIMEOUT=60\n", -1, -1, -1, 60000, "", NULL },
	{ "PROGRESS=0\n", -1, -1, 0, -1, "", NULL },
	{ "PROGRESS=99.9\n", -1, -1, 99, -1, "", NULL },
	{ "PROGRESS=100\nPROGRESS=100.1\nPROGRESS=-1\n", -1, -1, 100, -1, "", NULL },
	{ "STATUS=half way\n", -1, -1, -1, -1, "half way", NULL },
	{ "STATUS=a=b\n", -1, -1, -1, -1, "a=b", NULL },
	{ "STATUS=a\033[31mb\tc\177d\r\n", -1, -1, -1, -1, "a[31mbcd", NULL },
	{ "STATUS=x\302\205y\342\200\250z\303\251\n", -1, -1, -1, -1, "xyz\303\251", NULL },
	{ "STATUS=a\377b\n", -1, -1, -1, -1, "a\357\277\275b", NULL },
	{ "STATUS=old\nSTATUS=\n", -1, -1, -1, -1, "", NULL },
	{ "DEAD=the customer is gone\n", -1, -1, -1, -1, "", "the customer is gone" },
	{ "DEAD=\n", -1, -1, -1, -1, "", "" },
	{ "DEAD=a\nDEAD=b\nLATER=1\n", -1, 1000, -1, -1, "", "b" },
	{ "RESULT\nFOO=1\n=\n\n==\nLATER\n later=1\nlater=1\nLATER =1\nLATERX=1\n", -1, -1, -1, -1, "", NULL },
};

static void test_rows(void **state)
{
	struct notify n = { 0 };
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		hear(&n, bytes_of(row->text));
		if (n.said.retry_after_ms != row->retry_after_ms || n.said.later_ms != row->later_ms || n.progress != row->progress ||
		    n.extend_ms != row->extend_ms)
			fail_msg("row %zu: %s", i, row->text);
		assert_string_equal(n.status, row->status);
		assert_int_equal(n.status_n, strlen(row->status));
		assert_int_equal(n.said.dead_said, row->dead != NULL);
		assert_string_equal(n.said.dead, row->dead ? row->dead : "");
		assert_int_equal(n.progress_news, row->progress >= 0 || strstr(row->text, "STATUS=") != NULL);
	}
	notify_done(&n);
}

/* Cut to the limit, between characters. */
static void test_long_texts(void **state)
{
	struct notify n = { 0 };
	AUTO_BUF text = { 0 };
	(void)state;

	buf_add_text(&text, "STATUS=");
	for (int i = 0; i < 500; i++)
		buf_add_text(&text, "\342\202\254"); /* three bytes each */
	buf_add_text(&text, "\nDEAD=");
	for (int i = 0; i < 500; i++)
		buf_add_text(&text, "\303\251");
	hear(&n, buf_bytes(&text));
	assert_int_equal(n.status_n, 126);
	assert_int_equal(strlen(n.said.dead), 254);
	assert_true(utf8_valid(bytes_of(n.status)));
	assert_true(utf8_valid(bytes_of(n.said.dead)));
	notify_done(&n);
}

static void test_lines_beyond_the_limit_are_ignored(void **state)
{
	static const size_t lengths[] = { LINE_MAX_BYTES, NOTIFY_LINE_MAX_BYTES };
	struct notify n = { 0 };
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		AUTO_BUF text = { 0 };
		buf_add_text(&text, "DEAD=");
		for (size_t j = 0; j < lengths[i]; j++)
			buf_add_char(&text, 'x');
		buf_add_text(&text, "\nLATER=1\n");
		hear(&n, buf_bytes(&text));
		assert_false(n.said.dead_said);
		assert_int_equal(n.said.later_ms, 1000);
	}
	notify_done(&n);
}

static void hear_result(struct notify *n, size_t length)
{
	AUTO_BUF text = { 0 };

	buf_add_text(&text, "RESULT=");
	for (size_t i = 0; i < length; i++)
		buf_add_char(&text, (char)(i % 251 == '\n' ? 0 : i % 251));
	buf_add_text(&text, "\nLATER=1\n");
	hear(n, buf_bytes(&text));
	assert_int_equal(n->said.later_ms, 1000);
}

/* Any bytes but a newline, up to the limit; the last one counts, whatever it is. */
static void test_results(void **state)
{
	static const char bytes[] = "RESULT=first\nRESULT=a\0b\xff=\r\nSTATUS=x\n";
	struct notify n = { 0 };
	(void)state;

	hear(&n, (struct bytes){ bytes, sizeof(bytes) - 1 });
	assert_int_equal(n.said.result.state, RESULT_GIVEN);
	assert_true(bytes_eq(result_bytes(&n.said.result), (struct bytes){ "a\0b\xff=\r", 6 }));
	hear(&n, bytes_of("RESULT="));
	assert_int_equal(n.said.result.state, RESULT_GIVEN);
	assert_int_equal(n.said.result.n, 0);
	hear(&n, bytes_of("LATER=1\n"));
	assert_int_equal(n.said.result.state, RESULT_NONE); /* it was another run's */
	hear_result(&n, RESULT_MAX_BYTES);
	assert_int_equal(n.said.result.state, RESULT_GIVEN);
	assert_int_equal(n.said.result.n, RESULT_MAX_BYTES);
	assert_int_equal(n.said.result.text[251 + 250], (char)250);
	hear_result(&n, RESULT_MAX_BYTES + 1);
	assert_int_equal(n.said.result.state, RESULT_TOO_LONG);
	hear_result(&n, NOTIFY_LINE_MAX_BYTES);
	assert_int_equal(n.said.result.state, RESULT_TOO_LONG);
	notify_begin(&n, /* wants_result= */ false);
	notify_line(&n, bytes_of("RESULT=x"), false);
	assert_int_equal(n.said.result.state, RESULT_NONE);
	notify_done(&n);
}

/* Bytes without sense, many of them: nothing but valid values ever comes out. */
static void test_noise(void **state)
{
	static const char *const keys[] = { "RETRY_AFTER=", "LATER=", "PROGRESS=", "STATUS=", "DEAD=", "EXTEND_TIMEOUT=", "RESULT=" };
	struct notify n = { 0 };
	uint64_t x = 88172645463325252u;
	AUTO_BUF text = { 0 };
	(void)state;

	for (int round = 0; round < 20000; round++) {
		buf_clear(&text);
		for (int i = 0; i < 40; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			if (x % 16 == 0)
				buf_add_text(&text, keys[(x >> 8) % ARRAY_LEN(keys)]);
			else
				buf_add_char(&text, x % 5 == 0 ? '\n' : x % 5 == 1 ? (char)('0' + (x >> 9) % 10) : (char)(x >> 16));
		}
		hear(&n, buf_bytes(&text));
		assert_true(n.progress >= -1 && n.progress <= 100);
		assert_true(n.said.retry_after_ms >= -1 && n.said.later_ms >= -1 && n.extend_ms >= -1);
		assert_true(utf8_valid((struct bytes){ n.status, n.status_n }));
		assert_true(utf8_valid(bytes_of(n.said.dead)));
		assert_int_equal(strcspn(n.said.dead, "\n\r\t\033\177"), strlen(n.said.dead));
	}
	notify_done(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_long_texts),
		cmocka_unit_test(test_lines_beyond_the_limit_are_ignored),
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_noise),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
