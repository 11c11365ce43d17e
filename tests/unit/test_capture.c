/* Lines out of chunks, the brake on floods, and the end of stderr; with times that the test makes up. */
#undef NDEBUG
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "handler/capture.h"

enum { SECOND_US = 1000 * 1000 };

struct heard {
	struct buf text; /* "1:line\n", "2:line(cut)\n" */
	size_t count;
};

static void on_line(void *user, int fd, struct bytes line, bool cut)
{
	struct heard *h = user;

	h->count++;
	buf_addf(&h->text, "%d:", fd);
	buf_add_bytes(&h->text, line);
	buf_add_text(&h->text, cut ? "(cut)\n" : "\n");
}

static struct capture capture;
static struct heard heard;

static int setup(void **state)
{
	(void)state;
	heard = (struct heard){ 0 };
	capture_init(&capture, on_line, &heard);
	capture_begin(&capture, true, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buf_done(&heard.text);
	return 0;
}

static void feed(int fd, const char *text)
{
	capture_feed(&capture, fd, bytes_of(text), 0);
}

static void test_lines_over_chunks(void **state)
{
	(void)state;
	feed(1, "a");
	feed(2, "x\ny");
	feed(1, "b\n\nc\nd");
	feed(1, "");
	capture_end(&capture, 0);
	assert_string_equal(heard.text.p, "2:x\n1:ab\n1:\n1:c\n1:d\n2:y\n");
	assert_int_equal(capture_tail(&capture).n, 3);
	assert_memory_equal(capture_tail(&capture).p, "x\ny", 3);
}

/* A long text split at every place gives the same lines. */
static void test_every_split(void **state)
{
	static const char text[] = "one\n\ntwo three\n\n\nfour";
	(void)state;

	for (size_t cut = 0; cut < sizeof(text); cut++) {
		capture_begin(&capture, true, 0);
		buf_clear(&heard.text);
		capture_feed(&capture, 1, (struct bytes){ text, cut }, 0);
		capture_feed(&capture, 1, (struct bytes){ text + cut, sizeof(text) - 1 - cut }, 0);
		capture_end(&capture, 0);
		assert_string_equal(heard.text.p, "1:one\n1:\n1:two three\n1:\n1:\n1:four\n");
	}
}

/* Lines around the limit, in pieces of several sizes: cut exactly when longer, and the rest is never taken for a line. */
static void test_limit_of_a_line(void **state)
{
	static char big[3 * LINE_MAX_BYTES];
	static const size_t pieces[] = { 1000, 4096, LINE_MAX_BYTES - 1, LINE_MAX_BYTES, LINE_MAX_BYTES + 1, sizeof(big) };
	(void)state;

	memset(big, 'x', sizeof(big));
	for (size_t p = 0; p < ARRAY_LEN(pieces); p++) {
		for (size_t n = LINE_MAX_BYTES - 1; n <= LINE_MAX_BYTES + 2; n++) {
			buf_clear(&heard.text);
			capture_begin(&capture, true, 0);
			for (size_t at = 0; at < n; at += pieces[p])
				capture_feed(&capture, 1, (struct bytes){ big, n - at < pieces[p] ? n - at : pieces[p] }, 0);
			feed(1, "\nnext\n");
			bool cut = n > LINE_MAX_BYTES;
			size_t kept = cut ? LINE_MAX_BYTES : n;
			assert_int_equal(heard.text.n, 2 + kept + (cut ? strlen("(cut)") : 0) + strlen("\n1:next\n"));
			assert_string_equal(heard.text.p + heard.text.n - 9, cut ? ")\n1:next\n" : "x\n1:next\n");
		}
	}
}

static void test_cut_line_is_told_before_its_end(void **state)
{
	static char big[LINE_MAX_BYTES + 1];
	(void)state;

	memset(big, 'x', sizeof(big));
	capture_feed(&capture, 1, (struct bytes){ big, sizeof(big) }, 0);
	assert_int_equal(heard.count, 1);
	capture_feed(&capture, 1, (struct bytes){ big, sizeof(big) }, 0);
	capture_end(&capture, 0);
	assert_int_equal(heard.count, 1);
}

static void test_flood_of_lines(void **state)
{
	int64_t lines = 0;
	int64_t bytes = 0;
	(void)state;

	for (int i = 0; i < 5000; i++)
		feed(1 + i % 2, "ab\n");
	assert_int_equal(heard.count, CAPTURE_LINES_PER_S);
	assert_true(capture_dropping(&capture));
	capture_take_dropped(&capture, &lines, &bytes);
	assert_int_equal(lines, 5000 - CAPTURE_LINES_PER_S);
	assert_int_equal(bytes, 2 * lines);
	assert_false(capture_dropping(&capture));
	/* It comes back with time, at the rate, and never more than a second's worth. */
	heard.count = 0;
	for (int64_t now_us = 500; now_us <= 100 * 1000; now_us += 500)
		capture_feed(&capture, 1, bytes_of("x\nx\n"), now_us);
	assert_int_equal(heard.count, CAPTURE_LINES_PER_S / 10);
	heard.count = 0;
	for (int i = 0; i < 5000; i++)
		capture_feed(&capture, 1, bytes_of("x\n"), INT64_C(3600) * 24 * 365 * 100 * SECOND_US);
	assert_int_equal(heard.count, CAPTURE_LINES_PER_S);
}

static void test_flood_of_bytes(void **state)
{
	static char line[10 * 1024];
	int64_t lines = 0;
	int64_t bytes = 0;
	(void)state;

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	for (int i = 0; i < 1000; i++)
		capture_feed(&capture, 1, (struct bytes){ line, sizeof(line) }, 0);
	assert_int_equal(heard.count, CAPTURE_BYTES_PER_S / (sizeof(line) - 1));
	capture_take_dropped(&capture, &lines, &bytes);
	assert_int_equal(lines + (int64_t)heard.count, 1000);
	feed(1, "a short one still has room\n");
	assert_string_equal(heard.text.p + heard.text.n - 6, " room\n");
}

static void test_clock_that_stands_still_or_goes_back(void **state)
{
	(void)state;
	capture_begin(&capture, true, 10 * SECOND_US);
	capture_feed(&capture, 1, bytes_of("a\n"), 5 * SECOND_US);
	capture_feed(&capture, 1, bytes_of("b\n"), 10 * SECOND_US);
	assert_int_equal(heard.count, 2);
}

static void test_tail(void **state)
{
	AUTO_BUF all = { 0 };
	static const size_t sizes[] = { 1, 7, 4095, 1, 1, 4096, 100, 4000, 5000, 3, 4096, 4097, 10 };
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		AUTO_BUF chunk = { 0 };
		for (size_t k = 0; k < sizes[i]; k++)
			buf_add_char(&chunk, (char)('a' + (all.n + k * 7 + i) % 26));
		buf_add_bytes(&all, buf_bytes(&chunk));
		capture_feed(&capture, 2, buf_bytes(&chunk), 0);
		size_t n = all.n < CAPTURE_TAIL ? all.n : CAPTURE_TAIL;
		assert_int_equal(capture_tail(&capture).n, n);
		assert_memory_equal(capture_tail(&capture).p, all.p + all.n - n, n);
	}
}

static void test_discarded_output_still_has_a_tail(void **state)
{
	(void)state;
	capture_begin(&capture, false, 0);
	feed(2, "why\nlast");
	capture_end(&capture, 0);
	assert_int_equal(heard.count, 0);
	assert_false(capture_dropping(&capture));
	assert_int_equal(capture_tail(&capture).n, 8);
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		ROW(test_lines_over_chunks), ROW(test_every_split), ROW(test_limit_of_a_line), ROW(test_cut_line_is_told_before_its_end),
		ROW(test_flood_of_lines), ROW(test_flood_of_bytes), ROW(test_clock_that_stands_still_or_goes_back), ROW(test_tail),
		ROW(test_discarded_output_still_has_a_tail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
