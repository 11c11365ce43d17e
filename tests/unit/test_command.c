/* Commands as bytes on the wire, scripts by hash and by text, and the settling calls as they leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "redis/queue.h"
#include "redis/scripts.h"
#include "redis/scripts_gen.h"

static void assert_wire(const struct command *c, const char *hash, struct bytes expected)
{
	AUTO_BUF out = { 0 };

	command_encode(c, hash, &out);
	assert_false(out.failed);
	assert_int_equal(out.n, expected.n);
	assert_memory_equal(out.p, expected.p, expected.n);
}

static void test_plain(void **state)
{
	static const char wire[] = "*5\r\n$3\r\nSET\r\n$3\r\na\0b\r\n$0\r\n\r\n$20\r\n-9223372036854775808\r\n$20\r\n18446744073709551615\r\n";
	AUTO_COMMAND c = { 0 };

	(void)state;
	command_begin(&c, "OTHER");
	command_text(&c, "is forgotten");
	command_begin(&c, "SET");
	command_bytes(&c, (struct bytes){ "a\0b", 3 });
	command_bytes(&c, (struct bytes){ NULL, 0 });
	command_i64(&c, INT64_MIN);
	command_u64(&c, UINT64_MAX);
	assert_wire(&c, NULL, (struct bytes){ wire, sizeof(wire) - 1 });
}

static void test_sha1(void **state)
{
	static const struct {
		const char *text;
		const char *hash;
	} rows[] = {
		{ "", "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
		{ "abc", "a9993e364706816aba3e25717850c26c9cd0d89d" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1" },
		{ "return 1", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db" },
	};
	char hash[SCRIPT_HASH_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		sha1_hex(bytes_of(rows[i].text), hash);
		assert_string_equal(hash, rows[i].hash);
	}
	char million[1000];
	memset(million, 'a', sizeof(million));
	sha1_hex((struct bytes){ million, sizeof(million) }, hash);
	assert_string_equal(hash, "291e9a6c66994949b57ba5e650361e98fc36b1ba");
}

static void test_script(void **state)
{
	AUTO_COMMAND c = { 0 };
	AUTO_BUF by_hash = { 0 }, by_text = { 0 };

	(void)state;
	command_script(&c, "ack", 1);
	command_text(&c, "key");
	command_text(&c, "arg");
	assert_true(c.script >= 0);
	command_encode(&c, "0123", &by_hash);
	assert_string_equal(by_hash.p, "*5\r\n$7\r\nEVALSHA\r\n$4\r\n0123\r\n$1\r\n1\r\n$3\r\nkey\r\n$3\r\narg\r\n");
	command_encode(&c, NULL, &by_text);
	assert_memory_equal(by_text.p, "*5\r\n$4\r\nEVAL\r\n$", 15);
	assert_non_null(strstr(by_text.p, script_sources[c.script].text));
	assert_non_null(strstr(by_text.p, "\r\n$1\r\n1\r\n$3\r\nkey\r\n$3\r\narg\r\n"));
	command_begin(&c, "PING"); /* a command again, no script */
	assert_int_equal(c.script, -1);
}

/* Each script that the program calls is there: a builder that names a wrong one would send the empty command. */
static void test_names(void **state)
{
	static const char *const names[] = { "fetch", "take", "ack", "park", "bury", "release", "renew", "group", "put_back",
					     "host_take", "host_renew", "host_leave", "reap", "sweep", "delete_consumer", "gauges",
					     "rebuild_due", "due_suspended", "janitor", "explain", "requeue", "purge", "parked", "retry",
					     "pause", "dead_find", "dead_put", "cancel_waiting", "newest", "trim",
					     "replay_begin", "replay_look", "replay_step", "keep", "cron_see", "cron_fire",
					     "enqueue", "promote", "rebuild_later", "later", "cancel_later",
					     "admit", "leave", "limits" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_true(script_find(names[i]) >= 0);
	assert_int_equal(script_find("nothing"), -1);
	assert_int_equal(script_count(), ARRAY_LEN(names));
}

/* The n-th argument as text. */
static struct bytes argument(const struct command *c, size_t n)
{
	const char *at = c->text.p;
	size_t length = 0;

	assert_true(n < c->argc);
	for (size_t i = 0; i <= n; i++) {
		at += length;
		memcpy(&length, c->lengths.p + i * sizeof(length), sizeof(length));
	}
	return (struct bytes){ at, length };
}

static void assert_argument(const struct command *c, size_t n, const char *expected)
{
	struct bytes text = argument(c, n);
	assert_int_equal(text.n, strlen(expected));
	assert_memory_equal(text.p, expected, text.n);
}

static void test_settle(void **state)
{
	AUTO_COMMAND c = { 0 };
	struct queue_keys k;
	struct entry_pair pair = { { "a", 1 }, { "\0", 1 } };
	struct entry entry = { .pairs = &pair, .pair_count = 1 };
	struct dead_meta dead = { .reason = "exit", .attempts = 3, .code = -1 };
	struct settle s = { .kind = SETTLE_XACK, .id = "1-1", .delivery = 2, .dead = &dead, .delay_ms = -5, .note = { "{}", 2 } };

	(void)state;
	assert_int_equal(queue_keys_init(&k, "s", "g"), 0);
	queue_build_settle(&c, &k, "me", &s);
	assert_int_equal(c.argc, 4);
	assert_argument(&c, 0, "XACK");
	assert_argument(&c, 3, "1-1");

	s.kind = SETTLE_ACK;
	queue_build_settle(&c, &k, "me", &s);
	assert_int_equal(c.argc, 3 + 4 + 4);
	s.result = (struct bytes){ "\0\xff", 2 };
	s.result_ttl_ms = 5000;
	queue_build_settle(&c, &k, "me", &s);
	assert_int_equal(c.argc, 3 + 5 + 6);
	assert_argument(&c, 7, "xackd:{s}:s:result:1-1");
	assert_argument(&c, 12 + 1, "5000");
	assert_int_equal(argument(&c, 12).n, 2);

	s.kind = SETTLE_RELEASE;
	queue_build_settle(&c, &k, "me", &s);
	assert_argument(&c, 11, "0"); /* never due in the past */
	assert_argument(&c, 13, "1");

	s.kind = SETTLE_BURY;
	queue_build_settle(&c, &k, "me", &s);
	assert_argument(&c, 14, "stream");
	assert_argument(&c, 15, "2"); /* reason and attempts: what is absent is left out */
	assert_int_equal(c.argc, 20);

	s.entry = &entry;
	queue_build_settle(&c, &k, "me", &s);
	assert_argument(&c, 14, "sent");
	assert_argument(&c, 20, "a");
	assert_int_equal(argument(&c, 21).n, 1);

	dead.reason = "payload_gone";
	s.entry = NULL;
	queue_build_settle(&c, &k, "me", &s);
	assert_argument(&c, 14, "none");
	queue_keys_done(&k);
}

/* Only what has a result has a key, a time and a value. */
static void test_keep(void **state)
{
	static const struct keep_row rows[] = {
		{ .id = "1-1", .result = { "a", 1 }, .ttl_ms = 60000 },
		{ .id = "1-2" },
		{ .id = "1-3", .result = { "", 0 }, .ttl_ms = 1 },
	};
	static const char *const expected[] = { "3",   "{t}s", "xackd:{t}:{t}s:result:1-1", "xackd:{t}:{t}s:result:1-3", "g", "1-1", "60000", "a",
						"1-2", "0",    "1-3",			     "1",				  "" };
	AUTO_COMMAND c = { 0 };
	struct queue_keys k;

	(void)state;
	assert_int_equal(queue_keys_init(&k, "{t}s", "g"), 0);
	queue_build_keep(&c, &k, rows, ARRAY_LEN(rows));
	assert_int_equal(c.argc, 2 + ARRAY_LEN(expected));
	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		assert_argument(&c, 2 + i, expected[i]);
	queue_keys_done(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_sha1),
		cmocka_unit_test(test_script),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_settle),
		cmocka_unit_test(test_keep),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
