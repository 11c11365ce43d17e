/* The limit of everything that runs a command a job: WORKERS processes that each do nothing but posix_spawn it and wait, with the stdin and the
 * output pipes that a handler of xackd gets (a line of JSON on stdin; stdout, stderr and fd 3 read to their end).
 *
 * Usage: spawn_limit [--bare] WORKERS JOBS COMMAND [ARGUMENT …]     --bare: stdin, stdout and stderr are /dev/null
 * Prints jobs a second. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PIPES = 3 };

static const char line[] = "{\"id\":\"1700000000000-0\",\"stream\":\"work\",\"group\":\"xackd\",\"job\":\"work\",\"attempt\":1,\"delivery\":1,"
			   "\"max_attempts\":5,\"enqueued_ms\":1700000000000,\"fields\":{\"n\":\"1\"}}\n";

static char *const clean[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/root", "LANG=C.UTF-8", NULL };

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void wait_for(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fprintf(stderr, "spawn_limit: the command failed (%d)\n", status);
}

static void one_bare(char **argv)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	for (int fd = 0; fd <= 2; fd++)
		posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
	if (posix_spawn(&pid, argv[0], &actions, NULL, argv, clean) != 0)
		fail(argv[0]);
	posix_spawn_file_actions_destroy(&actions);
	wait_for(pid);
}

static void one_with_pipes(char **argv)
{
	posix_spawn_file_actions_t actions;
	int in[2], out[PIPES][2];
	char chunk[4096];
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) < 0 || write(in[1], line, sizeof(line) - 1) < 0)
		fail("pipe");
	close(in[1]);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], 0);
	for (int i = 0; i < PIPES; i++) {
		if (pipe2(out[i], O_CLOEXEC) < 0)
			fail("pipe");
		posix_spawn_file_actions_adddup2(&actions, out[i][1], i + 1);
	}
	if (posix_spawn(&pid, argv[0], &actions, NULL, argv, clean) != 0)
		fail(argv[0]);
	posix_spawn_file_actions_destroy(&actions);
	close(in[0]);
	for (int i = 0; i < PIPES; i++) {
		close(out[i][1]);
		while (read(out[i][0], chunk, sizeof(chunk)) > 0)
			;
		close(out[i][0]);
	}
	wait_for(pid);
}

int main(int argc, char **argv)
{
	bool bare = argc > 1 && strcmp(argv[1], "--bare") == 0;
	int at = bare ? 2 : 1;

	if (argc < at + 3) {
		fprintf(stderr, "usage: spawn_limit [--bare] WORKERS JOBS COMMAND [ARGUMENT ...]\n");
		return 64;
	}
	int workers = atoi(argv[at]);
	long jobs = atol(argv[at + 1]) / workers;
	double start = now_s();
	for (int i = 0; i < workers; i++) {
		pid_t pid = fork();
		if (pid < 0)
			fail("fork");
		if (pid > 0)
			continue;
		for (long n = 0; n < jobs; n++)
			bare ? one_bare(argv + at + 2) : one_with_pipes(argv + at + 2);
		_exit(0);
	}
	while (wait(NULL) > 0)
		;
	printf("%.1f\n", (double)(jobs * workers) / (now_s() - start));
	return 0;
}
