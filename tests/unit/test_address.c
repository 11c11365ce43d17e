/* Addresses to listen on: what is one, what is not, and that a socket really is there. */
#include "unit.h"

#include "base/address.h"

static void test_right_ones(void **state)
{
	static const struct {
		const char *text;
		unsigned port;
		bool loopback;
	} rows[] = {
		{ "127.0.0.1:9127", 9127, true },    { "127.9.9.9:1", 1, true },
		{ "0.0.0.0:65535", 65535, false },   { "192.0.2.7:80", 80, false },
		{ "[::1]:9127", 9127, true },        { "[::]:0", 0, false },
		{ "[2001:db8::7]:443", 443, false },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct address a;
		assert_int_equal(address_parse(rows[i].text, &a, NULL), 0);
		assert_int_equal(address_port(&a), rows[i].port);
		assert_int_equal(address_is_loopback(&a), rows[i].loopback);
	}
}

static void test_wrong_ones(void **state)
{
	static const char *const rows[] = {
		"",
		"9127",
		":9127",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:65536",
		"127.0.0.1:-1",
		"127.0.0.1:x",
		"localhost:9127",
		"::1:9127",
		"[::1]",
		"[::1:9127",
		"[::1]9127",
		"[]:9127",
		"[127.0.0.1]:9127",
		"127.1:9127",
		"127.0.0.1 :9127",
		"127.0.0.1: 9127",
		"[::1]]:9127",
		"[11111111111111111111111111111111111111111111111111111111111111111111]:1",
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fault fault = { 0 };
		struct address a = { .size = 77 };
		if (address_parse(rows[i], &a, &fault) != -EINVAL)
			print_error("\"%s\" is taken\n", rows[i]);
		assert_int_equal(fault.error, -EINVAL);
		assert_non_null(strstr(fault.text, "such as 127.0.0.1:9127"));
		assert_int_equal(a.size, 77); /* untouched on failure */
	}
}

static void test_listens(void **state)
{
	struct address a, bound = { .size = sizeof(bound.storage) };
	struct fault fault = { 0 };
	char text[32];
	int first = -1, second = -1;
	(void)state;

	assert_int_equal(address_parse("127.0.0.1:0", &a, &fault), 0);
	assert_int_equal(address_listen(&a, "127.0.0.1:0", &first, &fault), 0);
	assert_int_equal(getsockname(first, (struct sockaddr *)&bound.storage, &bound.size), 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", address_port(&bound));
	assert_int_equal(address_listen(&bound, text, &second, &fault), -EADDRINUSE);
	assert_non_null(strstr(fault.text, text));
	assert_int_equal(second, -1);
	close(first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_right_ones),
		cmocka_unit_test(test_wrong_ones),
		cmocka_unit_test(test_listens),
	};
	return RUN_GROUP(tests);
}
