/* The journal: what a datagram says, large ones as a file, and receivers that are slow or gone. The receiver is a socket of the test's own. */
#include "unit.h"

#include <endian.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/fd.h"
#include "log/event.h"

enum { DATAGRAM_MAX = 12 * 1024 * 1024, BIG = 5 * 1024 * 1024 };

struct scene {
	char path[96];
	int receiver;
	int null;
	struct log *log;
	char *text;
	size_t n;
};

static int bind_receiver(struct scene *s)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memcpy(address.sun_path, s->path, strlen(s->path) + 1);
	(void)unlink(s->path);
	s->receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return s->receiver < 0 || bind(s->receiver, (struct sockaddr *)&address, sizeof(address)) < 0 ? -1 : 0;
}

static int open_scene(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	if (!s)
		return -1;
	*state = s;
	snprintf(s->path, sizeof(s->path), "/tmp/xackd-unit-journal-%d", (int)getpid());
	s->text = malloc(DATAGRAM_MAX + 1);
	s->null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (!s->text || s->null < 0 || bind_receiver(s) < 0 || setenv("XACKD_JOURNAL_SOCKET", s->path, 1) < 0)
		return -1;
	s->log = log_new(s->null, LOG_STYLE_JOURNAL, EVENT_DEBUG, "h1", NULL);
	return s->log ? 0 : -1;
}

static int close_scene(void **state)
{
	struct scene *s = *state;
	log_free(s->log);
	(void)close(s->receiver);
	(void)close(s->null);
	(void)unlink(s->path);
	(void)unsetenv("XACKD_JOURNAL_SOCKET");
	free(s->text);
	free(s);
	return 0;
}

/* The next datagram, or what is in the file that came with it; false: there is none. */
static bool receive(struct scene *s, bool *ret_file)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec part = { .iov_base = s->text, .iov_len = DATAGRAM_MAX };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(s->receiver, &message, MSG_CMSG_CLOEXEC);

	if (n < 0)
		return false;
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	*ret_file = head != NULL;
	if (head) {
		int fd;
		memcpy(&fd, CMSG_DATA(head), sizeof(fd));
		assert_int_equal(fcntl(fd, F_GET_SEALS) & F_SEAL_WRITE, F_SEAL_WRITE);
		n = pread(fd, s->text, DATAGRAM_MAX, 0);
		(void)close(fd);
	}
	s->n = (size_t)n;
	s->text[n] = '\0';
	return true;
}

static void assert_line(const struct scene *s, const char *line)
{
	char wanted[512];
	snprintf(wanted, sizeof(wanted), "%s\n", line);
	if (!strstr(s->text, wanted))
		print_error("no %s in\n%s", wanted, s->text);
	const char *at = strstr(s->text, wanted);
	assert_non_null(at);
	assert_true(at == s->text || at[-1] == '\n');
}

static void test_fields(void **state)
{
	struct scene *s = *state;
	const struct event_about about = {
		.job = "mail", .stream = "out", .group = "xackd", .id = "5-1", .attempt = 2, .worker = "default/3", .pid = 77
	};
	bool file;

	event(s->log, JOB_RETRY, &about, F_I64("due_ms", -5), F_TEXT("why", "so it is"), F_TEXT("none", NULL), F_BOOL("cut", 1), F_NULL("nothing"), F_SKIP());
	assert_true(receive(s, &file));
	assert_false(file);
	assert_line(s, "MESSAGE=mail 5-1 attempt 2: will be retried due_ms=-5 why=\"so it is\" none=- cut=yes nothing=-");
	assert_line(s, "PRIORITY=6");
	assert_line(s, "SYSLOG_IDENTIFIER=xackd");
	assert_line(s, "XACKD_EVENT=job.retry");
	assert_line(s, "XACKD_HOST=h1");
	assert_line(s, "XACKD_JOB=mail");
	assert_line(s, "XACKD_STREAM=out");
	assert_line(s, "XACKD_GROUP=xackd");
	assert_line(s, "XACKD_ID=5-1");
	assert_line(s, "XACKD_ATTEMPT=2");
	assert_line(s, "XACKD_WORKER=default/3");
	assert_line(s, "XACKD_PID=77");
	assert_line(s, "XACKD_DUE_MS=-5");
	assert_line(s, "XACKD_WHY=so it is");
	assert_line(s, "XACKD_CUT=true");
	assert_null(strstr(s->text, "XACKD_NOTHING"));
	assert_non_null(strstr(s->text, "\nMESSAGE_ID="));
	assert_int_equal(strspn(strstr(s->text, "\nMESSAGE_ID=") + 12, "0123456789abcdef"), 32);
	assert_false(receive(s, &file));
}

static void test_nothing_in_particular(void **state)
{
	struct scene *s = *state;
	bool file;

	event(s->log, DAEMON_FAILED, NULL, F_SKIP());
	assert_true(receive(s, &file));
	assert_line(s, "MESSAGE=cannot go on");
	assert_line(s, "PRIORITY=3");
}

/* What a handler writes cannot make a field of its own, and is the message. */
static void test_hostile_values(void **state)
{
	struct scene *s = *state;
	const char raw[] = "a\nMESSAGE_ID=0\n\xff" "b";
	uint64_t size = 0;
	bool file;

	event(s->log, JOB_OUTPUT, (&(struct event_about){ .job = "j", .id = "1-1" }), F_I64("fd", 1),
	      F_BYTES("line", ((struct bytes){ raw, sizeof(raw) - 1 })));
	assert_true(receive(s, &file));
	assert_line(s, "MESSAGE=j 1-1: a\\x0aMESSAGE_ID=0\\x0a\xef\xbf\xbd" "b");
	const char *at = memmem(s->text, s->n, "\nXACKD_LINE\n", 12);
	assert_non_null(at);
	memcpy(&size, at + 12, sizeof(size));
	assert_int_equal(le64toh(size), sizeof(raw) - 1);
	assert_memory_equal(at + 20, raw, sizeof(raw) - 1);
	assert_int_equal(at[20 + sizeof(raw) - 1], '\n');
}

static void test_large_ones_are_files(void **state)
{
	struct scene *s = *state;
	AUTO_FREE char *big = malloc(BIG);
	bool file = false;

	assert_non_null(big);
	memset(big, 'x', BIG);
	event(s->log, JOB_OUTPUT, NULL, F_BYTES("line", ((struct bytes){ big, BIG })));
	assert_true(receive(s, &file));
	assert_true(file); /* no system takes that as a datagram */
	assert_true(s->n > 2 * BIG);
	assert_line(s, "XACKD_EVENT=job.output");
	assert_false(log_pending(s->log));
}

/* Nobody reads: the first that finds no room waits a little, the others do not; when it is read again, what was dropped is told. */
static void test_stalled_receiver(void **state)
{
	struct scene *s = *state;
	bool file, told = false;

	int64_t before = clock_mono_ms();
	for (int i = 0; i < 3000; i++)
		event(s->log, JOB_PROGRESS, NULL, F_I64("n", i));
	assert_true(clock_mono_ms() - before < 1000);
	assert_true(log_pending(s->log));
	before = clock_mono_ms();
	log_drain(s->log, 100);
	assert_true(clock_mono_ms() - before < 1000);
	int got = 0;
	while (receive(s, &file))
		got++;
	assert_true(got > 0 && got < 3000);
	event(s->log, JOB_PROGRESS, NULL, F_I64("n", 3000));
	while (receive(s, &file)) {
		char wanted[64];
		snprintf(wanted, sizeof(wanted), "\nXACKD_COUNT=%d\n", 3000 - got);
		if (strstr(s->text, "XACKD_EVENT=log.dropped")) {
			if (!strstr(s->text, wanted))
				print_error("%d of 3000 came; %s", got, s->text);
			told = strstr(s->text, wanted) != NULL;
		}
	}
	assert_true(told);
	assert_false(log_pending(s->log));
}

static void test_receiver_that_is_started_again(void **state)
{
	struct scene *s = *state;
	bool file;

	(void)close(s->receiver);
	event(s->log, JOB_PROGRESS, NULL, F_I64("n", 1));
	assert_true(log_pending(s->log));
	assert_int_equal(bind_receiver(s), 0);
	event(s->log, JOB_PROGRESS, NULL, F_I64("n", 2));
	assert_true(receive(s, &file));
	assert_line(s, "XACKD_N=2");
	assert_true(receive(s, &file));
	assert_line(s, "XACKD_EVENT=log.dropped");
	assert_line(s, "XACKD_COUNT=1");
}

static void test_auto(void **state)
{
	struct scene *s = *state;
	struct stat st;
	char stream[64];

	assert_int_equal(fstat(s->receiver, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
	assert_int_equal(log_style_auto(s->receiver), LOG_STYLE_JOURNAL);
	assert_int_equal(log_style_auto(s->null), LOG_STYLE_JSON);
	(void)unsetenv("JOURNAL_STREAM");
	assert_int_equal(log_style_auto(s->receiver), LOG_STYLE_JSON);
}

/* No journal here: JSON. */
static void test_none(void **state)
{
	char text[4096];
	int ends[2];
	(void)state;

	assert_int_equal(setenv("XACKD_JOURNAL_SOCKET", "/nonexistent/socket", 1), 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	struct log *log = log_new(ends[1], LOG_STYLE_JOURNAL, EVENT_DEBUG, "h1", NULL);
	event(log, DAEMON_READY, NULL, F_SKIP());
	assert_true(read(ends[0], text, sizeof(text)) > 0);
	assert_int_equal(text[0], '{');
	log_free(log);
	(void)close(ends[0]);
	(void)close(ends[1]);
	(void)unsetenv("XACKD_JOURNAL_SOCKET");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fields, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_nothing_in_particular, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_hostile_values, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_large_ones_are_files, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_stalled_receiver, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_receiver_that_is_started_again, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_auto, open_scene, close_scene),
		cmocka_unit_test(test_none),
	};
	return RUN_GROUP(tests);
}
