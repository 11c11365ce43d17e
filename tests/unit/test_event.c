/* Events as lines: both styles, with what hostile values look like in them, and levels. Lines are read back from a pipe. */
#include "unit.h"

#include <fcntl.h>

#include "base/json.h"
#include "log/event.h"

struct scene {
	struct log *log;
	int out;  /* the reader's end */
	int in;
};

static int open_scene(void **state, enum log_style style, enum event_level level)
{
	struct scene *s = calloc(1, sizeof(*s));
	int ends[2];
	if (!s || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	s->out = ends[0];
	s->in = ends[1];
	s->log = log_new(s->in, style, level, "h1", NULL);
	*state = s;
	return s->log ? 0 : -1;
}

static int json_scene(void **state)
{
	return open_scene(state, LOG_STYLE_JSON, EVENT_INFO);
}

static int text_scene(void **state)
{
	return open_scene(state, LOG_STYLE_TEXT, EVENT_DEBUG);
}

static int close_scene(void **state)
{
	struct scene *s = *state;
	log_free(s->log);
	(void)close(s->out);
	(void)close(s->in);
	free(s);
	return 0;
}

/* What was written so far, as text; the caller's until the next call. */
static const char *written(struct scene *s, char *text, size_t size)
{
	ssize_t n = read(s->out, text, size - 1);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static json_t *written_json(struct scene *s)
{
	char text[8192];
	size_t n = strlen(written(s, text, sizeof(text)));
	assert_true(n > 0 && text[n - 1] == '\n');
	assert_null(memchr(text, '\n', n - 1));
	return json_parse((struct bytes){ text, n - 1 });
}

static void assert_member(json_t *object, const char *name, const char *wanted)
{
	assert_string_equal(json_string_value(json_object_get(object, name)), wanted);
}

static void test_json(void **state)
{
	struct scene *s = *state;
	const struct event_about about = { .job = "thumb", .stream = "s", .group = "g", .id = "1-2", .attempt = 3, .worker = "default/0", .pid = 42 };

	event(s->log, JOB_FAILED, &about, F_TEXT("reason", "exit"), F_I64("exit", 3), F_BOOL("yes", true), F_NULL("nothing"), F_SKIP(),
	      F_JSON("counts", BYTES("{\"a\":1}")), F_TEXT("missing", NULL), F_I64_UNLESS("signal", 0, 0), F_I64_OR_NULL("wait_ms", -1, -1));
	AUTO_JSON *line = written_json(*state);
	assert_true(json_is_object(line));
	static const char *const order[] = { "ts", "level", "event", "host", "job", "stream", "group", "id", "attempt", "worker", "pid", "reason",
					     "exit", "yes", "nothing", "counts", "missing", "wait_ms" };
	size_t i = 0;
	for (void *at = json_object_iter(line); at; at = json_object_iter_next(line, at), i++) {
		assert_true(i < ARRAY_LEN(order));
		assert_string_equal(json_object_iter_key(at), order[i]);
	}
	assert_int_equal(i, ARRAY_LEN(order));
	assert_member(line, "level", "warning");
	assert_member(line, "event", "job.failed");
	assert_member(line, "host", "h1");
	assert_int_equal(json_integer_value(json_object_get(line, "exit")), 3);
	assert_true(json_is_true(json_object_get(line, "yes")));
	assert_true(json_is_null(json_object_get(line, "wait_ms")));
	assert_int_equal(json_integer_value(json_object_get(json_object_get(line, "counts"), "a")), 1);
	assert_int_equal(strlen(json_string_value(json_object_get(line, "ts"))), strlen("2024-01-31T10:11:12.123456Z"));
}

static void test_absent_is_left_out(void **state)
{
	struct scene *s = *state;

	event(s->log, DAEMON_READY, NULL, F_SKIP());
	AUTO_JSON *line = written_json(s);
	assert_int_equal(json_object_size(line), 4);
}

static void test_json_cannot_be_forged(void **state)
{
	struct scene *s = *state;
	const struct event_about about = { .job = "work", .id = "1-1\n{\"event\":\"job.forged\"}" };

	event(s->log, JOB_OUTPUT, &about, F_BYTES("line", BYTES("a\"b\\c\n\r\t\0\x1b[2J\x7f\xc2\x9b\xff\xe2\x80\xa8""end")));
	char text[4096];
	const char *got = written(s, text, sizeof(text));
	for (const char *c = got; c[1]; c++)
		assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
	AUTO_JSON *line = json_parse(bytes_of(got));
	assert_member(line, "event", "job.output");
	json_t *value = json_object_get(line, "line");
	struct bytes back = { json_string_value(value), json_string_length(value) };
	assert_bytes(back, BYTES("a\"b\\c\n\r\t\0\x1b[2J\x7f\xc2\x9b\xef\xbf\xbd\xe2\x80\xa8""end"));
}

static void test_text(void **state)
{
	struct scene *s = *state;
	const struct event_about about = { .job = "thumb", .id = "1-2", .attempt = 2, .worker = "default/0" };
	char text[4096];

	event(s->log, JOB_FAILED, &about, F_TEXT("reason", "exit"), F_I64("exit", 3), F_TEXT("detail", "exit 3 \"x\" \\"), F_NULL("no"));
	const char *got = written(s, text, sizeof(text));
	assert_non_null(strstr(got, "warning"));
	assert_non_null(strstr(got, "thumb 1-2 attempt 2: failed reason=exit exit=3 detail=\"exit 3 \\\"x\\\" \\\\\" no=- (default/0)\n"));
	assert_true(got[2] == ':' && got[5] == ':' && got[8] == '.' && got[12] == ' ');
}

static void test_text_shows_what_would_act(void **state)
{
	static const struct {
		struct bytes raw;
		const char *shown;
	} rows[] = {
		{ { "\n", 1 }, "\\x0a" },
		{ { "\r", 1 }, "\\x0d" },
		{ { "\0", 1 }, "\\x00" },
		{ { "\x1b[31m", 5 }, "\\x1b[31m" },
		{ { "\x7f", 1 }, "\\x7f" },
		{ { "\xc2\x9b" "2J", 4 }, "\\x9b2J" },
		{ { "\xe2\x80\xa8", 3 }, "\\u2028" },
		{ { "\xe2\x80\xae", 3 }, "\\u202e" },
		{ { "\xe2\x81\xa6", 3 }, "\\u2066" },
		{ { "\xd8\x9c", 2 }, "\\u061c" },
		{ { "\xff\xfe", 2 }, "\xef\xbf\xbd\xef\xbf\xbd" },
		{ { "\xc3\xa4", 2 }, "\xc3\xa4" },
		{ { "\xe2\x82\xac", 3 }, "\xe2\x82\xac" },
	};
	struct scene *s = *state;
	char text[4096], wanted[64];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		event(s->log, JOB_OUTPUT, NULL, F_BYTES("line", rows[i].raw));
		snprintf(wanted, sizeof(wanted), " line=%s\n", rows[i].shown);
		const char *got = written(s, text, sizeof(text));
		if (!strstr(got, wanted))
			print_error("row %zu: %s", i, got);
		assert_non_null(strstr(got, wanted));
		assert_true(strchr(got, '\n') == got + strlen(got) - 1);
	}
}

static void test_no_colour_in_a_pipe(void **state)
{
	struct scene *s = *state;
	char text[4096];

	event(s->log, DAEMON_FAILED, NULL, F_SKIP());
	assert_null(strchr(written(s, text, sizeof(text)), '\033'));
	assert_int_equal(log_style_auto(s->in), LOG_STYLE_JSON);
}

static void test_levels(void **state)
{
	struct scene *s = *state;
	char text[4096];

	assert_false(log_wants(s->log, JOB_STARTED));
	assert_true(log_wants(s->log, JOB_SUCCEEDED));
	event(s->log, JOB_STARTED, NULL, F_SKIP());
	assert_string_equal(written(s, text, sizeof(text)), "");
	event_at(s->log, JOB_STARTED, EVENT_ERROR, NULL, F_SKIP());
	AUTO_JSON *line = written_json(s);
	assert_member(line, "level", "error");
	event(NULL, JOB_STARTED, NULL, F_SKIP()); /* no log: no event, no crash */
	assert_false(log_wants(NULL, DAEMON_FAILED));
}

static void test_catalogue(void **state)
{
	(void)state;
	for (int i = 0; i < EVENT_COUNT; i++) {
		assert_non_null(strchr(event_name((enum event_id)i), '.'));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(event_name((enum event_id)i), event_name((enum event_id)j));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_json, json_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_absent_is_left_out, json_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_json_cannot_be_forged, json_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_text, text_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_text_shows_what_would_act, text_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_no_colour_in_a_pipe, text_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_levels, json_scene, close_scene),
		cmocka_unit_test(test_catalogue),
	};
	return RUN_GROUP(tests);
}
