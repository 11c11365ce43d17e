/* What an end means: a row for each line of the handler's contract. */
#include "unit.h"

#include <signal.h>

#include "domain/outcome.h"

#define SAID_NOTHING { .retry_after_ms = -1, .later_ms = -1 }
#define EXIT(number) { .kind = END_EXITED, .code = (number) }
#define KILLED(number) { .kind = END_SIGNALLED, .code = -1, .signal = (number) }
#define TIMED_OUT(exit_code, number) { .kind = END_TIMED_OUT, .code = (exit_code), .signal = (number), .timeout_ms = 300000 }

enum { MAX_ATTEMPTS = 5, INITIAL_MS = 1000 };

/* The defaults, and a code or signal of each class that only a configuration can name. */
static struct job a_job(void)
{
	struct job job = {
		.retry = { .max_attempts = MAX_ATTEMPTS, .backoff = BACKOFF_EXPONENTIAL, .initial_ms = INITIAL_MS, .max_ms = 900000, .jitter = 0.2 },
	};
	job.exits.code[0] = EXIT_CLASS_ACK;
	job.exits.code[75] = EXIT_CLASS_RETRY;
	job.exits.code[64] = job.exits.code[65] = EXIT_CLASS_DEAD;
	job.exits.code[10] = EXIT_CLASS_ACK;
	job.exits.code[11] = EXIT_CLASS_LATER;
	job.exits.code[12] = EXIT_CLASS_DEAD;
	job.exits.signal[SIGUSR1] = EXIT_CLASS_ACK;
	job.exits.signal[SIGUSR2] = EXIT_CLASS_LATER;
	job.exits.signal[SIGILL] = EXIT_CLASS_DEAD;
	job.exits.signal[64] = EXIT_CLASS_DEAD;
	return job;
}

#define NO_RESULT { 0 }

struct row {
	const char *what;
	struct run_end end;
	struct said said;
	int64_t attempt; /* 0 = 1 */
	enum verdict verdict;
	enum reason reason;
	const char *detail; /* NULL = any */
	int64_t delay_ms;
};

static void check(const struct job *job, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct row *row = &rows[i];
		struct outcome o;
		memset(&o, 0x55, sizeof(o));
		outcome_decide(job, &row->end, &row->said, row->attempt ? row->attempt : 1, 0.5, &o);
		bool good = o.verdict == row->verdict && o.reason == row->reason && o.delay_ms == row->delay_ms &&
			    (!row->detail || strcmp(o.detail, row->detail) == 0);
		if (!good)
			print_error("%s: verdict %d, reason \"%s\", detail \"%s\", delay %lld\n", row->what, (int)o.verdict, reason_name(o.reason),
				    o.detail, (long long)o.delay_ms);
		assert_true(good);
	}
}

static void test_exits(void **state)
{
	(void)state;
	struct job job = a_job();
	static const struct row rows[] = {
		{ "0", EXIT(0), SAID_NOTHING, 0, VERDICT_ACK, REASON_NONE, NULL, 0 },
		{ "0, last attempt", EXIT(0), SAID_NOTHING, 5, VERDICT_ACK, REASON_NONE, NULL, 0 },
		{ "3", EXIT(3), SAID_NOTHING, 1, VERDICT_RETRY, REASON_EXIT, "exit 3", 1000 },
		{ "3, again", EXIT(3), SAID_NOTHING, 3, VERDICT_RETRY, REASON_EXIT, "exit 3", 4000 },
		{ "75", EXIT(75), SAID_NOTHING, 1, VERDICT_RETRY, REASON_EXIT, "exit 75", 1000 },
		{ "255", EXIT(255), SAID_NOTHING, 1, VERDICT_RETRY, REASON_EXIT, "exit 255", 1000 },
		{ "64", EXIT(64), SAID_NOTHING, 1, VERDICT_DEAD, REASON_EXIT, "exit 64", 0 },
		{ "65", EXIT(65), SAID_NOTHING, 1, VERDICT_DEAD, REASON_EXIT, "exit 65", 0 },
		{ "a named ack", EXIT(10), SAID_NOTHING, 1, VERDICT_ACK, REASON_NONE, NULL, 0 },
		{ "a named later", EXIT(11), SAID_NOTHING, 1, VERDICT_LATER, REASON_EXIT, "exit 11", INITIAL_MS },
		{ "later never uses up", EXIT(11), SAID_NOTHING, 99, VERDICT_LATER, REASON_EXIT, "exit 11", INITIAL_MS },
		{ "a named dead", EXIT(12), SAID_NOTHING, 1, VERDICT_DEAD, REASON_EXIT, "exit 12", 0 },
	};
	check(&job, rows, ARRAY_LEN(rows));
}

static void test_signals(void **state)
{
	(void)state;
	struct job job = a_job();
	static const struct row rows[] = {
		{ "KILL", KILLED(SIGKILL), SAID_NOTHING, 1, VERDICT_RETRY, REASON_SIGNAL, "signal 9 (KILL)", 1000 },
		{ "SEGV", KILLED(SIGSEGV), SAID_NOTHING, 2, VERDICT_RETRY, REASON_SIGNAL, "signal 11 (SEGV)", 2000 },
		{ "oom", { .kind = END_SIGNALLED, .code = -1, .signal = SIGKILL, .oom = true }, SAID_NOTHING, 1, VERDICT_RETRY, REASON_OOM,
		  "signal 9 (KILL), out of memory (cgroup)", 1000 },
		{ "oom of a shell's command", { .kind = END_EXITED, .code = 137, .oom = true }, SAID_NOTHING, 1, VERDICT_RETRY, REASON_OOM,
		  "exit 137, out of memory (cgroup)", 1000 },
		{ "a named ack", KILLED(SIGUSR1), SAID_NOTHING, 1, VERDICT_ACK, REASON_NONE, NULL, 0 },
		{ "a named later", KILLED(SIGUSR2), SAID_NOTHING, 1, VERDICT_LATER, REASON_SIGNAL, "signal 12 (USR2)", INITIAL_MS },
		{ "a named dead", KILLED(SIGILL), SAID_NOTHING, 1, VERDICT_DEAD, REASON_SIGNAL, "signal 4 (ILL)", 0 },
		{ "the last signal", KILLED(64), SAID_NOTHING, 1, VERDICT_DEAD, REASON_SIGNAL, NULL, 0 },
		{ "LATER= is for exits", KILLED(SIGKILL), { .retry_after_ms = -1, .later_ms = 7 }, 1, VERDICT_RETRY, REASON_SIGNAL, NULL, 1000 },
	};
	check(&job, rows, ARRAY_LEN(rows));
}

static void test_said(void **state)
{
	(void)state;
	struct job job = a_job();
	static const struct row rows[] = {
		{ "0 wins over DEAD=", EXIT(0), { -1, -1, "bad", true, NO_RESULT }, 1, VERDICT_ACK, REASON_NONE, NULL, 0 },
		{ "0 wins over LATER=", EXIT(0), { 30, 30, "", false, NO_RESULT }, 1, VERDICT_ACK, REASON_NONE, NULL, 0 },
		{ "RETRY_AFTER=", EXIT(3), { 30000, -1, "", false, NO_RESULT }, 4, VERDICT_RETRY, REASON_EXIT, "exit 3", 30000 },
		{ "RETRY_AFTER=0", EXIT(3), { 0, -1, "", false, NO_RESULT }, 1, VERDICT_RETRY, REASON_EXIT, "exit 3", 0 },
		{ "RETRY_AFTER= and a signal", KILLED(SIGTERM), { 70, -1, "", false, NO_RESULT }, 1, VERDICT_RETRY, REASON_SIGNAL, NULL, 70 },
		{ "LATER=", EXIT(3), { -1, 30000, "", false, NO_RESULT }, 1, VERDICT_LATER, REASON_EXIT, "exit 3", 30000 },
		{ "LATER=0", EXIT(3), { -1, 0, "", false, NO_RESULT }, 1, VERDICT_LATER, REASON_EXIT, "exit 3", 20 },
		{ "LATER= with 75", EXIT(75), { -1, 30000, "", false, NO_RESULT }, 9, VERDICT_LATER, REASON_EXIT, "exit 75", 30000 },
		{ "LATER= with a later code", EXIT(11), { -1, 30000, "", false, NO_RESULT }, 1, VERDICT_LATER, REASON_EXIT, "exit 11", 30000 },
		{ "LATER= and RETRY_AFTER=", EXIT(3), { 5, 30000, "", false, NO_RESULT }, 1, VERDICT_LATER, REASON_EXIT, "exit 3", 30000 },
		{ "DEAD=", EXIT(3), { -1, -1, "no such user", true, NO_RESULT }, 1, VERDICT_DEAD, REASON_REQUESTED, "no such user", 0 },
		{ "DEAD= without words", EXIT(3), { -1, -1, "", true, NO_RESULT }, 1, VERDICT_DEAD, REASON_REQUESTED, "exit 3", 0 },
		{ "DEAD= wins over both", EXIT(3), { 5, 5, "no", true, NO_RESULT }, 1, VERDICT_DEAD, REASON_REQUESTED, "no", 0 },
		{ "DEAD= wins over a later code", EXIT(11), { -1, -1, "no", true, NO_RESULT }, 1, VERDICT_DEAD, REASON_REQUESTED, "no", 0 },
		{ "DEAD= and a signal", KILLED(SIGKILL), { -1, -1, "no", true, NO_RESULT }, 1, VERDICT_DEAD, REASON_REQUESTED, "no", 0 },
		{ "a dead code wins over LATER=", EXIT(65), { 5, 5, "", false, NO_RESULT }, 1, VERDICT_DEAD, REASON_EXIT, "exit 65", 0 },
	};
	check(&job, rows, ARRAY_LEN(rows));
}

static void test_timeouts(void **state)
{
	(void)state;
	struct job job = a_job();
	static const struct row rows[] = {
		{ "killed", TIMED_OUT(-1, SIGKILL), SAID_NOTHING, 1, VERDICT_RETRY, REASON_TIMEOUT, "timeout after 5m", 1000 },
		{ "TERM answered with 0", TIMED_OUT(0, 0), SAID_NOTHING, 1, VERDICT_ACK, REASON_NONE, NULL, 0 },
		{ "TERM answered with 1", TIMED_OUT(1, 0), SAID_NOTHING, 1, VERDICT_RETRY, REASON_TIMEOUT, "timeout after 5m", 1000 },
		{ "killed, though code reads 0", TIMED_OUT(0, SIGKILL), SAID_NOTHING, 1, VERDICT_RETRY, REASON_TIMEOUT, NULL, 1000 },
		{ "used up", TIMED_OUT(-1, SIGKILL), SAID_NOTHING, 5, VERDICT_DEAD, REASON_TIMEOUT, "timeout after 5m", 0 },
		{ "DEAD= before it", TIMED_OUT(-1, SIGKILL), { -1, -1, "no", true, NO_RESULT }, 1, VERDICT_DEAD, REASON_REQUESTED, "no", 0 },
		{ "RETRY_AFTER= before it", TIMED_OUT(-1, SIGKILL), { 42, -1, "", false, NO_RESULT }, 1, VERDICT_RETRY, REASON_TIMEOUT, NULL, 42 },
	};
	check(&job, rows, ARRAY_LEN(rows));
}

static void test_never_ran_or_was_ended(void **state)
{
	(void)state;
	struct job job = a_job();
	static const struct row rows[] = {
		{ "cannot exec", { .kind = END_CANNOT_EXEC, .text = "/x: not found" }, SAID_NOTHING, 9, VERDICT_SUSPEND, REASON_SPAWN, "/x: not found", 0 },
		{ "no resources", { .kind = END_NO_RESOURCES, .text = "fork: no memory" }, SAID_NOTHING, 9, VERDICT_RELEASE, REASON_SPAWN, "fork: no memory", 1000 },
		{ "missing field", { .kind = END_MISSING_FIELD, .text = "no \"a\"" }, SAID_NOTHING, 1, VERDICT_DEAD, REASON_MISSING_FIELD, "no \"a\"", 0 },
		{ "malformed", { .kind = END_MALFORMED, .text = "a NUL" }, SAID_NOTHING, 1, VERDICT_DEAD, REASON_MALFORMED, "a NUL", 0 },
		{ "stopped", { .kind = END_STOPPED, .code = -1, .signal = SIGTERM }, SAID_NOTHING, 9, VERDICT_RELEASE, REASON_NONE, NULL, 0 },
		{ "lease lost", { .kind = END_LEASE_LOST, .code = -1, .signal = SIGTERM }, SAID_NOTHING, 1, VERDICT_NONE, REASON_NONE, NULL, 0 },
		{ "cancelled", { .kind = END_CANCELLED, .code = -1, .signal = SIGTERM }, SAID_NOTHING, 1, VERDICT_DEAD, REASON_CANCELLED, NULL, 0 },
		{ "cancelled, to be retried", { .kind = END_CANCELLED_RETRY, .code = -1, .signal = SIGTERM }, SAID_NOTHING, 2, VERDICT_RETRY, REASON_CANCELLED, NULL, 2000 },
		{ "the same, used up", { .kind = END_CANCELLED_RETRY, .code = -1, .signal = SIGTERM }, SAID_NOTHING, 5, VERDICT_DEAD, REASON_CANCELLED, NULL, 0 },
	};
	check(&job, rows, ARRAY_LEN(rows));
}

static void test_attempts(void **state)
{
	(void)state;
	static const struct {
		int64_t max_attempts, attempt;
		enum verdict verdict;
	} rows[] = {
		{ 5, 4, VERDICT_RETRY }, { 5, 5, VERDICT_DEAD }, { 5, 6, VERDICT_DEAD }, { 1, 1, VERDICT_DEAD }, { 0, 1, VERDICT_RETRY }, { 0, 1000000, VERDICT_RETRY },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct job job = a_job();
		struct run_end end = EXIT(3);
		struct outcome o;
		job.retry.max_attempts = rows[i].max_attempts;
		outcome_decide(&job, &end, /* said= */ NULL, rows[i].attempt, 0.5, &o);
		assert_int_equal(o.verdict, rows[i].verdict);
		assert_int_equal(o.reason, REASON_EXIT); /* the reason of the last attempt is kept */
		assert_string_equal(o.detail, "exit 3");
		assert_int_equal(o.code, 3);
	}
}

static void test_jitter(void **state)
{
	(void)state;
	struct job job = a_job();
	struct run_end end = EXIT(3);
	struct said said = { .retry_after_ms = 1000, .later_ms = -1 };
	struct outcome o;
	outcome_decide(&job, &end, /* said= */ NULL, 1, 0, &o);
	assert_int_equal(o.delay_ms, 800);
	outcome_decide(&job, &end, &said, 1, 0, &o); /* what was asked for is not spread */
	assert_int_equal(o.delay_ms, 1000);
}

static void test_numbers(void **state)
{
	(void)state;
	static const struct {
		struct run_end end;
		int code, signal;
	} rows[] = {
		{ EXIT(3), 3, 0 },
		{ KILLED(9), -1, 9 },
		{ { .kind = END_SIGNALLED, .code = 0, .signal = 9 }, -1, 9 },
		{ TIMED_OUT(1, 0), 1, 0 },
		{ TIMED_OUT(-1, 15), -1, 15 },
		{ { .kind = END_MISSING_FIELD }, -1, 0 }, /* nothing ran: no exit code 0 in the dead letter */
		{ { .kind = END_MALFORMED }, -1, 0 },
		{ { .kind = END_CANNOT_EXEC }, -1, 0 },
		{ { .kind = END_NO_RESOURCES }, -1, 0 },
	};
	struct job job = a_job();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct outcome o;
		outcome_decide(&job, &rows[i].end, /* said= */ NULL, 1, 0.5, &o);
		assert_int_equal(o.code, rows[i].code);
		assert_int_equal(o.signal, rows[i].signal);
	}
}

static void test_missing_tool(void **state)
{
	(void)state;
	static const struct said later = { .retry_after_ms = -1, .later_ms = 5 };
	static const struct {
		struct run_end end;
		const struct said *said;
		unsigned char class; /* of 126 and 127 */
		int64_t attempt;
		bool missing;
	} rows[] = {
		{ EXIT(127), NULL, EXIT_CLASS_NONE, 1, true },   { EXIT(126), NULL, EXIT_CLASS_NONE, 1, true },
		{ EXIT(127), NULL, EXIT_CLASS_NONE, 5, true },   { EXIT(125), NULL, EXIT_CLASS_NONE, 1, false },
		{ EXIT(127), NULL, EXIT_CLASS_RETRY, 1, false }, { EXIT(127), NULL, EXIT_CLASS_DEAD, 1, false },
		{ EXIT(127), &later, EXIT_CLASS_NONE, 1, false }, { TIMED_OUT(127, 0), NULL, EXIT_CLASS_NONE, 1, false },
		{ { .kind = END_SIGNALLED, .code = 127, .signal = 9 }, NULL, EXIT_CLASS_NONE, 1, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct job job = a_job();
		struct outcome o;
		job.exits.code[126] = job.exits.code[127] = rows[i].class;
		outcome_decide(&job, &rows[i].end, rows[i].said, rows[i].attempt, 0.5, &o);
		assert_int_equal(o.missing_tool, rows[i].missing);
	}
}

static void test_long_words(void **state)
{
	(void)state;
	struct job job = a_job();
	struct run_end end = { .kind = END_MALFORMED };
	struct said said = SAID_NOTHING;
	struct run_end failed = EXIT(1);
	struct outcome o;
	memset(end.text, 'x', sizeof(end.text) - 1);
	memset(said.dead, 'y', sizeof(said.dead) - 1);
	said.dead_said = true;
	outcome_decide(&job, &end, /* said= */ NULL, 1, 0.5, &o);
	assert_int_equal(strlen(o.detail), sizeof(end.text) - 1);
	outcome_decide(&job, &failed, &said, 1, 0.5, &o);
	assert_int_equal(strlen(o.detail), sizeof(said.dead) - 1);
}

static void test_strange_numbers(void **state)
{
	(void)state;
	static const struct run_end rows[] = { EXIT(-1), EXIT(256), EXIT(100000), KILLED(65), KILLED(1000000) };
	struct job job = a_job();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct outcome o;
		outcome_decide(&job, &rows[i], /* said= */ NULL, 1, 0.5, &o);
		assert_int_equal(o.verdict, VERDICT_RETRY);
	}
}

static void test_reason_names(void **state)
{
	(void)state;
	static const char *const names[] = {
		"", "exit", "signal", "timeout", "oom", "spawn", "missing_field", "no_job", "payload_gone", "worker_lost", "malformed", "requested", "cancelled", "reply",
	};
	assert_int_equal(ARRAY_LEN(names), REASON_COUNT);
	for (size_t i = 0; i < REASON_COUNT; i++)
		assert_string_equal(reason_name((enum reason)i), names[i]);
	assert_string_equal(reason_name(REASON_COUNT), "");
}

static void test_signal_names(void **state)
{
	(void)state;
	static const struct {
		int number;
		const char *name;
	} rows[] = { { SIGKILL, "KILL" }, { SIGTERM, "TERM" }, { SIGSEGV, "SEGV" }, { SIGUSR1, "USR1" }, { 0, "0" }, { -1, "-1" }, { 65, "65" }, { 32, "32" } };
	char text[16];
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(signal_name(rows[i].number, text), rows[i].name);
	assert_string_equal(signal_name(SIGRTMIN + 3, text), "RTMIN+3");
	for (int i = 1; i <= SIGRTMAX; i++) {
		if (i < 32 || i >= SIGRTMIN)
			assert_int_equal(signal_number(signal_name(i, text)), i);
	}
	assert_int_equal(signal_number("SIGKILL"), SIGKILL);
	static const char *const wrong[] = { "", "SIG", "kill", "KILLED", "9", "SIGSIGKILL", "RTMIN+99", "RTMIN+", "RTMIN+-1", "RTMIN+x" };
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(signal_number(wrong[i]), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exits),        cmocka_unit_test(test_signals),         cmocka_unit_test(test_said),
		cmocka_unit_test(test_timeouts),     cmocka_unit_test(test_never_ran_or_was_ended), cmocka_unit_test(test_attempts),
		cmocka_unit_test(test_jitter),       cmocka_unit_test(test_numbers),         cmocka_unit_test(test_missing_tool),
		cmocka_unit_test(test_long_words),   cmocka_unit_test(test_strange_numbers), cmocka_unit_test(test_reason_names),
		cmocka_unit_test(test_signal_names),
	};
	return RUN_GROUP(tests);
}
