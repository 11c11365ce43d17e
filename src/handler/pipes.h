/* The pipes on which a handler speaks: stdout, stderr and fd 3, fresh for every run. */
#pragma once

#include <ev.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "handler/spawn.h"

enum {
	PIPES_FIRST_FD = STDOUT_FILENO,
	PIPES_COUNT = SPAWN_FDS - PIPES_FIRST_FD,
	PIPES_CHUNK = 64 * 1024, /* read at most this much of a pipe before other events have their turn */
};

struct pipe_end {
	ev_io io;
	int fd; /* our end; -1 = none, or closed by the handler */
};

struct pipes {
	struct ev_loop *loop;
	struct pipe_end ends[PIPES_COUNT];
	/* Bytes from the handler's descriptor 1, 2 or 3. It may close the pipes. */
	void (*take)(void *user, int fd, struct bytes chunk);
	/* Nobody has that descriptor any more, and all of it was read. */
	void (*ended)(void *user, int fd);
	void *user;
	char chunk[PIPES_CHUNK];
};

void pipes_init(struct pipes *p, struct ev_loop *loop, void (*take)(void *user, int fd, struct bytes chunk), void (*ended)(void *user, int fd), void *user);
/* Make them. ret_fds[1 … 3] become the handler's ends, the caller's to close, also those made before a failure; with discard, stdout is
 * /dev/null. owner: who shall be able to open /dev/stderr again; NULL = as it is. 0 or -errno. */
MUST_CHECK int pipes_open(struct pipes *p, bool discard, const struct spawn_user *owner, int ret_fds[SPAWN_FDS]);
void pipes_watch(struct pipes *p);
/* Read once from descriptor fd (1, 2, 3), if something is there. */
void pipes_read(struct pipes *p, int fd);
/* The handler and all of its own are dead: read what still lies in the pipes, and close them. */
void pipes_drain(struct pipes *p);
void pipes_close(struct pipes *p);
