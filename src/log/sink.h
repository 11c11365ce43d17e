/* The sink: whole lines onto one descriptor from several processes and threads, without ever blocking. Private to src/log. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { SINK_TAIL_BYTES = 256 * 1024 };

/* In memory that all processes of a daemon share. */
struct sink_shared {
	pthread_mutex_t lock;  /* robust, between processes: one writer at a time */
	_Atomic uint64_t dropped;
	_Atomic uint64_t dropped_ever; /* never set back */
	_Atomic uint64_t rest; /* of a line that was begun: where it is in the tail << 32 | how long; one word, so that a writer's death leaves no half of it */
	char tail[SINK_TAIL_BYTES]; /* what rest says of it always ends with its newline */
};

enum sink_kind { SINK_FILE, SINK_PIPE, SINK_SOCKET };

struct sink {
	int fd;
	int own_fd; /* the same file opened again without blocking, -1 = fd is the caller's */
	enum sink_kind kind;
	struct sink_shared *shared;
	bool own_shared;
};

int sink_init(struct sink *s, int fd, void *shared);
void sink_done(struct sink *s);
/* One line with its newline. False: it was dropped and counted. */
bool sink_write(struct sink *s, struct bytes line);
/* Try to write the rest that waits. True: nothing waits. */
bool sink_flush(struct sink *s);
bool sink_pending(const struct sink *s);
/* A line could not be written: it is counted. */
void sink_count_dropped(struct sink *s);
/* What was dropped since the last call. */
uint64_t sink_take_dropped(struct sink *s);
void sink_shared_init(struct sink_shared *shared);
