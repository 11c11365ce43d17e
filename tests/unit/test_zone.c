/* Time zones from bytes: files made here, whole, torn at each byte, and lying; rules good and bad; spans that
 * fit together. */
#include "unit.h"

#include "domain/zone.h"
#include "domain/zone_rule.h"

static void add_big(struct buf *b, int64_t value, int size)
{
	for (int shift = (size - 1) * 8; shift >= 0; shift -= 8)
		buf_add_char(b, (char)((uint64_t)value >> shift & 0xff));
}

static void add_header(struct buf *b, char version, int leaps, int changes, int types)
{
	buf_add_text(b, "TZif");
	buf_add_char(b, version);
	for (int i = 0; i < 15; i++)
		buf_add_char(b, '\0');
	add_big(b, 0, 4);
	add_big(b, 0, 4);
	add_big(b, leaps, 4);
	add_big(b, changes, 4);
	add_big(b, types, 4);
	add_big(b, 4, 4);
}

struct made {
	int64_t at_s[2];
	int type[2];
	int64_t offset_s[2];
	int leaps;
};

static void add_block(struct buf *b, const struct made *m, int time_size)
{
	for (int i = 0; i < 2; i++)
		add_big(b, m->at_s[i], time_size);
	for (int i = 0; i < 2; i++)
		buf_add_char(b, (char)m->type[i]);
	for (int i = 0; i < 2; i++) {
		add_big(b, m->offset_s[i], 4);
		add_big(b, 0, 2);
	}
	buf_add(b, "ABC", 4);
	for (int i = 0; i < m->leaps; i++) {
		add_big(b, 0, time_size);
		add_big(b, 0, 4);
	}
}

/* Two types, two changes; the 32-bit block is another one, so that it shows which was read. */
static void make(struct buf *b, const struct made *m, const char *footer)
{
	const struct made other = { { 1, 2 }, { 0, 0 }, { 77, 77 }, 0 };

	add_header(b, '2', 0, 2, 2);
	add_block(b, &other, 4);
	add_header(b, '2', m->leaps, 2, 2);
	add_block(b, m, 8);
	buf_add_text(b, footer);
}

static const struct made good = { { 1000000, 2000000 }, { 1, 0 }, { 3600, 7200 }, 0 };

static void assert_span(const struct zone *z, int64_t at, int64_t from, int64_t until, int64_t offset)
{
	struct zone_span s = zone_span(z, at);

	assert_int_equal(s.from_s, from);
	assert_int_equal(s.until_s, until);
	assert_int_equal(s.offset_s, offset);
}

static void test_file(void **state)
{
	AUTO_BUF file = { 0 };
	struct zone *z;

	(void)state;
	make(&file, &good, "\nQQQ-3\n");
	assert_int_equal(zone_from_file(buf_bytes(&file), &z), 0);
	assert_span(z, -5, INT64_MIN, 1000000, 3600);
	assert_span(z, 999999, INT64_MIN, 1000000, 3600);
	assert_span(z, 1000000, 1000000, 2000000, 7200);
	assert_span(z, 2000000, 2000000, INT64_MAX, 3 * 3600);
	zone_free(z);
	assert_span(NULL, 5, INT64_MIN, INT64_MAX, 0);

	AUTO_BUF without = { 0 };
	make(&without, &good, "\n\n");
	assert_int_equal(zone_from_file(buf_bytes(&without), &z), 0);
	assert_span(z, 5000000, 2000000, INT64_MAX, 3600);
	zone_free(z);

	AUTO_BUF old = { 0 };
	add_header(&old, '\0', 0, 2, 2);
	add_block(&old, &good, 4);
	assert_int_equal(zone_from_file(buf_bytes(&old), &z), 0);
	assert_span(z, 1500000, 1000000, 2000000, 7200);
	zone_free(z);
}

static void test_torn(void **state)
{
	AUTO_BUF file = { 0 };
	struct zone *z = NULL;

	(void)state;
	make(&file, &good, "\nQQQ-3\n");
	for (size_t n = 0; n < file.n; n++) {
		char *copy = malloc(n + 1); /* exact, so that a sanitizer sees who reads beyond */
		assert_non_null(copy);
		memcpy(copy, file.p, n);
		copy = realloc(copy, n ? n : 1);
		assert_int_equal(zone_from_file((struct bytes){ copy, n }, &z), -EINVAL);
		free(copy);
	}
	/* Any byte of it changed: a zone or none, and nothing worse. */
	for (size_t i = 0; i < file.n; i++) {
		for (int bit = 0; bit < 8; bit++) {
			file.p[i] ^= (char)(1 << bit);
			if (zone_from_file(buf_bytes(&file), &z) == 0) {
				(void)zone_span(z, 1500000);
				zone_free(z);
			}
			file.p[i] ^= (char)(1 << bit);
		}
	}
}

static void test_lying(void **state)
{
	static const struct {
		struct made made;
		const char *footer;
	} rows[] = {
		{ { { 2, 1 }, { 1, 0 }, { 0, 0 }, 0 }, "\n\n" },      /* not in order */
		{ { { 1, 1 }, { 1, 0 }, { 0, 0 }, 0 }, "\n\n" },      /* twice */
		{ { { 1, 2 }, { 2, 0 }, { 0, 0 }, 0 }, "\n\n" },      /* no such type */
		{ { { 1, 2 }, { 1, 0 }, { 0, 100000 }, 0 }, "\n\n" }, /* more than a day */
		{ { { 1, 2 }, { 1, 0 }, { -100000, 0 }, 0 }, "\n\n" },
		{ { { 1, 2 }, { 1, 0 }, { 0, 0 }, 1 }, "\n\n" }, /* leap seconds */
		{ { { 1, 2 }, { 1, 0 }, { 0, 0 }, 0 }, "\nnonsense\n" },
		{ { { 1, 2 }, { 1, 0 }, { 0, 0 }, 0 }, "QQQ-3\n" },
	};
	struct zone *z;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF file = { 0 };
		make(&file, &rows[i].made, rows[i].footer);
		assert_int_equal(zone_from_file(buf_bytes(&file), &z), -EINVAL);
	}
}

static void test_rules(void **state)
{
	static const char *const wrong[] = {
		"",
		"C",
		"CE",
		"CET",
		"CET-",
		"CET-1x",
		"CET-25",
		"CET-1:60",
		"CET-1CEST",
		"CET-1CEST,",
		"CET-1CEST,M3.5.0",
		"CET-1CEST,M3.5.0,",
		"CET-1CEST,M13.5.0,M10.5.0",
		"CET-1CEST,M0.5.0,M10.5.0",
		"CET-1CEST,M3.6.0,M10.5.0",
		"CET-1CEST,M3.5.7,M10.5.0",
		"CET-1CEST,J0,J5",
		"CET-1CEST,J366,J5",
		"CET-1CEST,366,5",
		"CET-1CEST,M3.5.0/168,M10.5.0",
		"CET-1CEST,M3.5.0,M10.5.0/3 ",
		"<CET-1",
		"<>-1",
		"<+>-1",
		"Europe/Paris",
		":CET-1",
		"CET-99999999999999999999",
	};
	static const char *const right[] = {
		"UTC0",
		"CET-1",
		"<-03>3",
		"<+1030>-10:30:15",
		"CET-1CEST,M3.5.0,M10.5.0/3",
		"CET-1CEST-2:30,J60/-167,J300/167",
		"AAA0BBB,0/0,J365/25",
		"IST-1GMT0,M10.5.0,M3.5.0/1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct zone *z = NULL;
		if (zone_from_rule(wrong[i], &z) != -EINVAL)
			fail_msg("%s is taken", wrong[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(right); i++) {
		struct zone *z = NULL;
		if (zone_from_rule(right[i], &z) != 0)
			fail_msg("%s is refused", right[i]);
		/* Spans lie beside each other without a gap, and each moment of one tells the same. */
		int64_t at = INT64_C(1700000000);
		for (int n = 0; n < 200; n++) {
			struct zone_span s = zone_span(z, at);
			assert_true(s.from_s <= at && at < s.until_s);
			if (s.until_s == INT64_MAX)
				break;
			struct zone_span last = zone_span(z, s.until_s - 1);
			assert_int_equal(last.offset_s, s.offset_s);
			assert_int_equal(last.until_s, s.until_s);
			assert_int_equal(zone_span(z, s.until_s).from_s, s.until_s);
			at = s.until_s;
		}
		zone_free(z);
	}
}

static void test_rule_spans(void **state)
{
	struct zone *z;

	(void)state;
	assert_int_equal(zone_from_rule("CET-1CEST,M3.5.0,M10.5.0/3", &z), 0);
	/* 2026-03-29 01:00 UTC to 2026-10-25 01:00 UTC */
	assert_span(z, 1774746000, 1774746000, 1792890000, 7200);
	assert_int_equal(zone_span(z, 1774745999).offset_s, 3600);
	assert_int_equal(zone_span(z, 1792890000).offset_s, 3600);
	zone_free(z);
	assert_int_equal(zone_from_rule("AAA0BBB,0/0,J365/25", &z), 0); /* summer time all year round */
	for (int64_t at = 1767225600 - 100000; at < 1767225600 + 100000; at += 997)
		assert_int_equal(zone_span(z, at).offset_s, 3600);
	zone_free(z);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),  cmocka_unit_test(test_torn),       cmocka_unit_test(test_lying),
		cmocka_unit_test(test_rules), cmocka_unit_test(test_rule_spans),
	};

	return RUN_GROUP(tests);
}
