/* The limit of everything that takes entries from a stream and acknowledges them: CLIENTS processes that do XREADGROUP COUNT n and one XACK for
 * what came, both in one write, and nothing else.
 *
 * Usage: redis_limit SOCKET STREAM GROUP CLIENTS COUNT     ends when the stream is read; prints entries a second. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1000 };

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static redisReply *answer(redisContext *c)
{
	void *reply = NULL;
	if (redisGetReply(c, &reply) != REDIS_OK) {
		fprintf(stderr, "redis_limit: %s\n", c->errstr);
		exit(1);
	}
	return reply;
}

static void client(char **argv, int number, int count)
{
	const char *ack[MOST + 3] = { "XACK", argv[2], argv[3] };
	char ids[MOST][48], name[32];
	size_t acks = 0;
	redisContext *c = redisConnectUnix(argv[1]);

	if (!c || c->err)
		exit(1);
	snprintf(name, sizeof(name), "bare-%d", number);
	for (size_t i = 0; i < MOST; i++)
		ack[i + 3] = ids[i];
	for (;;) {
		if (acks > 0)
			redisAppendCommandArgv(c, (int)acks + 3, ack, NULL);
		redisAppendCommand(c, "XREADGROUP GROUP %s %s COUNT %d STREAMS %s >", argv[3], name, count, argv[2]);
		if (acks > 0)
			freeReplyObject(answer(c));
		redisReply *reply = answer(c);
		if (reply->type != REDIS_REPLY_ARRAY)
			_exit(reply->type == REDIS_REPLY_NIL ? 0 : 1);
		redisReply *entries = reply->element[0]->element[1];
		acks = entries->elements < MOST ? entries->elements : MOST;
		for (size_t i = 0; i < acks; i++)
			snprintf(ids[i], sizeof(ids[i]), "%s", entries->element[i]->element[0]->str);
		freeReplyObject(reply);
	}
}

int main(int argc, char **argv)
{
	if (argc != 6) {
		fprintf(stderr, "usage: redis_limit SOCKET STREAM GROUP CLIENTS COUNT\n");
		return 64;
	}
	redisContext *c = redisConnectUnix(argv[1]);
	redisReply *length = c && !c->err ? redisCommand(c, "XLEN %s", argv[2]) : NULL;
	if (!length)
		return 1;
	double start = now_s();
	for (int i = 0; i < atoi(argv[4]); i++) {
		if (fork() == 0)
			client(argv, i, atoi(argv[5]));
	}
	while (wait(NULL) > 0)
		;
	printf("%.1f\n", (double)length->integer / (now_s() - start));
	return 0;
}
