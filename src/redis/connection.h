/* One connection to Redis: non-blocking inside, with a queue of commands that wait for their answers, so that one
 * implementation serves the workers (driven by their libev loop) and blocking callers (the reaper, xackctl, through
 * connection_call). It connects, greets (AUTH, SELECT, CLIENT SETNAME, CLIENT ID, INFO server for run_id and version, TIME,
 * ROLE must be master: skipped where ACL forbids), and then says it is ready. It never reconnects by itself: the owner decides when
 * (backoff is the owner's, `connection_start` again). One thread at a time; never shared over fork.
 *
 * Deadlines: every command has one unless sent with CONNECTION_NO_TIMEOUT; a missed one drops the connection (the answers could no
 * longer be told apart), and every waiting command gets NULL as its answer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/fault.h"
#include "redis/command.h"
#include "redis/reaction.h"
#include "redis/target.h"

struct redisReply;
struct connection;

enum connection_state { CONNECTION_DOWN, CONNECTION_CONNECTING, CONNECTION_GREETING, CONNECTION_READY };

enum { CONNECTION_RUN_ID_SIZE = 41 };

struct connection_facts { /* valid while READY; keeps the last values afterwards */
	int64_t client_id; /* 0 = unknown (ACL) */
	char run_id[CONNECTION_RUN_ID_SIZE];
	char version[32];
	int64_t clock_offset_ms; /* Redis's TIME in Unix ms - clock_mono_ms(); see connection_redis_now_ms */
};

/* The answer to one command; NULL = the connection broke or the deadline passed (it may or may not have been executed). The reply is
 * freed after the call unless taken with connection_take_reply() inside it. May send further commands. */
typedef void connection_reply_fn(void *user, struct redisReply *reply);
/* The state changed. DOWN: error tells why (its reaction: OPERATOR for NOAUTH/WRONGPASS/NOPERM in the greeting,
 * else RECONNECT or BACK_OFF). Called after all waiting commands got their NULL. */
typedef void connection_state_fn(void *user, enum connection_state state, const struct redis_error *error);

/* name: CLIENT SETNAME. target is kept (must outlive). state_fn may be NULL. Gives or NULL (no memory). */
struct connection *connection_new(const struct redis_target *target, const char *name, connection_state_fn *state_fn, void *user);
void connection_free(struct connection *c); /* closes; waiting commands get no answer at all; NULL-safe */

/* Never wait longer than this for a connect or an answer, whatever is configured (lease/4 while an entry is held); 0 = as configured. */
void connection_limit_waits(struct connection *c, int64_t limit_ms);

/* Begin to connect. Failures come through state_fn (also at once, from inside). */
void connection_start(struct connection *c);
/* Close now; all waiting commands get NULL; state_fn(DOWN) with text as the reason. */
void connection_drop(struct connection *c, const char *text);

enum connection_state connection_state(const struct connection *c);
const struct connection_facts *connection_facts(const struct connection *c);
int64_t connection_redis_now_ms(const struct connection *c); /* estimate by the monotonic clock; 0 before the first greeting */
void connection_set_redis_now(struct connection *c, int64_t redis_now_ms); /* a script just told it */

/* For an event loop: the descriptor (-1 while down), what to wait for, and the next deadline (-1 none, monotonic ms). They may
 * change with every call below: ask again after each. */
int connection_fd(const struct connection *c);
bool connection_wants_write(const struct connection *c);
int64_t connection_deadline_mono_ms(const struct connection *c);
/* The descriptor is readable / writable, or time passed. */
void connection_handle_io(struct connection *c, bool readable, bool writable);
void connection_handle_time(struct connection *c);

enum { CONNECTION_DEFAULT_TIMEOUT = 0, CONNECTION_NO_TIMEOUT = -1 };
/* Queue a command (copied) and write what fits at once only if `flush`: several commands queued with flush=false and a last one with
 * flush=true leave in one write. Not READY: fn gets NULL at once. timeout_ms > 0: this command's own (for BLOCK: block + margin). */
void connection_send(struct connection *c, const struct command *cmd, int64_t timeout_ms, bool flush, connection_reply_fn *fn, void *user);
size_t connection_waiting(const struct connection *c); /* commands without answer */

/* Inside a reply callback (or after connection_call): keep the reply beyond it; free it with connection_free_reply. */
struct redisReply *connection_take_reply(struct connection *c);
void connection_free_reply(void *reply);

/* Blocking: connect and greet. 0; -errno with error filled in. */
MUST_CHECK int connection_open(struct connection *c, struct redis_error *ret_error);
/* Blocking: one command, its answer (give back with connection_free_reply). 0; -EIO broken (error filled in; the connection is down);
 * -EPROTO when Redis answered with an error (error filled in, connection still up, *ret_reply NULL). */
MUST_CHECK int connection_call(struct connection *c, const struct command *cmd, int64_t timeout_ms, struct redisReply **ret_reply,
			       struct redis_error *ret_error);
/* The error of a reply (reaction NONE when it is none; NULL reply = broken connection, RECONNECT). */
void connection_reply_error(const struct redisReply *reply, struct redis_error *ret_error);
