/* The limit of everything that feeds processes with lines of JSON: WORKERS processes, each with one handler, that keep WINDOW lines in flight, each
 * line encoded by jansson, each answer decoded by it. No Redis.
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
	char id[32], text[16];
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

static void worker(long jobs, long window, char **argv)
{
	static char out[1 << 20], in[1 << 16];
	posix_spawn_file_actions_t actions;
	int to[2], from[2];
	long sent = 0, done = 0;
	size_t held = 0;
	pid_t pid;

	if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
		exit(1);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, to[0], 0);
	posix_spawn_file_actions_adddup2(&actions, from[1], 3);
	char *const clean[] = { "PATH=/usr/local/bin:/usr/bin:/bin", NULL };
	if (posix_spawn(&pid, argv[0], &actions, NULL, argv, clean) != 0)
		exit(1);
	close(to[0]);
	close(from[1]);
	while (done < jobs) {
		size_t n = 0;
		for (; sent < jobs && sent - done < window && n + 512 < sizeof(out); sent++)
			n += add_line(out + n, sizeof(out) - n, sent);
		if (n > 0 && write(to[1], out, n) != (ssize_t)n)
			exit(1);
		do {
			ssize_t got = read(from[0], in + held, sizeof(in) - held);
			if (got <= 0)
				exit(1);
			held += (size_t)got;
			done += take_answers(in, &held);
		} while (sent - done > window / 2 && done < jobs);
	}
	close(to[1]);
	waitpid(pid, NULL, 0);
	_exit(0);
}

int main(int argc, char **argv)
{
	if (argc < 5) {
		fprintf(stderr, "usage: pipe_limit WORKERS JOBS WINDOW HANDLER [ARGUMENT ...]\n");
		return 64;
	}
	int workers = atoi(argv[1]);
	long jobs = atol(argv[2]) / workers;
	double start = now_s();
	for (int i = 0; i < workers; i++) {
		if (fork() == 0)
			worker(jobs, atol(argv[3]), argv + 4);
	}
	for (int status; wait(&status) > 0;) {
		if (status != 0)
			return 1;
	}
	printf("%.1f\n", (double)(jobs * workers) / (now_s() - start));
	return 0;
}
