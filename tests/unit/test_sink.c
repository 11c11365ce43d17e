/* The sink under its hard cases: many writers with long lines, a reader that stops reading, one that is gone, a writer that is killed in
 * the middle of a line. */
#include "unit.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/json.h"
#include "log/event.h"
#include "log/sink.h"

enum { WRITERS = 8, LINES = 60, LONGEST = 100 * 1024 };

struct scene {
	void *shared;
	int out, in; /* reader's and writers' end */
};

static int open_scene(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	int ends[2];
	if (!s || pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	s->out = ends[0];
	s->in = ends[1];
	s->shared = mmap(NULL, log_shared_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->shared == MAP_FAILED)
		return -1;
	log_shared_init(s->shared);
	(void)signal(SIGPIPE, SIG_IGN);
	*state = s;
	return 0;
}

static int close_scene(void **state)
{
	struct scene *s = *state;
	if (s->out >= 0)
		(void)close(s->out);
	if (s->in >= 0)
		(void)close(s->in);
	(void)munmap(s->shared, log_shared_size());
	free(s);
	return 0;
}

/* Writer number n: lines of 1 … LONGEST bytes; each is sent again until it is taken. */
static void write_lines(const struct scene *s, int n)
{
	AUTO_BUF filler = { 0 };
	struct log *log = log_new(s->in, LOG_STYLE_JSON, EVENT_DEBUG, "h1", s->shared);

	for (int i = 0; i < LONGEST; i++)
		buf_add_char(&filler, (char)('a' + n));
	for (int i = 0; i < LINES; i++) {
		size_t size = (size_t)(i % 4 == 0 ? (i * 7919 + n * 104729) % LONGEST : (i * 131) % 300);
		event(log, JOB_OUTPUT, NULL, F_I64("writer", n), F_I64("number", i), F_BYTES("line", ((struct bytes){ filler.p, size })));
		log_drain(log, 5000);
	}
	log_free(log);
}

static void read_all(int fd, struct buf *text)
{
	char chunk[65536];
	ssize_t n;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		buf_add(text, chunk, (size_t)n);
	assert_int_equal(n, 0);
}

/* Every line is whole JSON; counts the events, and what log.dropped says was lost. */
static void check_lines(const struct buf *text, size_t *ret_events, size_t *ret_dropped)
{
	struct bytes rest = buf_bytes(text);

	*ret_events = *ret_dropped = 0;
	while (rest.n > 0) {
		const char *end = memchr(rest.p, '\n', rest.n);
		assert_non_null(end);
		size_t n = (size_t)(end - rest.p);
		AUTO_JSON *line = json_parse((struct bytes){ rest.p, n });
		if (!json_is_object(line))
			print_error("torn: %.80s … %.80s\n", rest.p, end - (n < 80 ? n : 80));
		assert_true(json_is_object(line));
		if (strcmp(json_string_value(json_object_get(line, "event")), "log.dropped") == 0)
			*ret_dropped += (size_t)json_integer_value(json_object_get(line, "count"));
		else
			(*ret_events)++;
		rest.p += n + 1;
		rest.n -= n + 1;
	}
}

static void test_many_writers(void **state)
{
	struct scene *s = *state;
	AUTO_BUF text = { 0 };
	size_t events, dropped;
	pid_t pids[WRITERS];

	for (int i = 0; i < WRITERS; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			(void)close(s->out);
			write_lines(s, i);
			_exit(0);
		}
	}
	(void)close(s->in);
	s->in = -1;
	read_all(s->out, &text);
	for (int i = 0; i < WRITERS; i++) {
		int status;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	check_lines(&text, &events, &dropped);
	assert_true(events >= WRITERS); /* a slow reader loses lines, never a part of one */
	assert_int_equal(events + dropped, (size_t)WRITERS * LINES);
}

static void *write_in_thread(void *user)
{
	struct log *log = user;
	for (int i = 0; i < 500; i++)
		event(log, JOB_OUTPUT, NULL, F_I64("number", i));
	return NULL;
}

static void test_threads(void **state)
{
	struct scene *s = *state;
	AUTO_BUF text = { 0 };
	size_t events, dropped;
	pthread_t threads[4];
	char path[] = "/tmp/xackd-unit-sink-XXXXXX";
	AUTO_FD file = mkstemp(path);
	struct log *log = log_new(file, LOG_STYLE_JSON, EVENT_DEBUG, "h1", s->shared);

	(void)unlink(path);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_in_thread, log), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(lseek(file, 0, SEEK_SET), 0);
	read_all(file, &text);
	check_lines(&text, &events, &dropped);
	assert_int_equal(events, 2000);
	assert_int_equal(dropped, 0);
	log_free(log);
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, 0) == 1;
}

static void test_stalled_reader(void **state)
{
	struct scene *s = *state;
	AUTO_BUF filler = { 0 };
	AUTO_BUF text = { 0 };
	size_t events, dropped;
	struct log *log = log_new(s->in, LOG_STYLE_JSON, EVENT_DEBUG, "h1", s->shared);

	for (int i = 0; i < 1000; i++)
		buf_add_char(&filler, 'x');
	alarm(20); /* were a write to block, this would end the test */
	for (int i = 0; i < 1000; i++)
		event(log, JOB_OUTPUT, NULL, F_BYTES("line", buf_bytes(&filler)));
	assert_true(log_pending(log));
	log_drain(log, 10); /* gives up in time */
	assert_true(log_pending(log));
	char chunk[65536];
	while (log_pending(log)) { /* it reads again: the rest of the torn line comes, then log.dropped */
		while (readable(s->out)) {
			ssize_t n = read(s->out, chunk, sizeof(chunk));
			assert_true(n > 0);
			buf_add(&text, chunk, (size_t)n);
		}
		log_flush(log);
	}
	alarm(0);
	log_free(log);
	(void)close(s->in);
	s->in = -1;
	read_all(s->out, &text);
	check_lines(&text, &events, &dropped);
	assert_true(dropped > 0);
	assert_int_equal(events + dropped, 1000);
}

static void test_reader_gone(void **state)
{
	struct scene *s = *state;
	struct log *log = log_new(s->in, LOG_STYLE_JSON, EVENT_DEBUG, "h1", s->shared);

	(void)close(s->out);
	s->out = -1;
	for (int i = 0; i < 100; i++)
		event(log, JOB_OUTPUT, NULL, F_I64("number", i));
	log_drain(log, 100);
	log_flush(log);
	log_free(log);
}

static void test_full_disk(void **state)
{
	struct scene *s = *state;
	AUTO_FD full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	if (full < 0)
		skip();
	struct log *log = log_new(full, LOG_STYLE_JSON, EVENT_DEBUG, "h1", s->shared);

	event(log, JOB_OUTPUT, NULL, F_I64("number", 1));
	assert_true(log_pending(log));
	log_free(log);
}

/* A writer dies with the lock in its hands and a line half written: the next one finishes it. */
static void test_writer_dies_inside(void **state)
{
	struct scene *s = *state;
	struct sink_shared *shared = s->shared;
	AUTO_BUF text = { 0 };
	size_t events, dropped;
	static const char line[] = "{\"event\":\"job.output\"}\n";

	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)!pthread_mutex_lock(&shared->lock);
		memcpy(shared->tail, line, sizeof(line) - 1);
		(void)!write(s->in, line, 10);
		atomic_store(&shared->rest, (uint64_t)10 << 32 | (sizeof(line) - 1 - 10));
		(void)kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	struct log *log = log_new(s->in, LOG_STYLE_JSON, EVENT_DEBUG, "h1", s->shared);
	event(log, JOB_OUTPUT, NULL, F_I64("number", 1));
	event(log, JOB_OUTPUT, NULL, F_I64("number", 2));
	log_free(log);
	(void)close(s->in);
	s->in = -1;
	read_all(s->out, &text);
	check_lines(&text, &events, &dropped);
	assert_int_equal(events, 3);
}

static void test_socket(void **state)
{
	struct scene *s = *state;
	AUTO_BUF filler = { 0 };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	struct log *log = log_new(ends[1], LOG_STYLE_JSON, EVENT_DEBUG, "h1", s->shared);
	for (int i = 0; i < 50000; i++)
		buf_add_char(&filler, 'y');
	alarm(20);
	for (int i = 0; i < 50; i++)
		event(log, JOB_OUTPUT, NULL, F_BYTES("line", buf_bytes(&filler)));
	pid_t reader = fork();
	assert_true(reader >= 0);
	if (reader == 0) { /* takes what there is until the end of the stream */
		char chunk[65536];
		(void)close(ends[1]);
		while (read(ends[0], chunk, sizeof(chunk)) > 0)
			(void)!write(s->in, chunk, 1);
		_exit(0);
	}
	(void)close(ends[0]);
	log_drain(log, 5000);
	assert_false(log_pending(log));
	log_free(log);
	(void)close(ends[1]);
	assert_int_equal(waitpid(reader, NULL, 0), reader);
	alarm(0);
}

/* What is shared with processes that may have died in it is never believed with addresses. */
static void test_nonsense_in_the_shared_part(void **state)
{
	struct scene *s = *state;
	struct sink_shared *shared = s->shared;
	struct log *log = log_new(s->in, LOG_STYLE_JSON, EVENT_DEBUG, "h1", s->shared);

	atomic_store(&shared->rest, UINT64_MAX);
	event(log, JOB_OUTPUT, NULL, F_I64("number", 1));
	atomic_store(&shared->rest, (uint64_t)SINK_TAIL_BYTES << 32 | 5);
	event(log, JOB_OUTPUT, NULL, F_I64("number", 2));
	log_free(log);
	assert_true(readable(s->out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_many_writers, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_threads, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_stalled_reader, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_reader_gone, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_full_disk, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_writer_dies_inside, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_socket, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_nonsense_in_the_shared_part, open_scene, close_scene),
	};
	return RUN_GROUP(tests);
}
