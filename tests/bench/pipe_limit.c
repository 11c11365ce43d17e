/* The limit of everything that feeds processes with lines of JSON: WORKERS processes, each with one handler, that keep WINDOW lines in flight, each
 * line encoded by jansson, each answer decoded by it. No Redis. The clock starts when each handler has answered its first line.
 *
 * Usage: pipe_limit WORKERS JOBS WINDOW HANDLER [ARGUMENT …]     prints jobs a second. */
#include <fcntl.h>
#include <jansson.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t add_line(char *out, size_t size, long n)
{
	char id[40], text[24];
	snprintf(id, sizeof(id), "1700000000000-%ld", n);
	snprintf(text, sizeof(text), "%ld", n);
	json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:i,s:i,s:i,s:I,s:{s:s}}", "id", id, "stream", "work", "group", "xackd", "job", "work", "attempt", 1,
			      "delivery", 1, "max_attempts", 5, "enqueued_ms", (json_int_t)1700000000000, "fields", "n", text);
	size_t length = json_dumpb(o, out, size, JSON_COMPACT);
	out[length++] = '\n';
	json_decref(o);
	return length;
}

/* How many whole answers stood in the buffer; the rest moves to its front. */
static long take_answers(char *in, size_t *n)
{
	long taken = 0;
	char *line = in;

	for (char *end; (end = memchr(line, '\n', *n - (size_t)(line - in))) != NULL; line = end + 1, taken++) {
		json_t *o = json_loadb(line, (size_t)(end - line), 0, NULL);
		if (!o || strcmp(json_string_value(json_object_get(o, "status")), "ok") != 0)
			exit(1);
		json_decref(o);
	}
	*n -= (size_t)(line - in);
	memmove(in, line, *n);
	return taken;
}

struct handler {
	int to, from;
	pid_t pid;
	char in[1 << 16]; /* answers that are not whole yet */
	size_t held;
};

static void start_handler(struct handler *h, char **argv)
{
	posix_spawn_file_actions_t actions;
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
		exit(1);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, to[0], 0);
	posix_spawn_file_actions_adddup2(&actions, from[1], 3);
	char *const clean[] = { "PATH=/usr/local/bin:/usr/bin:/bin", NULL };
	if (posix_spawn(&h->pid, argv[0], &actions, NULL, argv, clean) != 0)
		exit(1);
	close(to[0]);
	close(from[1]);
	h->to = to[1];
	h->from = from[0];
}

static void feed(struct handler *h, long jobs, long window)
{
	static char out[1 << 20];
	long sent = 0, done = 0;

	while (done < jobs) {
		size_t n = 0;
		for (; sent < jobs && sent - done < window && n + 512 < sizeof(out); sent++)
			n += add_line(out + n, sizeof(out) - n, sent);
		if (n > 0 && write(h->to, out, n) != (ssize_t)n)
			exit(1);
		do {
			ssize_t got = read(h->from, h->in + h->held, sizeof(h->in) - h->held);
			if (got <= 0)
				exit(1);
			h->held += (size_t)got;
			done += take_answers(h->in, &h->held);
		} while (sent - done > window / 2 && done < jobs);
	}
}

/* Says by a byte on `say` that its handler runs, begins when `go` ends, and says by another that all is done. */
static void worker(long jobs, long window, char **argv, int say, int go)
{
	static struct handler h;
	char byte = 0;

	start_handler(&h, argv);
	feed(&h, 1, 1);
	if (write(say, &byte, 1) != 1 || read(go, &byte, 1) != 0)
		exit(1);
	feed(&h, jobs, window);
	if (write(say, &byte, 1) != 1)
		exit(1);
	close(h.to);
	waitpid(h.pid, NULL, 0);
	_exit(0);
}

/* A byte from each, or one of them ended before. */
static void hear(int from, int workers)
{
	char byte;

	for (int i = 0; i < workers; i++) {
		if (read(from, &byte, 1) != 1)
			exit(1);
	}
}

int main(int argc, char **argv)
{
	int said[2], go[2];

	if (argc < 5) {
		fprintf(stderr, "usage: pipe_limit WORKERS JOBS WINDOW HANDLER [ARGUMENT ...]\n");
		return 64;
	}
	int workers = atoi(argv[1]);
	long jobs = atol(argv[2]) / workers;
	if (pipe2(said, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0)
		return 1;
	for (int i = 0; i < workers; i++) {
		if (fork() == 0) {
			close(said[0]);
			close(go[1]);
			worker(jobs, atol(argv[3]), argv + 4, said[1], go[0]);
		}
	}
	alarm(170); /* should one of them fail, the others would wait */
	close(said[1]);
	close(go[0]);
	hear(said[0], workers);
	double start = now_s();
	close(go[1]);
	hear(said[0], workers);
	double took = now_s() - start;
	for (int status; wait(&status) > 0;) {
		if (status != 0)
			return 1;
	}
	printf("%.1f\n", (double)(jobs * workers) / took);
	return 0;
}
