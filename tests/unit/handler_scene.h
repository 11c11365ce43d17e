/* The stage for tests of whole runs: a loop, a handler, a job and an entry, and all that came of it. Included by one test program each. */
#pragma once

#undef NDEBUG
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "domain/template.h"
#include "handler/handler.h"

#define SCENE_CODE __attribute__((unused)) static

enum { SCENE_LIMIT_S = 60, SCENE_ARGUMENTS = 8, SCENE_PAIRS = 4 };

struct scene {
	struct ev_loop *loop;
	struct handler *handler;
	struct job job;
	struct entry entry;
	struct entry_pair pairs[SCENE_PAIRS];
	char *exec[SCENE_ARGUMENTS];
	struct template *templates[SCENE_ARGUMENTS];
	char folder[32];
	/* when this line comes, this is done */
	const char *when;
	void (*then)(struct scene *s);
	size_t again; /* runs still to be started from inside `ended` */
	bool quiet;   /* lines are only counted */
	/* what came */
	struct buf lines; /* "1:text\n" */
	size_t line_count;
	size_t cut_count;
	int64_t dropped_lines;
	int64_t dropped_bytes;
	size_t dropped_calls;
	size_t progress_calls;
	int64_t progress;
	char status[256];
	size_t ended;
	struct run_end end;
	struct said said;
	char tail[HANDLER_STDERR_TAIL + 1];
	size_t tail_n;
	struct handler_usage usage;
};

SCENE_CODE void scene_on_line(void *user, int fd, struct bytes line, bool cut)
{
	struct scene *s = user;

	s->line_count++;
	s->cut_count += cut;
	if (s->quiet)
		return;
	buf_addf(&s->lines, "%d:", fd);
	buf_add_bytes(&s->lines, line);
	buf_add_char(&s->lines, '\n');
	if (s->when && bytes_eq(line, bytes_of(s->when)))
		s->then(s);
}

SCENE_CODE void scene_on_dropped(void *user, int64_t lines, int64_t bytes)
{
	struct scene *s = user;

	assert_true(lines > 0);
	s->dropped_calls++;
	s->dropped_lines += lines;
	s->dropped_bytes += bytes;
}

SCENE_CODE void scene_on_progress(void *user, int64_t progress, struct bytes status)
{
	struct scene *s = user;

	s->progress_calls++;
	s->progress = progress;
	snprintf(s->status, sizeof(s->status), "%.*s", (int)status.n, status.p);
}

SCENE_CODE void scene_start(struct scene *s)
{
	struct run_facts facts = { .job = &s->job, .entry = &s->entry, .attempt = 1, .enqueued_ms = -1 };
	handler_start(s->handler, &facts);
}

SCENE_CODE void scene_on_ended(void *user, const struct run_end *end, struct said *said, struct bytes tail,
			       const struct handler_usage *usage)
{
	struct scene *s = user;

	assert_false(handler_running(s->handler));
	s->ended++;
	s->end = *end;
	s->said = *said;
	s->usage = *usage;
	memcpy(s->tail, tail.p, tail.n);
	s->tail[tail.n] = '\0';
	s->tail_n = tail.n;
	if (s->again > 0) {
		s->again--;
		scene_start(s);
		return;
	}
	ev_break(s->loop, EVBREAK_ALL);
}

SCENE_CODE void scene_on_limit(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)timer;
	(void)events;
	ev_break(loop, EVBREAK_ALL);
}

SCENE_CODE void scene_new_handler(struct scene *s)
{
	static const struct handler_callbacks callbacks = {
		.line = scene_on_line,
		.dropped = scene_on_dropped,
		.progress = scene_on_progress,
		.ended = scene_on_ended,
	};
	static const char *const inherit[] = { "PATH=/usr/local/bin:/usr/bin:/bin", NULL };

	handler_free(s->handler);
	s->handler = handler_new(s->loop, &callbacks, s, (char *const *)(uintptr_t)inherit);
	assert_non_null(s->handler);
}

SCENE_CODE int scene_setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->loop = ev_loop_new(EVFLAG_AUTO);
	scene_new_handler(s);
	snprintf(s->entry.id, sizeof(s->entry.id), "1700000000000-0");
	s->entry.pairs = s->pairs;
	s->entry.delivery = 1;
	s->job = (struct job){
		.name = (char *)(uintptr_t)"work",
		.stream = (char *)(uintptr_t)"work",
		.group = (char *)(uintptr_t)"xackd",
		.pool = (char *)(uintptr_t)"default",
		.exec = s->exec,
		.templates = s->templates,
		.payload_field = (char *)(uintptr_t)"payload",
		.cwd = (char *)(uintptr_t)"/",
		.umask = 022,
		.kill_grace_ms = 10000,
		.stdin_kind = STDIN_NONE,
	};
	snprintf(s->folder, sizeof(s->folder), "/tmp/xackd-XXXXXX");
	assert_non_null(mkdtemp(s->folder));
	assert_int_equal(chmod(s->folder, 0755), 0);
	*state = s;
	return 0;
}

SCENE_CODE int scene_teardown(void **state)
{
	struct scene *s = *state;
	char command[64];

	handler_free(s->handler);
	ev_loop_destroy(s->loop);
	for (size_t i = 0; i < SCENE_ARGUMENTS; i++)
		template_free(s->templates[i]);
	snprintf(command, sizeof(command), "rm -rf %s", s->folder);
	assert_int_equal(system(command), 0);
	buf_done(&s->lines);
	free(s);
	return 0;
}

/* exec: up to two arguments behind the path. */
SCENE_CODE void scene_exec(struct scene *s, const char *path, const char *one, const char *two)
{
	const char *const all[] = { path, one, two };

	s->job.shell = NULL;
	s->job.exec_count = 0;
	for (size_t i = 0; i < ARRAY_LEN(all) && all[i]; i++) {
		s->exec[i] = (char *)(uintptr_t)all[i];
		s->job.exec_count++;
		template_free(TAKE(s->templates[i]));
		if (i > 0)
			assert_int_equal(template_compile(all[i], &s->templates[i], NULL), 0);
	}
}

SCENE_CODE void scene_field(struct scene *s, struct bytes name, struct bytes value)
{
	assert_true(s->entry.pair_count < SCENE_PAIRS);
	s->pairs[s->entry.pair_count++] = (struct entry_pair){ name, value };
}

SCENE_CODE void scene_begin(struct scene *s)
{
	buf_clear(&s->lines);
	s->ended = s->line_count = s->cut_count = 0;
	scene_start(s);
}

SCENE_CODE void scene_await(struct scene *s)
{
	ev_timer limit;

	ev_timer_init(&limit, scene_on_limit, SCENE_LIMIT_S, 0.);
	ev_timer_start(s->loop, &limit);
	if (s->ended == 0 || handler_running(s->handler))
		ev_run(s->loop, 0);
	ev_timer_stop(s->loop, &limit);
	assert_true(s->ended > 0);
	assert_false(handler_running(s->handler));
}

SCENE_CODE void scene_run(struct scene *s)
{
	scene_begin(s);
	scene_await(s);
}

SCENE_CODE void scene_shell(struct scene *s, const char *text)
{
	s->job.shell = (char *)(uintptr_t)text;
	scene_run(s);
}

/* The path of a file in the scene's folder; four are valid at a time. */
SCENE_CODE const char *scene_path(struct scene *s, const char *name)
{
	static char path[4][64];
	static unsigned next;
	char *at = path[next++ % 4];

	snprintf(at, sizeof(path[0]), "%s/%s", s->folder, name);
	return at;
}

SCENE_CODE const char *scene_file(struct scene *s, const char *name, const char *text, mode_t mode)
{
	const char *path = scene_path(s, name);
	AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, bytes_of(text)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	return path;
}

SCENE_CODE size_t scene_descriptors(void)
{
	size_t n = 0;
	DIR *folder = opendir("/proc/self/fd");

	assert_non_null(folder);
	while (readdir(folder))
		n++;
	closedir(folder);
	return n;
}

#define ASSERT_EXITED(s, expected)                           \
	do {                                                 \
		assert_string_equal((s)->end.text, "");      \
		assert_int_equal((s)->end.kind, END_EXITED); \
		assert_int_equal((s)->end.code, (expected)); \
		assert_int_equal((s)->end.signal, 0);        \
	} while (0)
#define ASSERT_LINES(s, expected) assert_string_equal((s)->lines.p ? (s)->lines.p : "", (expected))
