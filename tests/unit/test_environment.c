/* A handler's environment: what is in it, what can never get in, and how what is left out is told. */
#include "unit.h"

#include <pwd.h>

#include "domain/environment.h"

#define TEXT(literal) ((char *)(uintptr_t)(literal))

struct built {
	struct environment_base base;
	struct environment env;
};

static void built_done(struct built *b)
{
	environment_base_done(&b->base);
	environment_done(&b->env);
}
#define AUTO_BUILT __attribute__((cleanup(built_done))) struct built

static char *const no_environ[] = { NULL };

static struct job plain_job(void)
{
	return (struct job){
		.name = TEXT("thumb"), .stream = TEXT("thumbs"), .group = TEXT("xackd"), .retry = { .max_attempts = 5 }, .timeout_ms = 300000,
	};
}

static void build(struct built *b, const struct job *job, const struct entry *e, char *const *inherit)
{
	struct run_facts facts = { .job = job, .entry = e, .attempt = 2, .enqueued_ms = 1700000000000 };
	environment_base_done(&b->base);
	assert_int_equal(environment_base_init(&b->base, job, inherit), 0);
	assert_int_equal(environment_build(&b->env, &b->base, &facts), 0);
}

/* The value, NULL if it is not set; fails if it is there twice. */
static const char *value_of(const struct built *b, const char *name)
{
	const char *found = NULL;
	size_t n = strlen(name);
	for (char **at = environment_vector(&b->env); *at; at++) {
		if (strncmp(*at, name, n) != 0 || (*at)[n] != '=')
			continue;
		assert_null(found);
		found = *at + n + 1;
	}
	return found;
}

static void assert_value(const struct built *b, const char *name, const char *wanted)
{
	const char *got = value_of(b, name);
	if (!wanted) {
		assert_null(got);
		return;
	}
	if (!got)
		print_error("%s is not set\n", name);
	assert_non_null(got);
	assert_string_equal(got, wanted);
}

static void test_own_values(void **state)
{
	(void)state;
	AUTO_BUILT b = { 0 };
	struct job job = plain_job();
	struct entry e = { .id = "1700000000000-7", .delivery = 4 };
	build(&b, &job, &e, no_environ);
	static const char *const rows[][2] = {
		{ "XACKD_JOB", "thumb" },       { "XACKD_STREAM", "thumbs" },    { "XACKD_GROUP", "xackd" },  { "XACKD_ID", "1700000000000-7" },
		{ "XACKD_ATTEMPT", "2" },       { "XACKD_DELIVERY", "4" },       { "XACKD_MAX_ATTEMPTS", "5" }, { "XACKD_ENQUEUED_MS", "1700000000000" },
		{ "XACKD_TIMEOUT", "300" },     { "XACKD_NOTIFY_FD", "3" },      { "XACKD_OMITTED", NULL },   { "TRACEPARENT", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_value(&b, rows[i][0], rows[i][1]);

	struct run_facts facts = { .job = &job, .entry = &e, .attempt = 1, .enqueued_ms = -1 };
	assert_int_equal(environment_build(&b.env, &b.base, &facts), 0);
	assert_value(&b, "XACKD_ENQUEUED_MS", NULL);
	assert_value(&b, "XACKD_ATTEMPT", "1");
}

static void test_timeout(void **state)
{
	(void)state;
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = { { 0, "0" }, { 500, "0.5" }, { 1, "0.001" }, { 1000, "1" }, { 1250, "1.25" }, { 10000, "10" }, { 3600000, "3600" } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUILT b = { 0 };
		struct job job = plain_job();
		struct entry e = { .id = "1-1" };
		job.timeout_ms = rows[i].ms;
		build(&b, &job, &e, no_environ);
		assert_value(&b, "XACKD_TIMEOUT", rows[i].text);
	}
}

static void test_base(void **state)
{
	(void)state;
	static char *const inherit[] = { TEXT("SECRET=x"), TEXT("PATHOLOGY=1"), TEXT("PATH=/opt/bin"), TEXT("LANG="), TEXT("TZ=Europe/Paris"), TEXT("LD_PRELOAD=/evil.so"), NULL };
	struct env_var env[] = { { TEXT("MODE"), TEXT("fast") }, { TEXT("LANG"), TEXT("de_DE.UTF-8") } };
	struct job job = plain_job();
	struct entry e = { .id = "1-1" };
	AUTO_BUILT with = { 0 };
	AUTO_BUILT without = { 0 };

	build(&without, &job, &e, no_environ);
	assert_string_equal(environment_path(&without.base), value_of(&without, "PATH"));
	assert_non_null(strstr(value_of(&without, "PATH"), "/usr/bin"));
	assert_value(&without, "LANG", "C.UTF-8");
	assert_value(&without, "TZ", NULL);

	job.env = env;
	job.env_count = ARRAY_LEN(env);
	build(&with, &job, &e, inherit);
	assert_value(&with, "PATH", "/opt/bin");
	assert_string_equal(environment_path(&with.base), "/opt/bin");
	assert_value(&with, "TZ", "Europe/Paris");
	assert_value(&with, "MODE", "fast");
	assert_value(&with, "LANG", "de_DE.UTF-8"); /* once, the job's */
	assert_value(&with, "SECRET", NULL);
	assert_value(&with, "LD_PRELOAD", NULL);
}

static void test_path_of_job(void **state)
{
	(void)state;
	struct env_var env[] = { { TEXT("PATH"), TEXT("/srv/bin") }, { TEXT("HOME"), TEXT("/srv") } };
	struct job job = plain_job();
	struct entry e = { .id = "1-1" };
	AUTO_BUILT b = { 0 };
	job.env = env;
	job.env_count = ARRAY_LEN(env);
	build(&b, &job, &e, no_environ);
	assert_value(&b, "PATH", "/srv/bin");
	assert_value(&b, "HOME", "/srv");
	assert_string_equal(environment_path(&b.base), "/srv/bin");
}

static void test_user(void **state)
{
	(void)state;
	struct run_user user = { .name = TEXT("media"), .home = TEXT("/home/media"), .shell = TEXT("") };
	struct job job = plain_job();
	struct entry e = { .id = "1-1" };
	AUTO_BUILT own = { 0 };
	AUTO_BUILT other = { 0 };
	const struct passwd *pw = getpwuid(geteuid());

	build(&own, &job, &e, no_environ);
	assert_value(&own, "HOME", pw ? pw->pw_dir : "/");
	assert_value(&own, "USER", pw ? pw->pw_name : NULL);
	job.user = &user;
	build(&other, &job, &e, no_environ);
	assert_value(&other, "HOME", "/home/media");
	assert_value(&other, "USER", "media");
	assert_value(&other, "LOGNAME", "media");
	assert_value(&other, "SHELL", "/bin/sh");
}

static void test_fields(void **state)
{
	(void)state;
	struct entry_pair pairs[] = {
		PAIR("path", "/a b\n$(id)"), PAIR("PATH2", "x"), PAIR("LD_PRELOAD", "/evil.so"), PAIR("a-b.c d", "dash"), PAIR("\xc3\xa9", "e"),
		PAIR("", "none"),            PAIR("n=v", "eq"),  PAIR("9", "digit"),             PAIR("bin", "\xff\xfe"), PAIR("x\0y", "nul in name"),
	};
	struct entry e = { .id = "1-1", PAIRS(pairs) };
	struct job job = plain_job();
	AUTO_BUILT b = { 0 };
	build(&b, &job, &e, no_environ);
	static const char *const rows[][2] = {
		{ "FIELD_PATH", "/a b\n$(id)" }, { "FIELD_PATH2", "x" },  { "FIELD_LD_PRELOAD", "/evil.so" }, { "LD_PRELOAD", NULL },
		{ "FIELD_A_B_C_D", "dash" },     { "FIELD___", "e" },     { "FIELD_", "none" },               { "FIELD_N_V", "eq" },
		{ "FIELD_9", "digit" },          { "FIELD_BIN", "\xff\xfe" }, { "FIELD_X_Y", "nul in name" }, { "XACKD_OMITTED", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_value(&b, rows[i][0], rows[i][1]);
}

static void test_omitted(void **state)
{
	(void)state;
	static char big[256 * 1024];
	memset(big, 'x', sizeof(big));
	const size_t fits = 128 * 1024 - strlen("FIELD_FITS=") - 1;
	struct entry_pair pairs[] = {
		PAIR("nul", "a\0b"),
		PAIR("a-b", "first"),
		PAIR("a.b", "second"),     /* FIELD_A_B too */
		PAIR("A_B", "third"),
		PAIR("a,b\n", "first of its name, so it is held"),
		PAIR("a,b,", "forged"),
		{ BYTES("fits"), { big, fits } },
		{ BYTES("long"), { big, fits + 1 } },
		PAIR("NUL", "must not pose as nul"),
		PAIR("\xff", "\0"),
	};
	struct entry e = { .id = "1-1", PAIRS(pairs) };
	struct job job = plain_job();
	AUTO_BUILT b = { 0 };
	build(&b, &job, &e, no_environ);
	assert_value(&b, "FIELD_A_B", "first");
	assert_value(&b, "FIELD_A_B_", "first of its name, so it is held");
	assert_value(&b, "FIELD_NUL", NULL);
	assert_value(&b, "FIELD_LONG", NULL);
	assert_int_equal(strlen(value_of(&b, "FIELD_FITS")), fits);
	assert_value(&b, "XACKD_OMITTED", "nul,a.b,A_B,FIELD_A_B_,long,NUL,FIELD__");
}

static void test_sum(void **state)
{
	(void)state;
	enum { COUNT = 12, SIZE = 100 * 1024 };
	static char big[SIZE];
	static char names[COUNT][8];
	struct entry_pair pairs[COUNT + 1] = { 0 };
	memset(big, 'x', sizeof(big));
	for (size_t i = 0; i < COUNT; i++) {
		snprintf(names[i], sizeof(names[i]), "f%zu", i);
		pairs[i] = (struct entry_pair){ bytes_of(names[i]), { big, SIZE } };
	}
	pairs[COUNT] = (struct entry_pair)PAIR("small", "still fits");
	struct entry e = { .id = "1-1", PAIRS(pairs) };
	struct job job = plain_job();
	AUTO_BUILT b = { 0 };
	build(&b, &job, &e, no_environ);
	assert_non_null(value_of(&b, "FIELD_F9"));
	assert_value(&b, "XACKD_OMITTED", "f10,f11");
	assert_value(&b, "FIELD_SMALL", "still fits");
}

static void test_names_that_do_not_fit(void **state)
{
	(void)state;
	enum { COUNT = 60000 };
	static char long_name[300 * 1024];
	struct entry_pair *pairs = calloc(COUNT + 1, sizeof(*pairs));
	char (*names)[8] = calloc(COUNT, sizeof(*names));
	struct job job = plain_job();
	AUTO_BUILT b = { 0 };

	memset(long_name, 'n', sizeof(long_name));
	pairs[0].name = (struct bytes){ long_name, sizeof(long_name) };
	for (size_t i = 0; i < COUNT; i++) {
		snprintf(names[i], sizeof(names[i]), "%05zu", i);
		pairs[i + 1] = (struct entry_pair){ bytes_of(names[i]), BYTES("\0") };
	}
	struct entry e = { .id = "1-1", .pairs = pairs, .pair_count = COUNT + 1 };
	build(&b, &job, &e, no_environ);
	const char *omitted = value_of(&b, "XACKD_OMITTED");
	assert_int_equal(strspn(omitted, "n"), 1024);
	assert_true(strlen(omitted) < 128 * 1024 - 100);
	const char *last = strrchr(omitted, ',');
	size_t commas = 0;
	for (const char *at = omitted; *at; at++)
		commas += *at == ',';
	assert_int_equal(last[1], '+');
	assert_int_equal(strtoul(last + 2, NULL, 10) + commas, COUNT + 1); /* named or counted: all of them */
	free(pairs);
	free(names);
}

static void test_many_small_fields_leave_room_for_exec(void **state)
{
	(void)state;
	enum { COUNT = 150000 };
	struct entry_pair *pairs = calloc(COUNT, sizeof(*pairs));
	char (*names)[8] = calloc(COUNT, sizeof(*names));
	struct job job = plain_job();
	AUTO_BUILT b = { 0 };
	size_t sum = 0;

	for (size_t i = 0; i < COUNT; i++) {
		snprintf(names[i], sizeof(names[i]), "%zx", i);
		pairs[i].name = bytes_of(names[i]);
	}
	struct entry e = { .id = "1-1", .pairs = pairs, .pair_count = COUNT };
	build(&b, &job, &e, no_environ);
	for (char **at = environment_vector(&b.env); *at; at++)
		sum += strlen(*at) + 1 + sizeof(*at);
	assert_true(sum < 1200 * 1024); /* the kernel counts the pointers too, and its usual limit is 2 MiB */
	free(pairs);
	free(names);
}

static void test_traceparent(void **state)
{
	(void)state;
#define IDS "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
	static const struct {
		struct bytes value;
		bool valid;
	} rows[] = {
		{ BYTES("00-" IDS "-01"), true },
		{ BYTES("01-" IDS "-01"), true },
		{ BYTES("01-" IDS "-01-ab"), true },
		{ BYTES("01-" IDS "-01-a\n"), false },
		{ BYTES("01-" IDS "-01ab"), false },
		{ BYTES("00-" IDS "-01-ab"), false },
		{ BYTES("ff-" IDS "-01"), false },
		{ BYTES("00-" IDS "-0"), false },
		{ BYTES("00-" IDS "-0G"), false },
		{ BYTES("00-" IDS "-01\n"), false },
		{ BYTES("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), false },
		{ BYTES("00-00000000000000000000000000000000-b7ad6b7169203331-01"), false },
		{ BYTES("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"), false },
		{ BYTES("-------------------------------------------------------"), false },
		{ BYTES(""), false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUILT b = { 0 };
		struct job job = plain_job();
		struct entry_pair pairs[] = { { BYTES("traceparent"), rows[i].value } };
		struct entry e = { .id = "1-1", PAIRS(pairs) };
		build(&b, &job, &e, no_environ);
		assert_int_equal(value_of(&b, "TRACEPARENT") != NULL, rows[i].valid);
	}
}

static void test_rebuild(void **state)
{
	(void)state;
	struct entry_pair pairs[] = { PAIR("a", "1"), PAIR("b", "\0") };
	struct entry with = { .id = "1-1", PAIRS(pairs) };
	struct entry gone = { .id = "1-2", .payload_gone = true };
	struct job job = plain_job();
	AUTO_BUILT b = { 0 };
	build(&b, &job, &with, no_environ);
	assert_value(&b, "XACKD_OMITTED", "b");
	build(&b, &job, &gone, no_environ);
	assert_value(&b, "FIELD_A", NULL);
	assert_value(&b, "XACKD_OMITTED", NULL);
	assert_value(&b, "XACKD_ID", "1-2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_values),   cmocka_unit_test(test_timeout), cmocka_unit_test(test_base),
		cmocka_unit_test(test_path_of_job),  cmocka_unit_test(test_user),    cmocka_unit_test(test_fields),
		cmocka_unit_test(test_omitted),      cmocka_unit_test(test_sum),     cmocka_unit_test(test_names_that_do_not_fit),
		cmocka_unit_test(test_many_small_fields_leave_room_for_exec),        cmocka_unit_test(test_traceparent),
		cmocka_unit_test(test_rebuild),
	};
	return RUN_GROUP(tests);
}
