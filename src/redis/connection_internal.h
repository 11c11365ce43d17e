/* What a connection is made of. Private to src/redis: connection.c (states, reading, writing), greeting.c,
 * wait.c (the queue of what waits, and callers that block). */
#pragma once

#include <hiredis/hiredis.h>

#include "redis/connection.h"
#include "redis/scripts.h"

/* A command whose answer has not come. */
struct waiting {
	connection_reply_fn *fn;
	void *user;
	int64_t sent_mono_ms;
	int64_t timeout_ms;      /* as given to connection_send */
	bool waits;              /* Redis may take its time, and looks at nothing behind it meanwhile */
	struct command *script;  /* a copy of a script call, for NOSCRIPT; else NULL; owned */
};

enum { GREETING_MAX = 8 };

struct connection {
	const struct redis_target *target;
	char *name;
	connection_state_fn *state_fn;
	void *user;
	enum connection_state state;
	redisContext *ctx;        /* NULL while down */
	struct buf out;           /* not yet written from out_at on */
	size_t out_at;
	struct waiting *ring;
	size_t ring_cap, ring_head, ring_n;
	int64_t head_mono_ms;     /* when the oldest waiting command became that */
	int64_t began_mono_ms;    /* connection_start */
	int64_t limit_ms;
	struct connection_facts facts;
	bool clock_known;
	char (*hashes)[SCRIPT_HASH_SIZE]; /* by script, "" = not yet computed */
	int greeting[GREETING_MAX];       /* the steps sent, in order (greeting.c) */
	size_t greeting_n, greeting_at;
	uint64_t epoch;           /* counts starts and ends: a loop notices that its connection is not the same any more */
	unsigned depth;           /* calls of ours on the stack: memory must outlive them */
	bool doomed;              /* connection_free was called from inside */
	bool going_down;
	bool start_wanted;        /* connection_start was called while going down */
	redisReply *current;      /* the reply whose callback runs; NULL once taken */
	struct redis_error error; /* why it went down */
};

/* wait.c */
MUST_CHECK int waiting_push(struct connection *c, const struct waiting *w); /* 0, -ENOMEM */
bool waiting_oldest_is_script(struct connection *c);
bool waiting_read_follows(struct connection *c); /* behind the oldest is one that may wait */
struct waiting waiting_pop(struct connection *c);                          /* the oldest; there must be one */
void waiting_done(struct waiting *w);
struct command *command_copy(const struct command *cmd);                   /* gives, or NULL */

/* The arguments may point into *e. */
void error_text(struct redis_error *e, enum reaction reaction, const char *advice, const char *format, ...) PRINTF_LIKE(4, 5);

void connection_enter(struct connection *c);
void connection_leave(struct connection *c); /* may free c */
/* Close, answer all waiting commands with NULL, tell the owner. The error is copied. */
void connection_go_down(struct connection *c, const struct redis_error *error);
void connection_set_state(struct connection *c, enum connection_state state);
/* As connection_send, in any state but DOWN. */
void connection_queue(struct connection *c, const struct command *cmd, int64_t timeout_ms, connection_reply_fn *fn, void *user);
void connection_write_out(struct connection *c);

/* greeting.c: the socket stands: send the greeting. READY or DOWN follows. */
void greeting_send(struct connection *c);
