/* The control socket: a server on a loop in a child process, asked by honest and by rude clients. */
#include "unit.h"

#include <ev.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "ipc/control.h"

enum { CALL_MS = 10 * 1000 };

struct scene {
	char folder[64];
	char path[96];
	pid_t server;
};

static json_t *answer(void *user, json_t *request)
{
	json_t *big = json_object_get(request, "big");
	(void)user;
	if (big) { /* more than a socket's buffer takes at once */
		AUTO_BUF text = { 0 };
		for (json_int_t i = 0; i < json_integer_value(big); i++)
			buf_add_char(&text, 'z');
		return json_pack("{s:s}", "text", text.p);
	}
	return json_pack("{s:O}", "echo", request);
}

/* Says on ready that it listens, then serves until it is killed. */
static void __attribute__((noreturn)) serve(const char *path, int ready)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	struct control_server *server = NULL;
	struct fault fault;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	int r = control_server_start(loop, path, answer, NULL, &server, &fault);
	(void)!write(ready, &r, sizeof(r));
	if (r == 0)
		ev_run(loop, 0);
	_exit(1);
}

static int start_server(struct scene *s)
{
	int ends[2], r = -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	s->server = fork();
	if (s->server == 0)
		serve(s->path, ends[1]);
	(void)close(ends[1]);
	ssize_t n = read(ends[0], &r, sizeof(r));
	(void)close(ends[0]);
	return n == (ssize_t)sizeof(r) ? r : -1;
}

static void stop_server(struct scene *s)
{
	if (s->server <= 0)
		return;
	(void)kill(s->server, SIGKILL);
	(void)waitpid(s->server, NULL, 0);
	s->server = 0;
}

static int open_scene(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	if (!s)
		return -1;
	snprintf(s->folder, sizeof(s->folder), "/tmp/xackd-unit-control-XXXXXX");
	if (!mkdtemp(s->folder))
		return -1;
	snprintf(s->path, sizeof(s->path), "%s/c.sock", s->folder);
	*state = s;
	return start_server(s);
}

static int close_scene(void **state)
{
	struct scene *s = *state;
	stop_server(s);
	(void)unlink(s->path);
	(void)rmdir(s->folder);
	free(s);
	return 0;
}

static int raw_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void test_call(void **state)
{
	const struct scene *s = *state;
	AUTO_JSON *request = json_pack("{s:s}", "verb", "status");
	AUTO_JSON *got = NULL;
	struct fault fault;
	struct stat st;

	assert_int_equal(control_call(s->path, request, CALL_MS, &got, &fault), 0);
	assert_string_equal(json_string_value(json_object_get(json_object_get(got, "echo"), "verb")), "status");
	assert_int_equal(stat(s->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
}

static void test_big_answer(void **state)
{
	const struct scene *s = *state;
	AUTO_JSON *request = json_pack("{s:i}", "big", 3000000);
	AUTO_JSON *got = NULL;
	struct fault fault;

	assert_int_equal(control_call(s->path, request, CALL_MS, &got, &fault), 0);
	assert_int_equal(json_string_length(json_object_get(got, "text")), 3000000);
}

static void test_slow_peer_keeps_nobody(void **state)
{
	const struct scene *s = *state;
	AUTO_JSON *request = json_pack("{s:s}", "verb", "x");
	struct fault fault;
	AUTO_FD slow = raw_connect(s->path);

	assert_int_equal(write(slow, "{\"verb\":", 8), 8);
	for (int i = 0; i < 20; i++) {
		AUTO_JSON *got = NULL;
		assert_int_equal(control_call(s->path, request, CALL_MS, &got, &fault), 0);
	}
	assert_int_equal(write(slow, "\"late\"}\n", 8), 8);
	char text[256];
	ssize_t n = read(slow, text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, "{\"echo\":{\"verb\":\"late\"}}\n");
	assert_int_equal(read(slow, text, sizeof(text)), 0); /* one request, one answer */
}

static void test_rude_peers(void **state)
{
	static const char *const requests[] = { "nonsense\n", "[]\n", "7\n", "\n", "{\"a\":1,\"a\":2}\n", "{\"a\":\n" };
	const struct scene *s = *state;
	char text[256];

	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		AUTO_FD fd = raw_connect(s->path);
		assert_int_equal(write(fd, requests[i], strlen(requests[i])), (ssize_t)strlen(requests[i]));
		ssize_t n = read(fd, text, sizeof(text) - 1);
		assert_true(n > 0);
		text[n] = '\0';
		assert_non_null(strstr(text, "error"));
	}
	/* Too long a request: cut off, and nobody else is disturbed. */
	AUTO_FD fd = raw_connect(s->path);
	AUTO_BUF flood = { 0 };
	for (int i = 0; i < 200 * 1024; i++)
		buf_add_char(&flood, 'x');
	(void)signal(SIGPIPE, SIG_IGN);
	(void)!write(fd, flood.p, flood.n);
	ssize_t n;
	while ((n = read(fd, text, sizeof(text))) > 0)
		;
	assert_true(n == 0 || errno == ECONNRESET);
	test_call(state);
}

static void test_peers_that_leave(void **state)
{
	const struct scene *s = *state;

	for (int i = 0; i < 100; i++) {
		AUTO_FD fd = raw_connect(s->path);
		if (i % 2)
			assert_int_equal(write(fd, "{\"big\":100000}\n", 15), 15);
	}
	test_call(state);
}

/* Who is too many waits in the backlog, however many they are: descriptors are for work. */
static void test_too_many_peers_wait(void **state)
{
	enum { PEERS_MAX = 64, EARLY_MS = 300 };
	const struct scene *s = *state;
	int peers[PEERS_MAX];
	char text[64];

	for (int i = 0; i < PEERS_MAX; i++)
		peers[i] = raw_connect(s->path);
	AUTO_FD late = raw_connect(s->path);
	struct pollfd answered = { .fd = late, .events = POLLIN };
	assert_int_equal(write(late, "{}\n", 3), 3);
	assert_int_equal(poll(&answered, 1, EARLY_MS), 0);
	(void)close(peers[0]);
	assert_int_equal(poll(&answered, 1, CALL_MS), 1);
	assert_true(read(late, text, sizeof(text)) > 0);
	for (int i = 1; i < PEERS_MAX; i++)
		(void)close(peers[i]);
	test_call(state);
}

static void test_nobody_there(void **state)
{
	struct scene *s = *state;
	AUTO_JSON *request = json_pack("{s:s}", "verb", "x");
	json_t *got = NULL;
	struct fault fault;
	char path[128];

	snprintf(path, sizeof(path), "%s/none.sock", s->folder);
	assert_int_equal(control_call(path, request, CALL_MS, &got, &fault), -ENOENT);
	stop_server(s); /* it could not remove its socket */
	assert_int_equal(control_call(s->path, request, CALL_MS, &got, &fault), -ECONNREFUSED);
	assert_non_null(strstr(fault.text, s->path));
	assert_int_equal(start_server(s), 0); /* replaces it */
	test_call(state);
}

static void test_second_server_is_refused(void **state)
{
	struct scene *s = *state;
	struct scene second = *s;

	assert_int_equal(start_server(&second), -EADDRINUSE);
	stop_server(&second);
	test_call(state);
}

static void test_what_is_no_socket_is_left_alone(void **state)
{
	struct scene *s = *state;
	struct scene other = *s;

	snprintf(other.path, sizeof(other.path), "%.63s/file", s->folder);
	AUTO_FD fd = open(other.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_true(start_server(&other) < 0);
	stop_server(&other);
	assert_int_equal(access(other.path, F_OK), 0);
	(void)unlink(other.path);
}

static void test_path_too_long(void **state)
{
	AUTO_JSON *request = json_pack("{s:s}", "verb", "x");
	AUTO_BUF path = { 0 };
	json_t *got = NULL;
	struct fault fault;
	(void)state;

	for (int i = 0; i < 200; i++)
		buf_add_text(&path, "/x");
	assert_int_equal(control_call(path.p, request, CALL_MS, &got, &fault), -ENAMETOOLONG);
}

/* Listens and never answers. */
static void test_time_out(void **state)
{
	struct scene *s = *state;
	AUTO_JSON *request = json_pack("{s:s}", "verb", "x");
	json_t *got = NULL;
	struct fault fault;

	(void)kill(s->server, SIGSTOP);
	assert_int_equal(control_call(s->path, request, 50, &got, &fault), -ETIMEDOUT);
	(void)kill(s->server, SIGCONT);
	test_call(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_call, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_big_answer, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_slow_peer_keeps_nobody, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_rude_peers, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_peers_that_leave, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_too_many_peers_wait, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_nobody_there, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_second_server_is_refused, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_what_is_no_socket_is_left_alone, open_scene, close_scene),
		cmocka_unit_test(test_path_too_long),
		cmocka_unit_test_setup_teardown(test_time_out, open_scene, close_scene),
	};
	return RUN_GROUP(tests);
}
