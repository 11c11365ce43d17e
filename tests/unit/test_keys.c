/* The names of a queue's keys: all in the stream's slot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "redis/keys.h"

static void test_plain(void **state)
{
	struct queue_keys k;

	(void)state;
	assert_int_equal(queue_keys_init(&k, "jobs", "g"), 0);
	assert_string_equal(k.stream, "jobs");
	assert_string_equal(k.group, "g");
	assert_string_equal(k.due, "xackd:{jobs}:jobs:g:due");
	assert_string_equal(k.given, "xackd:{jobs}:jobs:g:given");
	assert_string_equal(k.note, "xackd:{jobs}:jobs:g:note");
	assert_string_equal(k.dead, "xackd:{jobs}:jobs:g:dead");
	assert_string_equal(k.hosts, "xackd:{jobs}:jobs:g:hosts");
	assert_string_equal(k.paused, "xackd:{jobs}:jobs:g:paused");
	assert_string_equal(k.later, "xackd:{jobs}:jobs:later");
	assert_string_equal(k.later_data, "xackd:{jobs}:jobs:later:data");
	assert_string_equal(k.promoted, "xackd:{jobs}:jobs:promoted");
	AUTO_BUF once = { 0 };
	queue_keys_add_once(&k, (struct bytes){ "a\0}", 3 }, &once);
	assert_int_equal(once.n, strlen("xackd:{jobs}:jobs:once:") + 3);
	assert_memory_equal(once.p, "xackd:{jobs}:jobs:once:a\0}", once.n);
	queue_keys_done(&k);
	assert_null(k.stream);
}

static void test_tag(void **state)
{
	struct queue_keys k;

	(void)state;
	assert_int_equal(queue_keys_init(&k, "a{b}c", "g:h"), 0);
	assert_string_equal(k.due, "xackd:{b}:a{b}c:g:h:due");
	queue_keys_done(&k);
	assert_int_equal(queue_keys_init(&k, "{b}", "g"), 0);
	assert_string_equal(k.dead, "xackd:{b}:{b}:g:dead");
	queue_keys_done(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_tag),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
