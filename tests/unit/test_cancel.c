/* What an operator wants ended: one request at a time, answered once, and no answer is taken for another's. */
#include "unit.h"

#include "ipc/cancel.h"

static struct cancel_request request(const char *id, int64_t delivery)
{
	struct cancel_request r = { .stream = "s", .group = "g", .delivery = delivery };
	memcpy(r.id, id, strlen(id));
	return r;
}

static void test_asked_and_answered(void **state)
{
	struct cancel_slot c = { 0 };
	struct cancel_request r = request("1-1", 1), read;
	uint32_t others;
	bool news;
	(void)state;

	assert_false(cancel_read(&c, &read));
	assert_int_equal(cancel_ask(&c, &r, &news, &others), CANCEL_ASKED);
	assert_true(news);
	assert_int_equal(cancel_ask(&c, &r, &news, &others), CANCEL_ASKED);
	assert_false(news);
	assert_true(cancel_read(&c, &read));
	assert_string_equal(read.id, "1-1");
	cancel_reply(&c, CANCEL_WITH_OTHERS, 7);
	assert_false(cancel_read(&c, &read));
	assert_int_equal(cancel_ask(&c, &r, &news, &others), CANCEL_WITH_OTHERS);
	assert_int_equal(others, 7);
	assert_false(news);
	/* An answer is told once: who asks again wants it looked at again. */
	assert_int_equal(cancel_ask(&c, &r, &news, &others), CANCEL_ASKED);
	assert_true(news);
}

static void test_one_at_a_time(void **state)
{
	struct cancel_slot c = { 0 };
	struct cancel_request first = request("1-1", 1), again = request("1-1", 2), read;
	uint32_t others;
	bool news;
	(void)state;

	assert_int_equal(cancel_ask(&c, &first, &news, &others), CANCEL_ASKED);
	assert_int_equal(cancel_ask(&c, &again, &news, &others), CANCEL_BUSY);
	assert_false(news);
	assert_true(cancel_read(&c, &read));
	assert_int_equal(read.delivery, 1);
	cancel_reply(&c, CANCEL_ENDING, 0);
	/* The answer to the first is not the second's. */
	assert_int_equal(cancel_ask(&c, &again, &news, &others), CANCEL_ASKED);
	assert_true(news);
	cancel_reply(&c, CANCEL_NOT_HELD, 0);
	assert_int_equal(cancel_ask(&c, &again, &news, &others), CANCEL_NOT_HELD);
}

static void test_a_new_worker_knows_of_nothing(void **state)
{
	struct cancel_slot c = { 0 };
	struct cancel_request r = request("1-1", 1), read;
	uint32_t others;
	bool news;
	(void)state;

	assert_int_equal(cancel_ask(&c, &r, &news, &others), CANCEL_ASKED);
	cancel_reset(&c);
	assert_false(cancel_read(&c, &read));
	assert_int_equal(cancel_ask(&c, &r, &news, &others), CANCEL_ASKED);
	assert_true(news);
	assert_string_equal(cancel_result_name(CANCEL_ENDING), "ending");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_asked_and_answered),
		cmocka_unit_test(test_one_at_a_time),
		cmocka_unit_test(test_a_new_worker_knows_of_nothing),
	};
	return RUN_GROUP(tests);
}
