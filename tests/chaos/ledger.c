/* The handler of the chaos runs: one line when it begins, one when its work is done, both whole and on disk.
 *
 *   ledger FILE ID ATTEMPT DELIVERY SEQ HOST SLOW_MS
 *
 * What it does follows from SEQ alone, so that each run of an entry does the same: most work for some milliseconds, some fail
 * once, some never can be done (exit 65). The end is written before the exit: a handler killed in between was done, and
 * nobody can know it. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int note(const char *file, char kind, char **argv, int code)
{
	struct timespec now;
	char line[256];
	int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

	clock_gettime(CLOCK_REALTIME, &now);
	int n = snprintf(line, sizeof(line), "%c %s %s %s %s %s %lld%09ld %d %d\n", kind, argv[2], argv[3], argv[4], argv[5], argv[6],
			 (long long)now.tv_sec, now.tv_nsec, (int)getpid(), code);
	if (fd < 0 || write(fd, line, (size_t)n) != n || (kind == 'E' && fdatasync(fd) < 0))
		return -1;
	return close(fd);
}

int main(int argc, char **argv)
{
	if (argc != 8)
		return 64;
	uint64_t seq = strtoull(argv[5], NULL, 10);
	uint64_t mixed = (seq + 1) * UINT64_C(0x9E3779B97F4A7C15) >> 40;
	long ms = seq % 503 == 11 ? strtol(argv[7], NULL, 10) : seq % 97 == 3 ? 150 : (long)(mixed % 6);
	int code = seq % 211 == 5 ? 65 : seq % 41 == 7 && strcmp(argv[3], "1") == 0 ? 75 : 0;
	struct timespec work = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	if (note(argv[1], 'S', argv, 0) < 0)
		return 70;
	nanosleep(&work, NULL);
	if (note(argv[1], 'E', argv, code) < 0)
		return 70;
	return code;
}
