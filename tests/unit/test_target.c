/* Where Redis is: URLs that are understood, URLs that are refused, and that no password is ever shown. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "redis/target.h"

static const struct {
	const char *url;
	enum target_kind kind;
	const char *where; /* host or path */
	int port;
	int db;
	const char *user;
	const char *text;
} good[] = {
	{ "redis://127.0.0.1", TARGET_TCP, "127.0.0.1", 6379, 0, NULL, "redis://127.0.0.1:6379/0" },
	{ "redis://127.0.0.1/", TARGET_TCP, "127.0.0.1", 6379, 0, NULL, "redis://127.0.0.1:6379/0" },
	{ "redis://", TARGET_TCP, "127.0.0.1", 6379, 0, NULL, "redis://127.0.0.1:6379/0" },
	{ "redis://:7000", TARGET_TCP, "127.0.0.1", 7000, 0, NULL, "redis://127.0.0.1:7000/0" },
	{ "redis://r.example:6380/3", TARGET_TCP, "r.example", 6380, 3, NULL, "redis://r.example:6380/3" },
	{ "redis://ann@r/1", TARGET_TCP, "r", 6379, 1, "ann", "redis://ann@r:6379/1" },
	{ "redis://[::1]:6379/2", TARGET_TCP, "::1", 6379, 2, NULL, "redis://[::1]:6379/2" },
	{ "redis://[fe80::1]", TARGET_TCP, "fe80::1", 6379, 0, NULL, "redis://[fe80::1]:6379/0" },
	{ "unix:///run/redis.sock", TARGET_UNIX, "/run/redis.sock", 0, 0, NULL, "unix:///run/redis.sock" },
	{ "unix:///run/redis.sock?db=5", TARGET_UNIX, "/run/redis.sock", 0, 5, NULL, "unix:///run/redis.sock?db=5" },
};

static const char *const bad[] = {
	"",
	"127.0.0.1:6379",
	"http://x",
	"rediss://x",
	"redis+sentinel://a:1/m",
	"embedded",
	"redis://ann:secret@r",
	"redis://:secret@r",
	"redis://@r",
	"redis://a@b@r",
	"redis://r:0",
	"redis://r:65536",
	"redis://r:12x",
	"redis://r:",
	"redis://r:1:2",
	"redis://r/x",
	"redis://r/-1",
	"redis://r/1/2",
	"redis://r/99999999",
	"redis://r?db=1",
	"redis://[::1",
	"redis://[]",
	"redis://[::1]x",
	"redis://::1",
	"unix://",
	"unix://relative",
	"unix:///s?db=x",
	"unix:///s?",
	"unix:///s?db=1&x=2",
	"unix:////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////s",
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct redis_target t = { 0 };
		struct fault fault = { 0 };
		assert_int_equal(redis_target_parse(good[i].url, &t, &fault), 0);
		assert_int_equal(t.kind, good[i].kind);
		assert_string_equal(t.kind == TARGET_TCP ? t.host : t.path, good[i].where);
		assert_int_equal(t.port, good[i].port);
		assert_int_equal(t.db, good[i].db);
		if (good[i].user)
			assert_string_equal(t.username, good[i].user);
		else
			assert_null(t.username);
		AUTO_FREE char *text = redis_target_text(&t);
		assert_string_equal(text, good[i].text);
		redis_target_done(&t);
	}
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct redis_target t = { .port = 42 };
		struct fault fault = { 0 };
		assert_int_equal(redis_target_parse(bad[i], &t, &fault), -EINVAL);
		assert_true(strlen(fault.text) > 10);
		assert_null(strstr(fault.text, "secret"));
		assert_int_equal(t.port, 42); /* untouched */
	}
}

static void test_resolve(void **state)
{
	struct redis_target t = { 0 };
	struct fault fault = { 0 };
	struct redis_target_settings s = { .url = "embedded", .state_dir = "/var/lib/x", .connect_timeout_ms = 5, .command_timeout_ms = 6 };

	(void)state;
	assert_int_equal(redis_target_resolve(&s, &t, &fault), 0);
	assert_true(t.embedded);
	assert_int_equal(t.kind, TARGET_UNIX);
	assert_string_equal(t.path, "/var/lib/x/redis.sock");
	assert_int_equal(t.connect_timeout_ms, 5);
	assert_int_equal(t.command_timeout_ms, 6);
	redis_target_done(&t);

	s = (struct redis_target_settings){ .username = "ann", .password_env = "PW" };
	assert_int_equal(redis_target_resolve(&s, &t, &fault), 0);
	assert_string_equal(t.host, "127.0.0.1");
	assert_string_equal(t.username, "ann");
	assert_string_equal(t.password_env, "PW");
	assert_null(t.password_file);
	redis_target_done(&t);

	s = (struct redis_target_settings){ .url = "redis://bob@r", .username = "ann" };
	assert_int_equal(redis_target_resolve(&s, &t, &fault), -EINVAL);
	s = (struct redis_target_settings){ .password_file = "/a", .password_env = "B" };
	assert_int_equal(redis_target_resolve(&s, &t, &fault), -EINVAL);
	s = (struct redis_target_settings){ .url = "embedded",
					    .state_dir = "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	assert_int_equal(redis_target_resolve(&s, &t, &fault), -EINVAL);
}

static void test_names(void **state)
{
	(void)state;
	assert_true(queue_name_valid("jobs"));
	assert_true(queue_name_valid("a{b}c"));
	assert_true(queue_name_valid("{b}"));
	assert_false(queue_name_valid("a{}c"));
	assert_false(queue_name_valid("a{b"));
	assert_false(queue_name_valid("a}b"));
	assert_false(queue_name_valid("}a{"));
	assert_false(queue_name_valid("{a}{b}"));
	assert_false(queue_name_valid("{{a}}"));
	assert_false(queue_name_valid("{a}}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
