/* The measuring rod for latency: the least that could be done to run a command for an entry.
 *
 *   latency stamp FIFO            writes the wall clock in ns to FIFO: the handler, of both sides
 *   latency bare SOCKET STREAM FIFO    a blocked XREADGROUP, posix_spawn of the former, wait, XACK, and again
 *
 * No retries, no events, no lease, no output: what xackd adds to this is what it costs. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int stamp(const char *fifo)
{
	struct timespec now;
	char text[64];
	clock_gettime(CLOCK_REALTIME, &now);
	int n = snprintf(text, sizeof(text), "%lld\n", (long long)now.tv_sec * 1000000000 + now.tv_nsec);
	int fd = open(fifo, O_WRONLY | O_CLOEXEC);
	return fd < 0 || write(fd, text, (size_t)n) != n;
}

static int dial(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address.sun_path))
		return -1;
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? fd : -1;
}

/* Commands in Redis's inline form: no argument here holds a blank. */
static int say(int fd, const char *text)
{
	size_t n = strlen(text);
	return write(fd, text, n) == (ssize_t)n ? 0 : -1;
}

/* One entry's reply comes in one piece; its ID is the fifth line or later: the first that has a '-' in it. */
static int read_id(int fd, char *id, size_t size)
{
	char reply[4096];
	ssize_t n = read(fd, reply, sizeof(reply) - 1);
	if (n <= 0 || reply[0] != '*')
		return -1;
	reply[n] = '\0';
	for (char *line = strtok(reply, "\r\n"); line; line = strtok(NULL, "\r\n")) {
		if (line[0] >= '0' && line[0] <= '9' && strchr(line, '-') && strlen(line) < size) {
			strcpy(id, line);
			return 0;
		}
	}
	return -1;
}

static int bare(char *self, const char *path, const char *stream, char *fifo)
{
	char text[512], id[64], answer[64];
	int fd = dial(path);
	if (fd < 0)
		return 1;
	snprintf(text, sizeof(text), "XREADGROUP GROUP bare one COUNT 1 BLOCK 0 STREAMS %s >\r\n", stream);
	while (say(fd, text) == 0 && read_id(fd, id, sizeof(id)) == 0) {
		char *argv[] = { self, "stamp", fifo, NULL };
		pid_t pid;
		if (posix_spawn(&pid, self, NULL, NULL, argv, environ) != 0 || waitpid(pid, NULL, 0) != pid)
			return 1;
		char ack[256];
		snprintf(ack, sizeof(ack), "XACK %s bare %s\r\n", stream, id);
		if (say(fd, ack) != 0 || read(fd, answer, sizeof(answer)) <= 0)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "stamp") == 0)
		return stamp(argv[2]);
	if (argc == 5 && strcmp(argv[1], "bare") == 0)
		return bare(argv[0], argv[2], argv[3], argv[4]);
	return 64;
}
