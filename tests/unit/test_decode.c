/* Answers of Redis, good and odd ones: built by hiredis' own parser from their bytes. Nothing odd may crash or leak. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "redis/decode.h"
#include "redis/letter.h"

static redisReply *reply_of(struct bytes wire)
{
	redisReader *reader = redisReaderCreate();
	void *reply = NULL;

	assert_int_equal(redisReaderFeed(reader, wire.p, wire.n), REDIS_OK);
	assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
	assert_non_null(reply);
	redisReaderFree(reader);
	return reply;
}

static redisReply *parse(const char *wire)
{
	return reply_of(bytes_of(wire));
}

static struct queue_keys the_keys;
static const struct queue_keys *const keys[] = { &the_keys };

static int read_error(const char *wire, struct entry_list *list)
{
	struct redis_error error;
	redisReply *reply = parse(wire);
	int r = queue_parse_read(NULL, reply, keys, 1, list, &error);
	freeReplyObject(reply);
	if (r < 0)
		assert_true(error.reaction != REACT_NONE && error.text[0]);
	return r;
}

static void test_read(void **state)
{
	static const char wire[] = "*1\r\n*2\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n5-1\r\n*4\r\n$1\r\na\r\n$2\r\n\0\n\r\n$1\r\na\r\n$0\r\n\r\n*2\r\n$3\r\n5-2\r\n*-1\r\n";
	struct entry_list list;
	struct redis_error error;

	(void)state;
	redisReply *reply = reply_of((struct bytes){ wire, sizeof(wire) - 1 });
	assert_int_equal(queue_parse_read(NULL, reply, keys, 1, &list, &error), 0);
	freeReplyObject(reply); /* the pairs were copied */
	assert_int_equal(error.reaction, REACT_NONE);
	assert_int_equal(list.count, 2);
	assert_string_equal(list.entries[0].id, "5-1");
	assert_int_equal(list.entries[0].pair_count, 2);
	assert_int_equal(list.entries[0].pairs[0].value.n, 2);
	assert_memory_equal(list.entries[0].pairs[0].value.p, "\0\n", 2);
	assert_int_equal(list.entries[0].pairs[1].value.n, 0);
	assert_int_equal(list.entries[0].delivery, 1);
	assert_true(list.entries[1].payload_gone);
	entry_list_done(&list);
}

static void test_read_odd(void **state)
{
	static const char *const odd[] = {
		"+OK\r\n", ":1\r\n", "*1\r\n:1\r\n", "*1\r\n*1\r\n$1\r\ns\r\n", "*1\r\n*2\r\n$1\r\nx\r\n*0\r\n", "*1\r\n*2\r\n$1\r\ns\r\n:1\r\n",
		"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\nbad\r\n*0\r\n",
		"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n5-1\r\n*1\r\n$1\r\na\r\n",
		"*1\r\n*2\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n5-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n:3\r\n",
		"-LOADING x\r\n",
	};
	struct entry_list list;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		assert_int_equal(read_error(odd[i], &list), -EPROTO);
		assert_int_equal(list.count, 0);
	}
	assert_int_equal(read_error("*-1\r\n", &list), 0);
	assert_int_equal(list.count, 0);
	assert_int_equal(read_error("*1\r\n*2\r\n$1\r\ns\r\n*0\r\n", &list), 0);
	assert_int_equal(list.count, 0);
	entry_list_done(&list);
}

static void test_errors(void **state)
{
	struct redis_error error;
	struct entry_list list;
	redisReply *reply = parse("-NOGROUP No such\x01 key\r\n");

	(void)state;
	connection_reply_error(reply, &error);
	assert_int_equal(error.reaction, REACT_GROUP);
	assert_string_equal(error.text, "NOGROUP No such? key");
	freeReplyObject(reply);
	assert_int_equal(queue_parse_read(NULL, NULL, keys, 1, &list, &error), -EPROTO);
	assert_int_equal(error.reaction, REACT_RECONNECT);
}

static void test_take(void **state)
{
	static const char wire[] = "*6\r\n:0\r\n:-1\r\n$4\r\n1234\r\n*1\r\n$3\r\n1-1\r\n*2\r\n$3\r\n2-2\r\n$3\r\n9-9\r\n"
				   "*5\r\n$3\r\n3-3\r\n:4\r\n:2\r\n$2\r\n{}\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n";
	struct take_answer a;
	struct redis_error error;
	redisReply *reply = parse(wire);

	(void)state;
	assert_int_equal(queue_parse_take(NULL, reply, 7, &a, &error), 0);
	freeReplyObject(reply);
	assert_false(a.paused);
	assert_int_equal(a.next_due_in_ms, -1);
	assert_int_equal(a.redis_now_ms, 1234);
	assert_int_equal(a.vanished_count, 1);
	assert_string_equal(a.vanished[0], "1-1");
	assert_int_equal(a.gone_count, 1);
	assert_string_equal(a.gone_dead[0], "9-9");
	assert_int_equal(a.list.count, 1);
	const struct entry *e = &a.list.entries[0];
	assert_int_equal(e->queue, 7);
	assert_int_equal(e->delivery, 4);
	assert_int_equal(e->given, 2);
	assert_string_equal(e->note, "{}");
	assert_int_equal(entry_attempt(e), 2);
	take_answer_done(&a);

	reply = parse("*6\r\n:1\r\n:5\r\n$1\r\n1\r\n*0\r\n*0\r\n*1\r\n:3\r\n");
	assert_int_equal(queue_parse_take(NULL, reply, 0, &a, &error), -EPROTO);
	freeReplyObject(reply);
	reply = parse("*5\r\n:1\r\n:5\r\n$1\r\n1\r\n:0\r\n:0\r\n");
	assert_int_equal(queue_parse_take(NULL, reply, 0, &a, &error), -EPROTO);
	freeReplyObject(reply);
}

static void test_settle(void **state)
{
	struct settle_answer a;
	struct redis_error error;
	redisReply *reply = parse("*7\r\n:1\r\n$3\r\nyou\r\n:5\r\n$1\r\n7\r\n$3\r\n1-1\r\n:2\r\n$1\r\n9\r\n");

	(void)state;
	assert_int_equal(queue_parse_settle(reply, SETTLE_PARK, &a, &error), 0);
	freeReplyObject(reply);
	assert_int_equal(a.result, SETTLED_STALE);
	assert_string_equal(a.owner, "you");
	assert_int_equal(a.delivery, 5);
	assert_int_equal(a.due_ms, 7);
	assert_string_equal(a.dead_id, "1-1");
	assert_int_equal(a.dropped, 2);
	assert_int_equal(a.redis_now_ms, 9);

	reply = parse(":0\r\n");
	assert_int_equal(queue_parse_settle(reply, SETTLE_XACK, &a, &error), 0);
	assert_int_equal(a.result, SETTLED_GONE);
	assert_int_equal(queue_parse_settle(reply, SETTLE_ACK, &a, &error), -EPROTO);
	assert_int_equal(error.reaction, REACT_UNKNOWN);
	freeReplyObject(reply);
	reply = parse("*7\r\n:4\r\n$0\r\n\r\n:5\r\n$1\r\n7\r\n$0\r\n\r\n:2\r\n$1\r\n9\r\n");
	assert_int_equal(queue_parse_settle(reply, SETTLE_ACK, &a, &error), -EPROTO);
	freeReplyObject(reply);
}

static void test_small_answers(void **state)
{
	struct redis_error error;
	struct held_list held;
	enum renew_result renewed = RENEWED;
	bool gone = false;
	int64_t n = 0;
	redisReply *reply = parse("*1\r\n*4\r\n$3\r\n5-1\r\n$2\r\nme\r\n:100\r\n:3\r\n");

	(void)state;
	assert_int_equal(queue_parse_mine(reply, &held, &error), 0);
	assert_int_equal(held.count, 1);
	assert_string_equal(held.ids[0].id, "5-1");
	assert_int_equal(held.ids[0].delivery, 3);
	held_list_done(&held);
	freeReplyObject(reply);
	reply = parse("*1\r\n*1\r\n$3\r\n5-1\r\n");
	assert_int_equal(queue_parse_mine(reply, &held, &error), -EPROTO);
	freeReplyObject(reply);

	reply = parse("*3\r\n:2\r\n:1\r\n$1\r\n1\r\n");
	assert_int_equal(queue_parse_renew(reply, &renewed, &gone, &error), 0);
	assert_int_equal(renewed, RENEW_GONE);
	assert_true(gone);
	assert_int_equal(queue_parse_count(reply, &n, &error), -EPROTO);
	freeReplyObject(reply);
	reply = parse("+OK\r\n");
	assert_int_equal(queue_parse_renew(reply, &renewed, &gone, &error), -EPROTO);
	assert_int_equal(queue_parse_status(reply, &n, &error), 0);
	freeReplyObject(reply);
}

static void test_unpack(void **state)
{
	static const char good[] = "\x94\xa1"
				   "a\xda\x00\x02xy\xdb\x00\x00\x00\x01q\xa0";
	static const struct bytes odd[] = {
		{ "", 0 }, { "\x93\xa1" "a\xa1" "b\xa1" "c", 7 }, { "\x92\xa1" "a", 3 }, { "\x92\xa1" "a\xa5" "b", 5 }, { "\xdd\xff\xff\xff\xff", 5 },
		{ "\x92\xa1" "a\x01", 4 }, { "\x92\xa1" "a\xa1" "b!", 6 }, { "\xdc\x00", 2 }, { "\x92\xdb\xff\xff\xff\xff", 6 },
	};
	struct entry_pair *pairs = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(letter_unpack((struct bytes){ good, sizeof(good) - 1 }, &pairs, &n), 0);
	assert_int_equal(n, 2);
	assert_true(bytes_eq(pairs[0].value, bytes_of("xy")));
	assert_true(bytes_eq(pairs[1].name, bytes_of("q")));
	assert_int_equal(pairs[1].value.n, 0);
	free(pairs);
	for (size_t i = 0; i < ARRAY_LEN(odd); i++)
		assert_int_equal(letter_unpack(odd[i], &pairs, &n), -EINVAL);
}

static int read_letter(const char *wire, struct dead_letter *d)
{
	redisReply *reply = parse(wire);
	struct backing *backing = backing_own(reply);
	int r = letter_read(reply, backing, d);
	backing_drop(backing);
	return r;
}

static void test_letter(void **state)
{
	struct dead_letter d;

	(void)state;
	assert_int_equal(read_letter("*2\r\n$3\r\n9-1\r\n*12\r\n$10\r\nxackd.meta\r\n$1\r\n4\r\n$8\r\nxackd.id\r\n$3\r\n1-1\r\n$9\r\nxackd.job\r\n$1\r\nj\r\n"
				     "$10\r\nxackd.exit\r\n$1\r\n3\r\n$12\r\nxackd.stderr\r\n$3\r\nbad\r\n$9\r\nxackd.job\r\n$4\r\nmine\r\n",
				     &d),
			 0);
	assert_string_equal(d.dead_id, "9-1");
	assert_string_equal(d.id, "1-1");
	assert_string_equal(d.job, "j");
	assert_null(d.detail);
	assert_int_equal(d.code, 3);
	assert_int_equal(d.attempts, -1);
	assert_int_equal(d.signal, 0);
	assert_true(bytes_eq(d.stderr_tail, bytes_of("bad")));
	assert_int_equal(d.entry.pair_count, 1);
	assert_true(bytes_eq(d.entry.pairs[0].value, bytes_of("mine"))); /* the producer's own field of that name */
	dead_letter_done(&d);

	/* Strangers' entries: no meta, a count that lies, an id that is none. */
	assert_int_equal(read_letter("*2\r\n$3\r\n9-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n", &d), 0);
	assert_int_equal(d.entry.pair_count, 1);
	dead_letter_done(&d);
	assert_int_equal(read_letter("*2\r\n$3\r\n9-1\r\n*2\r\n$10\r\nxackd.meta\r\n$2\r\n99\r\n", &d), 0);
	assert_int_equal(d.entry.pair_count, 1);
	dead_letter_done(&d);
	assert_int_equal(read_letter("*2\r\n$3\r\n9-1\r\n*4\r\n$10\r\nxackd.meta\r\n$1\r\n1\r\n$8\r\nxackd.id\r\n$3\r\nbad\r\n", &d), 0);
	assert_string_equal(d.id, "");
	assert_true(d.entry.payload_gone);
	dead_letter_done(&d);
	assert_int_equal(read_letter("*2\r\n$3\r\nbad\r\n*0\r\n", &d), -EPROTO);
	assert_int_equal(read_letter("*1\r\n$3\r\n9-1\r\n", &d), -EPROTO);
}

static int setup(void **state)
{
	(void)state;
	return queue_keys_init(&the_keys, "s", "g");
}

static int teardown(void **state)
{
	(void)state;
	queue_keys_done(&the_keys);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_read_odd),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_settle),
		cmocka_unit_test(test_small_answers),
		cmocka_unit_test(test_unpack),
		cmocka_unit_test(test_letter),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
