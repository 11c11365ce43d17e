/* The page: nothing that stands in the log can be anything but text in it, and it asks for nothing from
 * anywhere. */
#include "unit.h"

#include "report/feed.h"
#include "report/page.h"

static const char hostile[] = "{\"ts\":\"2026-01-01T00:00:01Z\",\"level\":\"info\",\"event\":\"job.dead\","
			      "\"host\":\"</script><b>\",\"job\":\"<!--<script>\","
			      "\"id\":\"1-0\",\"attempt\":1,\"reason\":\"{{data}}\",\"detail\":\"&lt;{{nonce}"
			      "}\\u2028\",\"attempts\":1,\"dead_id\":\"--></SCRIPT\\u0000\"}\n";

static void make(struct buf *out, bool live, const char *nonce)
{
	struct feed f = { .source = { .name = "<i>\"&", .version = "0" } };
	struct report_page_options options = { .live = live };
	assert_int_equal(digest_new(&(struct digest_range){ .since_ms = -1, .until_ms = -1 }, &f.digest), 0);
	(void)snprintf(options.nonce, sizeof(options.nonce), "%s", nonce);
	feed_bytes(&f, BYTES(hostile));
	assert_int_equal(f.digest->count[DIGEST_DEAD], 1);
	report_page(out, f.digest, &f.source, &options);
	assert_false(out->failed);
	digest_free(f.digest);
	feed_done(&f);
}

static size_t occurrences(const char *text, const char *word)
{
	size_t n = 0;
	for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
		n++;
	return n;
}

static void test_nothing_gets_out_of_its_place(void **state)
{
	(void)state;
	AUTO_BUF page = { 0 };
	make(&page, false, "n0nce");
	assert_int_equal(strlen(page.p), page.n); /* no NUL */
	assert_int_equal(occurrences(page.p, "<script"), 3);
	assert_int_equal(occurrences(page.p, "</script"), 3);
	assert_int_equal(occurrences(page.p, "<!--"), 0);
	assert_int_equal(occurrences(page.p, "{{"),
			 occurrences(page.p, "{{data}}") +
				 occurrences(page.p, "{{nonce}}")); /* those of the log alone */
	assert_int_equal(occurrences(page.p, "\"reason\":\"{{data}}\""),
			 2); /* a dead letter and a reason, as text */
	char *begin = strstr(page.p, "id=\"data\">");
	assert_non_null(begin);
	begin += strlen("id=\"data\">");
	size_t n = (size_t)(strstr(begin, "</script") - begin);
	for (size_t i = 0; i < n; i++)
		assert_true(begin[i] != '<' && begin[i] != '>' && begin[i] != '&');
	AUTO_JSON *data = json_parse((struct bytes){ begin, n });
	json_t *dead = json_array_get(json_object_get(data, "dead"), 0);
	assert_string_equal(json_string_value(json_object_get(dead, "host")), "</script><b>");
	assert_string_equal(json_string_value(json_object_get(data, "source")), "<i>\"&");
}

static void test_it_asks_for_nothing(void **state)
{
	(void)state;
	AUTO_BUF page = { 0 };
	make(&page, false, "");
	assert_null(strstr(page.p, "src="));
	assert_null(strstr(page.p, "@import"));
	assert_null(strstr(page.p, "url("));
	assert_null(strstr(page.p, "sourceMappingURL"));
	assert_non_null(strstr(page.p, "connect-src 'none'"));
	assert_non_null(strstr(page.p, "default-src 'none'"));
	assert_null(strstr(page.p, "unsafe"));
	assert_int_equal(occurrences(page.p, "href="),
			 occurrences(page.p, "href=\"#") + 1); /* and an icon of nothing */
	assert_non_null(strstr(page.p, "href=\"data:,\""));
}

static void test_nonces(void **state)
{
	(void)state;
	AUTO_BUF first = { 0 };
	AUTO_BUF second = { 0 };
	AUTO_BUF given = { 0 };
	make(&first, false, "");
	make(&second, false, "");
	make(&given, true, "abc");
	const char *nonce = strstr(first.p, "script-src 'nonce-");
	assert_non_null(nonce);
	assert_int_equal(strcspn(nonce + strlen("script-src 'nonce-"), "'"), REPORT_NONCE_SIZE - 1);
	assert_memory_not_equal(nonce, strstr(second.p, "script-src 'nonce-"), 40);
	assert_int_equal(occurrences(given.p, "nonce=\"abc\""), 3);
	assert_non_null(strstr(given.p, "connect-src 'self'"));
	assert_non_null(strstr(given.p, "data-live=\"yes\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_gets_out_of_its_place),
		cmocka_unit_test(test_it_asks_for_nothing),
		cmocka_unit_test(test_nonces),
	};
	return RUN_GROUP(tests);
}
