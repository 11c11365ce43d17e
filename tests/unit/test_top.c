/* The live view without a terminal: what stands in its lines, how keys lead from one state to the next, and
 * that nothing that came from elsewhere breaks a line. */
#include "unit.h"

#include <locale.h>
#include <stdlib.h>

#include "base/json.h"
#include "ctl/text.h"
#include "ctl/top.h"

enum { ROWS = 24, COLUMNS = 80 };

static const char hostile[] = "\033[2J\033]0;title\007 \xc2\x9b"
			      "31m \xe6\xbc\xa2\xe5\xad\x97 \xcc\x81\xcc\x82 \xe2\x80\xae"
			      "abc \xff\xfe\xc3 tab\there\r\n\x7f";

static struct top_queue queue(int index, const char *name, int64_t waiting)
{
	return (struct top_queue){
		.index = index,
		.stream = name,
		.group = "xackd",
		.shown = name,
		.jobs = "work",
		.jobs_json = "[\"work\"]",
		.suspended = "",
		.suspended_json = "[]",
		.known = true,
		.waiting = waiting,
		.oldest_waiting_ms = waiting > 0 ? 1500 : -1,
		.done_milli_per_s = 12345,
		.failed_milli_per_s = -1,
	};
}

struct scene {
	struct top_frame frame;
	struct top_state state;
	struct top_queue queues[3];
	struct top_worker workers[40];
	struct top_failure failures[3];
};

static int set_up(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	assert_non_null(s);
	s->queues[0] = queue(0, "mail", 7);
	s->queues[1] = queue(1, "video", 120);
	s->queues[2] = queue(2, "audio", 0);
	for (int i = 0; i < 40; i++) {
		static const char *const names[] = { "default/0", "default/1", "default/2", "default/3" };
		s->workers[i] = (struct top_worker){ .name = names[i % 4],
						     .state = "idle",
						     .queue = TOP_NO_QUEUE,
						     .pid = 100 + i,
						     .attempt = -1,
						     .running_ms = -1,
						     .progress = -1,
						     .done = i,
						     .failed = 0,
						     .handler_pid = -1 };
	}
	s->workers[0].id = "1700000000000-0";
	s->workers[0].job = "work";
	s->workers[0].status = "half way";
	s->workers[0].progress = 50;
	s->workers[0].queue = 1;
	s->failures[0] = (struct top_failure){ .queue = 0,
					       .stream = "mail",
					       .group = "xackd",
					       .id = "1700000000001-0",
					       .job = "work",
					       .reason = "exit",
					       .detail = "exit 3",
					       .attempts = 2,
					       .due_in_ms = 5000,
					       .ago_ms = 100,
					       .at_ms = 9 };
	s->failures[1] = (struct top_failure){ .dead = true,
					       .queue = 1,
					       .stream = "video",
					       .group = "xackd",
					       .id = "1700000000002-0",
					       .dead_id = "1700000000003-0",
					       .job = "work",
					       .reason = "timeout",
					       .attempts = 5,
					       .due_in_ms = -1,
					       .ago_ms = 200,
					       .at_ms = 8 };
	s->failures[2] = s->failures[0];
	s->failures[2].id = "1700000000000-7";
	s->frame = (struct top_frame){ .host = "h1",
				       .interval_ms = 2000,
				       .daemon_state = "running",
				       .daemon_version = "1",
				       .daemon_uptime_ms = 5000,
				       .daemon_has_redis = true,
				       .redis_url = "redis://x/0",
				       .total = 4,
				       .busy = 1,
				       .idle = 3,
				       .done_milli_per_s = -1,
				       .failed_milli_per_s = 500,
				       .queues = s->queues,
				       .workers = s->workers,
				       .failures = s->failures,
				       .queue_count = 3,
				       .worker_count = 4,
				       .failure_count = 3 };
	top_state_init(&s->state);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *s = *state;
	top_state_done(&s->state);
	free(s);
	return 0;
}

/* The screen as text, and that it is one: as many lines as there is room for, none too wide, nothing that a
 * terminal could act upon. */
static char *screen(struct scene *s, size_t rows, size_t columns)
{
	struct top_lines lines = { .width = columns, .unicode = true };
	struct buf text = { 0 };
	top_view(&s->frame, &s->state, 0, rows, &lines);
	assert_int_equal(lines.count, rows);
	assert_false(lines.failed);
	for (size_t i = 0; i < lines.count; i++) {
		struct bytes line = buf_bytes(&lines.lines[i].text);
		assert_true(utf8_valid(line));
		assert_true(text_width(line) <= columns);
		for (size_t k = 0; k < line.n; k++) {
			assert_true((unsigned char)line.p[k] >= 0x20 && line.p[k] != 0x7f);
			assert_false(line.p[k] == '\xc2' && (unsigned char)line.p[k + 1] < 0xa0); /* C1 */
		}
		for (size_t k = 0; k < lines.lines[i].mark_count; k++)
			assert_true(lines.lines[i].marks[k].from <= line.n);
		buf_add_bytes(&text, line);
		buf_add_char(&text, '\n');
	}
	top_lines_done(&lines);
	return buf_take(&text);
}

static void assert_shows(struct scene *s, const char *wanted)
{
	char *text = screen(s, ROWS, COLUMNS);
	if (!strstr(text, wanted))
		print_error("not there: \"%s\" in\n%s", wanted, text);
	assert_non_null(strstr(text, wanted));
	free(text);
}

static void assert_shows_not(struct scene *s, const char *unwanted)
{
	char *text = screen(s, ROWS, COLUMNS);
	assert_null(strstr(text, unwanted));
	free(text);
}

static enum top_answer press(struct scene *s, uint32_t key, struct top_request *ret_request)
{
	struct top_request ignored;
	return top_press(&s->state, &s->frame, key, 0, ret_request ? ret_request : &ignored);
}

static void type(struct scene *s, const char *text)
{
	for (; *text; text++)
		assert_int_equal(press(s, (unsigned char)*text, NULL), TOP_STAY);
}

/* ---- the view ---- */

static void test_all_panes(void **state)
{
	struct scene *s = *state;
	assert_shows(s, "xackd h1");
	assert_shows(s, "1/4 busy, - done/s, 0.5 failed/s");
	assert_shows(s, "\nvideo       120       0      0    0  1.5 s   12.3        -");
	assert_shows(s, "\ndefault/0 idle  work 1700000000000-0");
	assert_shows(s, "50 half way");
	assert_shows(s, "exit 3");
	assert_shows(s, "timeout"); /* without words the reason stands for them */
}

static void test_what_is_away_is_said(void **state)
{
	struct scene *s = *state;
	s->frame.daemon_error = "the daemon does not run";
	s->frame.redis_error = "Redis at redis://x/0 cannot be reached: no";
	s->frame.worker_count = s->frame.failure_count = 0;
	for (size_t i = 0; i < 3; i++)
		s->queues[i].known = false;
	assert_shows(s, "the daemon does not run");
	assert_shows(s, "Redis at redis://x/0 cannot be reached: no");
	assert_shows(s, "its workers are not known");
	assert_shows(s, "failures are not known");
	assert_shows(s, "\nvideo "); /* the names stay */
	assert_shows_not(s, "120");
}

static void test_silence_is_said(void **state)
{
	struct scene *s = *state;
	struct top_lines lines = { .width = COLUMNS, .unicode = true };
	top_view(&s->frame, &s->state, 5001, ROWS, &lines);
	assert_non_null(strstr(lines.lines[2].text.p, "NO NEWS for 5.0 s"));
	top_lines_done(&lines);
	lines.width = COLUMNS;
	top_view(&s->frame, &s->state, 4999, ROWS, &lines);
	assert_null(strstr(lines.lines[2].text.p, "NO NEWS"));
	top_lines_done(&lines);
	lines.width = COLUMNS;
	top_view(NULL, &s->state, 0, ROWS, &lines);
	assert_int_equal(lines.count, ROWS);
	top_lines_done(&lines);
}

static void test_every_size(void **state)
{
	struct scene *s = *state;
	s->frame.worker_count = 40;
	for (size_t rows = 1; rows < 60; rows++) {
		for (size_t columns = 1; columns < 200; columns += 7) {
			s->state.pane = (enum top_pane)((rows + columns) % TOP_PANES);
			free(screen(s, rows, columns));
		}
	}
}

static void test_hostile_values(void **state)
{
	struct scene *s = *state;
	s->queues[0].stream = s->queues[0].shown = hostile;
	s->workers[0].status = s->workers[0].job = hostile;
	s->failures[0].detail = s->failures[0].job = s->failures[0].id = hostile;
	s->failures[1].detail = "\xcc\x81"
				"begins with what combines";
	s->frame.host = hostile;
	memcpy(s->state.filter, "", 1);
	for (size_t columns = 20; columns < 200; columns++)
		free(screen(s, ROWS, columns));
	char *text = screen(s, ROWS, 400);
	assert_non_null(strstr(text, "\\x1b[2J\\x1b]0;title\\x07 \\u{9b}31m 漢字"));
	assert_non_null(strstr(text, "\\u{202e}abc \\xff\\xfe\\xc3 tab\\there\\r\\n\\x7f"));
	assert_non_null(strstr(text, "◌\xcc\x81"
				     "begins"));
	free(text);
}

/* Where a column begins does not depend on how wide the characters before it are. */
static void test_columns_stay_aligned(void **state)
{
	struct scene *s = *state;
	s->queues[0].stream = s->queues[0].shown = "漢字漢字漢字";
	s->queues[1].stream = s->queues[1].shown = "e\xcc\x81\xcc\x82\xcc\x83 combined";
	struct top_lines lines = { .width = COLUMNS, .unicode = true };
	top_view(&s->frame, &s->state, 0, ROWS, &lines);
	size_t end = 0;
	for (size_t i = 3; i < 7; i++) {
		struct bytes line = buf_bytes(&lines.lines[i].text);
		const char *number = strstr(line.p, i == 3   ? "WAITING"
						    : i == 4 ? "7  "
						    : i == 5 ? "120"
							     : " 0 ");
		assert_non_null(number);
		size_t bytes = (size_t)(number - line.p) + (i == 3 ? 7 : i == 4 ? 1 : i == 5 ? 3 : 2);
		size_t at = text_width((struct bytes){ line.p, bytes });
		assert_true(i == 3 || at == end);
		end = at;
	}
	top_lines_done(&lines);
}

static void test_ascii_terminal(void **state)
{
	struct scene *s = *state;
	s->queues[0].stream = s->queues[0].shown =
		"漢字 and so on, so long that it has to be cut somewhere, or else it would not fit";
	struct top_lines lines = { .width = 40 };
	top_view(&s->frame, &s->state, 0, ROWS, &lines);
	for (size_t i = 0; i < lines.count; i++) {
		for (size_t k = 0; k < lines.lines[i].text.n; k++)
			assert_true((unsigned char)lines.lines[i].text.p[k] < 0x80);
	}
	top_lines_done(&lines);
}

static void test_batch_shows_all(void **state)
{
	struct scene *s = *state;
	s->frame.worker_count = 40;
	struct top_lines lines = { .unicode = true };
	top_view_all(&s->frame, &lines);
	assert_int_equal(lines.count, 3 + (1 + 1 + 3) + (1 + 1 + 40) + (1 + 1 + 3));
	top_lines_done(&lines);
}

static void test_json(void **state)
{
	struct scene *s = *state;
	s->workers[0].status = hostile;
	AUTO_BUF text = { 0 };
	top_frame_json(&s->frame, &text);
	AUTO_JSON *frame = json_parse(buf_bytes(&text));
	assert_non_null(frame);
	json_t *row = json_array_get(json_object_get(frame, "queues"), 1);
	assert_int_equal(json_integer_value(json_object_get(row, "waiting")), 120);
	assert_true(json_is_real(json_object_get(row, "done_per_s")));
	assert_true(json_is_null(json_object_get(row, "failed_per_s")));
	row = json_array_get(json_object_get(frame, "failures"), 1);
	assert_true(json_is_null(json_object_get(row, "detail")));
	assert_string_equal(json_string_value(json_object_get(row, "reason")), "timeout");
	assert_true(json_is_null(json_object_get(frame, "redis_error")));
}

/* ---- keys ---- */

static void test_panes(void **state)
{
	struct scene *s = *state;
	static const uint32_t keys[] = { '\t', '\t', '\t', TOP_KEY_BACKTAB, '1', '2', '3' };
	static const enum top_pane panes[] = { TOP_WORKERS, TOP_FAILURES, TOP_QUEUES,  TOP_FAILURES,
					       TOP_QUEUES,  TOP_WORKERS,  TOP_FAILURES };
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		assert_int_equal(press(s, keys[i], NULL), TOP_STAY);
		assert_int_equal(s->state.pane, panes[i]);
	}
	assert_int_equal(press(s, 'q', NULL), TOP_QUIT);
}

static void test_scrolling(void **state)
{
	struct scene *s = *state;
	char names[40][8];
	for (int i = 0; i < 40; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "w/%d", i);
		s->workers[i].name = names[i];
	}
	s->frame.worker_count = 40;
	press(s, '2', NULL);
	assert_shows_not(s, "w/39");
	press(s, 'G', NULL);
	assert_shows(s, "w/39");
	assert_shows(s, "row 40 of 40");
	press(s, TOP_KEY_DOWN, NULL);
	assert_int_equal(s->state.places[TOP_WORKERS].cursor, 39);
	press(s, TOP_KEY_PAGE_UP, NULL);
	press(s, 'k', NULL);
	assert_true(s->state.places[TOP_WORKERS].cursor < 39 && s->state.places[TOP_WORKERS].cursor > 20);
	press(s, TOP_KEY_HOME, NULL);
	assert_shows(s, "row 1 of 40");
	press(s, 'j', NULL);
	assert_shows(s, "row 2 of 40");
}

/* The cursor stays with its row, whatever comes and goes before it. */
static void test_the_cursor_follows_its_row(void **state)
{
	struct scene *s = *state;
	press(s, 'j', NULL); /* video */
	struct top_queue video = s->queues[1];
	s->queues[1] = s->queues[2];
	s->queues[2] = video;
	free(screen(s, ROWS, COLUMNS));
	assert_int_equal(s->state.places[TOP_QUEUES].cursor, 2);
	s->frame.queue_count = 2; /* it is gone: the place stays as near as there is one */
	free(screen(s, ROWS, COLUMNS));
	assert_int_equal(s->state.places[TOP_QUEUES].cursor, 1);
}

static void check_order(struct scene *s, const char *first, const char *second, const char *third)
{
	size_t count;
	size_t *order = top_order(&s->frame, &s->state, TOP_QUEUES, &count);
	assert_int_equal(count, 3);
	assert_string_equal(s->queues[order[0]].stream, first);
	assert_string_equal(s->queues[order[1]].stream, second);
	assert_string_equal(s->queues[order[2]].stream, third);
	free(order);
}

static void test_sorting(void **state)
{
	struct scene *s = *state;
	check_order(s, "mail", "video", "audio");
	press(s, 's', NULL);
	assert_shows(s, "1 QUEUE>");
	check_order(s, "audio", "mail", "video");
	press(s, 'S', NULL);
	assert_shows(s, "1 QUEUE<");
	check_order(s, "video", "mail", "audio");
	press(s, 's', NULL);
	assert_shows(s, "WAITING>");
	check_order(s, "video", "mail", "audio");
	s->queues[0].waiting = -1; /* what is not known comes last */
	check_order(s, "video", "audio", "mail");
	for (int i = 0; i < 8; i++)
		press(s, 's', NULL);
	check_order(s, "mail", "video", "audio");
	assert_int_equal(s->state.places[TOP_QUEUES].sort, -1);
}

static void test_filter(void **state)
{
	struct scene *s = *state;
	press(s, '/', NULL);
	type(s, "ViDx");
	press(s, TOP_KEY_BACKSPACE, NULL);
	assert_shows(s, "/ViD_");
	press(s, '\r', NULL);
	assert_shows(s, "filter \"ViD\"");
	assert_shows(s, "\nvideo");
	assert_shows_not(s, "\nmail");
	assert_shows_not(s, "1700000000001-0");
	assert_shows(s, "1700000000002-0"); /* a column that is not shown counts too: its queue */
	press(s, '/', NULL);
	press(s, 0x6f22, NULL);
	press(s, TOP_KEY_BACKSPACE, NULL);
	type(s, "q");
	press(s, TOP_KEY_ESCAPE, NULL);
	assert_string_equal(s->state.filter, "ViD");
	press(s, TOP_KEY_ESCAPE, NULL);
	assert_shows(s, "\nmail");
	press(s, '/', NULL);
	for (int i = 0; i < 200; i++)
		press(s, 0x10ffff, NULL);
	assert_true(utf8_valid(bytes_of(s->state.filter)));
	assert_shows(s, "\\u{10ffff}");
}

static void test_pause_is_asked_for(void **state)
{
	struct scene *s = *state;
	struct top_request request;
	press(s, 'j', NULL);
	assert_int_equal(press(s, 'p', &request), TOP_STAY);
	assert_shows(s, "Pause queue video, on all hosts? (y/n)");
	assert_int_equal(press(s, 'n', &request), TOP_STAY);
	assert_int_equal(s->state.mode, TOP_LIST);
	press(s, 'p', NULL);
	assert_int_equal(press(s, 'y', &request), TOP_ASK);
	assert_int_equal(request.kind, TOP_PAUSE);
	assert_int_equal(request.queue, 1);
	s->queues[1].gauges.paused = true;
	press(s, 'p', NULL);
	assert_shows(s, "Resume queue video");
	assert_int_equal(press(s, 'y', &request), TOP_ASK);
	assert_int_equal(request.kind, TOP_RESUME);
	s->queues[1].known = false;
	press(s, 'p', NULL);
	assert_int_equal(s->state.mode, TOP_LIST);
	s->frame.queue_count = 0;
	assert_int_equal(press(s, 'p', &request), TOP_STAY);
	assert_int_equal(press(s, TOP_KEY_ENTER, &request), TOP_STAY);
}

static void test_retry_only_what_is_parked(void **state)
{
	struct scene *s = *state;
	struct top_request request;
	press(s, '3', NULL);
	press(s, 'r', NULL);
	assert_shows(s, "Retry 1700000000001-0 now? (y/n)");
	assert_int_equal(press(s, 'y', &request), TOP_ASK);
	assert_int_equal(request.kind, TOP_RETRY);
	assert_int_equal(request.queue, 0);
	assert_string_equal(request.id, "1700000000001-0");
	press(s, 'j', NULL);
	assert_int_equal(press(s, 'r', &request), TOP_STAY);
	assert_int_equal(s->state.mode, TOP_LIST);
	s->state.message_until_ms = 1;
	assert_shows(s, "only a parked entry can be retried");
	press(s, '1', NULL);
	assert_int_equal(press(s, 'r', &request), TOP_STAY);
	assert_int_equal(s->state.mode, TOP_LIST);
}

static void test_looking(void **state)
{
	struct scene *s = *state;
	struct top_request request;
	press(s, '2', NULL);
	assert_int_equal(press(s, TOP_KEY_ENTER, &request), TOP_ASK);
	assert_int_equal(request.kind, TOP_LOOK);
	assert_int_equal(request.queue, 1);
	assert_string_equal(request.id, "1700000000000-0");
	for (int i = 0; i < 100; i++)
		buf_addf(&s->state.look, "line %d %0*d\n", i, i == 50 ? 300 : 1, 7);
	s->state.mode = TOP_LOOKING;
	assert_shows(s, "line 0 7");
	assert_shows_not(s, "line 99");
	press(s, 'G', NULL);
	assert_shows(s, "line 99");
	press(s, TOP_KEY_UP, NULL);
	assert_shows_not(s, "line 99");
	press(s, TOP_KEY_PAGE_UP, NULL);
	press(s, TOP_KEY_HOME, NULL);
	assert_shows(s, "line 0 7");
	press(s, 'r', NULL);
	assert_int_equal(s->state.mode, TOP_LOOKING);
	press(s, 'p', NULL);
	assert_shows(s, "Pause queue video");
	assert_shows(s, "line 0 7");
	press(s, 'n', NULL);
	assert_int_equal(s->state.mode, TOP_LOOKING);
	assert_int_equal(press(s, 'q', &request), TOP_STAY);
	assert_int_equal(s->state.mode, TOP_LIST);
	press(s, 'j', NULL);
	assert_int_equal(press(s, TOP_KEY_ENTER, &request), TOP_STAY); /* an idle worker */
}

static void test_help(void **state)
{
	struct scene *s = *state;
	press(s, '?', NULL);
	assert_shows(s, "Ctrl-L");
	assert_int_equal(press(s, 'q', NULL), TOP_STAY);
	assert_int_equal(s->state.mode, TOP_LIST);
}

/* Any keys in any order, with and without a frame: no state without a way out. */
static void test_any_keys(void **state)
{
	struct scene *s = *state;
	struct top_request request;
	uint32_t chance = 1;
	s->queues[0].shown = hostile;
	for (int i = 0; i < 20000; i++) {
		static const uint32_t keys[] = { 'j',           'k',
						 'g',           'G',
						 's',           'S',
						 '/',           'r',
						 'p',           'y',
						 'n',           '?',
						 '\t',          '1',
						 '2',           '3',
						 '\n',          27,
						 127,           'x',
						 0x6f22,        0xfffffff0,
						 TOP_KEY_UP,    TOP_KEY_PAGE_DOWN,
						 TOP_KEY_END,   TOP_KEY_SPECIAL,
						 TOP_KEY_REDRAW };
		chance = chance * 1664525 + 1013904223;
		uint32_t key = keys[(chance >> 8) % ARRAY_LEN(keys)];
		s->frame.failure_count = chance >> 20 & 3;
		(void)top_press(&s->state, chance >> 28 ? &s->frame : NULL, key, i, &request);
		if (s->state.mode == TOP_LIST && chance >> 30 == 0) {
			buf_add_text(&s->state.look, "looked at\n");
			s->state.mode = TOP_LOOKING;
		}
		if (i % 50 == 0)
			free(screen(s, ROWS, COLUMNS));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_panes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_away_is_said, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_silence_is_said, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_every_size, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hostile_values, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_columns_stay_aligned, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ascii_terminal, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_batch_shows_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_json, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_panes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_scrolling, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_cursor_follows_its_row, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sorting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_filter, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pause_is_asked_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_retry_only_what_is_parked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_looking, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_help, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_any_keys, set_up, tear_down),
	};
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	assert_non_null(utf8);
	(void)uselocale(utf8);
	int failed = RUN_GROUP(tests);
	(void)uselocale(LC_GLOBAL_LOCALE);
	freelocale(utf8);
	return failed;
}
