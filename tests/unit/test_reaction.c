/* Every answer of Redis that is an error has its reaction: the texts are those of real servers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "redis/reaction.h"

static const struct {
	const char *text;
	enum reaction reaction;
	const char *code;
} rows[] = {
	{ "LOADING Redis is loading the dataset in memory", REACT_BACK_OFF, "LOADING" },
	{ "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", REACT_BACK_OFF, "BUSY" },
	{ "OOM command not allowed when used memory > 'maxmemory'.", REACT_BACK_OFF, "OOM" },
	{ "OOM command not allowed when used memory > 'maxmemory'. script: abc, on @user_script:1.", REACT_BACK_OFF, "OOM" },
	{ "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.", REACT_BACK_OFF, "MISCONF" },
	{ "NOREPLICAS Not enough good replicas to write.", REACT_BACK_OFF, "NOREPLICAS" },
	{ "CLUSTERDOWN Hash slot not served", REACT_BACK_OFF, "CLUSTERDOWN" },
	{ "TRYAGAIN Multiple keys request during rehashing of slot", REACT_BACK_OFF, "TRYAGAIN" },
	{ "READONLY You can't write against a read only replica.", REACT_RECONNECT, "READONLY" },
	{ "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", REACT_RECONNECT, "MASTERDOWN" },
	{ "ERR max number of clients reached", REACT_RECONNECT, "ERR max number of clients reached" },
	{ "NOSCRIPT No matching script. Please use EVAL.", REACT_RESEND, "NOSCRIPT" },
	{ "ERR Script killed by user with SCRIPT KILL... script: abc", REACT_RESEND, "ERR Script killed by user" },
	{ "UNBLOCKED the stream key no longer exists", REACT_REREAD, "UNBLOCKED" },
	{ "UNBLOCKED client unblocked via CLIENT UNBLOCK", REACT_REREAD, "UNBLOCKED" },
	{ "NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option", REACT_GROUP, "NOGROUP" },
	{ "NOGROUP the consumer group this client was blocked on no longer exists", REACT_GROUP, "NOGROUP" },
	{ "ERR no such key", REACT_GROUP, "ERR no such key" },
	{ "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE …", REACT_GROUP, "ERR The XGROUP subcommand requires the key to exist" },
	{ "NOAUTH Authentication required.", REACT_OPERATOR, "NOAUTH" },
	{ "WRONGPASS invalid username-password pair or user is disabled.", REACT_OPERATOR, "WRONGPASS" },
	{ "ERR AUTH <password> called without any password configured for the default user. Are you sure …", REACT_OPERATOR,
	  "ERR AUTH <password> called without any password configured" },
	{ "NOPERM this user has no permissions to run the 'xack' command", REACT_OPERATOR, "NOPERM" },
	{ "ERR The user executing the script can't run this command or subcommand script: abc", REACT_OPERATOR,
	  "ERR The user executing the script can't run this command or subcommand" },
	{ "DENIED Redis is running in protected mode because …", REACT_OPERATOR, "DENIED" },
	{ "WRONGTYPE Operation against a key holding the wrong kind of value", REACT_OPERATOR, "WRONGTYPE" },
	{ "CROSSSLOT Keys in request don't hash to the same slot", REACT_OPERATOR, "CROSSSLOT" },
	{ "ERR Script attempted to access a non local key in a cluster node script: abc", REACT_OPERATOR,
	  "ERR Script attempted to access a non local key in a cluster node" },
	{ "ERR unknown command 'XAUTOCLAIM', with args beginning with: ", REACT_OPERATOR, "ERR unknown command" },
	{ "ERR DB index is out of range", REACT_OPERATOR, "ERR DB index is out of range" },
	{ "MOVED 854 10.0.0.1:6379", REACT_FOLLOW, "MOVED" },
	{ "ASK 854 10.0.0.1:6379", REACT_FOLLOW, "ASK" },
	{ "ERR something that nobody foresaw", REACT_UNKNOWN, "" },
	{ "LOADINGX", REACT_UNKNOWN, "" },
	{ "BUSYKEY Target key name already exists.", REACT_UNKNOWN, "" },
	{ "BUSYGROUP Consumer Group name already exists", REACT_UNKNOWN, "" },
	{ "oom", REACT_UNKNOWN, "" },
	{ "", REACT_UNKNOWN, "" },
};

static void test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct reaction_row *row = reaction_find(bytes_of(rows[i].text));
		assert_string_equal(row->code, rows[i].code);
		assert_int_equal(row->reaction, rows[i].reaction);
	}
}

static void test_table(void **state)
{
	size_t n = 0;
	const struct reaction_row *table = reaction_table(&n);

	(void)state;
	assert_true(n > 20);
	assert_string_equal(table[n - 1].code, "");
	for (size_t i = 0; i < n; i++) {
		assert_true(table[i].reaction > REACT_NONE && table[i].reaction < REACT_COUNT);
		assert_true(strlen(table[i].advice) > 5);
		assert_ptr_equal(reaction_find(bytes_of(table[i].code)), &table[i]);
	}
}

static void test_bytes(void **state)
{
	(void)state;
	assert_int_equal(reaction_find((struct bytes){ NULL, 0 })->reaction, REACT_UNKNOWN);
	assert_int_equal(reaction_find((struct bytes){ "LOADING\0x", 9 })->reaction, REACT_BACK_OFF);
	assert_int_equal(reaction_find((struct bytes){ "LOADING and more", 4 })->reaction, REACT_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
