/* What a worker does with a queue: each step builds one command and understands one answer.
 * Pure in the sense that nothing here waits: the caller sends the command on its connection and hands the answer back.
 *
 * All parse functions: return 0, or -EPROTO with *ret_error filled in (an error reply, a broken connection (reply NULL), or an
 * answer of a shape that is not understood: REACT_UNKNOWN). ret_error is REACT_NONE on success. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "domain/entry.h"
#include "domain/job.h"
#include "redis/command.h"
#include "redis/connection.h"
#include "redis/keys.h"

/* ---- fetch: new entries ---- */
/* XREADGROUP GROUP g me COUNT count [BLOCK block_ms] STREAMS s… >…; block_ms < 0: no BLOCK. keys: array of pointers. */
void queue_build_read(struct command *c, const struct queue_keys *const *keys, size_t n, const char *me, int64_t count, int64_t block_ms);
/* Script fetch: the streams in this order, the first hit of one entry; paused queues are passed over. Same answer as read. */
void queue_build_fetch(struct command *c, const struct queue_keys *const *keys, size_t n, const char *me);

struct entry_list {
	struct entry *entries; /* malloc'ed; entry.queue is the index into the keys given to the parser */
	size_t count;
	size_t *paused;        /* script fetch, when it had nothing: indexes into the keys of queues that are paused; malloc'ed */
	size_t paused_count;
};
void entry_list_done(struct entry_list *l); /* frees entries still inside */
/* Takes the reply out of the connection when it holds entries (their pairs point into it, zero copy). Nil: an empty list.
 * A reply from several streams is accepted whole. delivery is 1, given 0. Entries that cannot be decoded are an error. */
MUST_CHECK int queue_parse_read(struct connection *conn, struct redisReply *reply, const struct queue_keys *const *keys, size_t n,
				struct entry_list *ret_list, struct redis_error *ret_error);

/* The same of a part of a reply, which is taken whole (NIL: an empty list). */
MUST_CHECK int queue_parse_read_in(struct connection *conn, struct redisReply *reply, const struct redisReply *part, const struct queue_keys *const *keys,
				   size_t n, struct entry_list *ret_list, struct redis_error *ret_error);

/* ---- take: due retries ---- */
void queue_build_take(struct command *c, const struct queue_keys *k, const char *me, int64_t count);
struct take_answer {
	struct entry_list list;    /* with delivery, given and note */
	bool paused;               /* nothing was taken because the queue is paused */
	int64_t next_due_in_ms;    /* of what is still parked; -1 = nothing is; ≤ 0: due now */
	char (*vanished)[ENTRY_ID_SIZE]; /* had a due time and are no longer pending */
	size_t vanished_count;
	char (*gone)[ENTRY_ID_SIZE];     /* became dead letters payload_gone in this step */
	char (*gone_dead)[ENTRY_ID_SIZE]; /* … with these dead IDs */
	size_t gone_count;
	int64_t redis_now_ms;
};
MUST_CHECK int queue_parse_take(struct connection *conn, struct redisReply *reply, size_t queue, struct take_answer *ret, struct redis_error *ret_error);
void take_answer_done(struct take_answer *a);

/* ---- settle: the one step that ends a run ---- */
enum settle_kind { SETTLE_XACK, SETTLE_ACK, SETTLE_PARK, SETTLE_BURY, SETTLE_RELEASE };

/* What a dead letter says beside the entry (xackd.id, .stream, .group, .at are added by the script). */
struct dead_meta {
	const char *job;    /* NULL = absent (no_job) */
	const char *reason;
	const char *detail; /* NULL = absent */
	int64_t attempts;
	int code;           /* -1 absent */
	int signal;         /* 0 absent */
	struct bytes stderr_tail; /* n = 0: absent */
	const char *host;
};

struct settle {
	enum settle_kind kind;
	const char *id;
	int64_t delivery;
	int64_t delay_ms;         /* PARK, RELEASE */
	struct bytes note;        /* PARK, BURY, RELEASE: a JSON object without "at_ms" and "delivery" (the script adds both); n = 0: none is written */
	const struct dead_meta *dead; /* BURY */
	int64_t dead_maxlen;      /* BURY; 0 = no cap */
	struct bytes result;      /* ACK: kept for … */
	int64_t result_ttl_ms;    /* … so long, in the same step; 0: there is none */
	const struct entry *entry; /* BURY: NULL first; after SETTLED_PAYLOAD_GONE again with the entry, whose pairs are then sent */
};

/* SETTLE_XACK is the plain XACK. PARK and RELEASE on a deleted entry answer PAYLOAD_GONE and change nothing. BURY without entry on a
 * deleted one: likewise, unless reason is payload_gone. */
void queue_build_settle(struct command *c, const struct queue_keys *k, const char *me, const struct settle *s);

/* One XACK for many. Answer (queue_parse_count): how many were pending. */
void queue_build_acks(struct command *c, const struct queue_keys *k, const char *const *ids, size_t n);

/* As XACK for each of them, and a result is kept in the same step. Answer: queue_parse_keep, then queue_kept for each of the n. */
struct keep_row {
	const char *id;
	struct bytes result;
	int64_t ttl_ms; /* 0: it has none */
};
void queue_build_keep(struct command *c, const struct queue_keys *k, const struct keep_row *rows, size_t n);

enum settle_result {
	SETTLED,              /* done as asked */
	SETTLED_STALE,        /* ACK: acknowledged although another owned it; others: it is another's, nothing was done */
	SETTLED_GONE,         /* no longer pending: someone else finished it */
	SETTLED_PAYLOAD_GONE, /* the entry was deleted: nothing was done, see above */
};
struct settle_answer {
	enum settle_result result;
	char owner[256];     /* STALE: who has it, */
	int64_t delivery;    /* … and its delivery number */
	int64_t due_ms;      /* PARK, RELEASE: Redis's Unix ms; else 0 */
	char dead_id[ENTRY_ID_SIZE]; /* BURY */
	int64_t dropped;     /* BURY: dead letters that the cap removed */
	int64_t redis_now_ms; /* 0 = not told (XACK) */
	char not_kept[160];  /* XACK, ACK: acknowledged without its result: what Redis says; "" = nothing is wrong */
};
MUST_CHECK int queue_parse_keep(struct redisReply *reply, size_t n, struct redis_error *ret_error);
void queue_kept(const struct redisReply *reply, size_t i, struct settle_answer *ret);
MUST_CHECK int queue_parse_settle(struct redisReply *reply, enum settle_kind kind, struct settle_answer *ret, struct redis_error *ret_error);

/* Release many that were never run (surplus, lost replies): all due after delay_ms; a deleted one becomes a dead letter payload_gone.
 * Answer: the number released. */
struct held_id {
	char id[ENTRY_ID_SIZE];
	int64_t delivery;
};
void queue_build_release(struct command *c, const struct queue_keys *k, const char *me, const char *host, int64_t delay_ms, const struct held_id *ids, size_t n);
MUST_CHECK int queue_parse_count(struct redisReply *reply, int64_t *ret_count, struct redis_error *ret_error);

/* Whether the queue is paused (queue_parse_count: 1 or 0). */
void queue_build_paused(struct command *c, const struct queue_keys *k);

/* ---- renew ---- */
enum renew_result { RENEWED, RENEW_LOST, RENEW_GONE /* acknowledged by someone */ };
/* Resets idle, only if still mine by ID and delivery. Of a deleted entry, whose row XCLAIM would purge, a due time of now + lease says that its
 * owner lives (the sweep respects it, take ignores it); *ret_payload_gone tells. */
void queue_build_renew(struct command *c, const struct queue_keys *k, const char *me, const char *id, int64_t delivery, int64_t lease_ms,
		       const char *running /* key of the slot that is renewed with it, or NULL */);
MUST_CHECK int queue_parse_renew(struct redisReply *reply, enum renew_result *ret, bool *ret_payload_gone, struct redis_error *ret_error);

/* ---- after a reconnect ---- */
/* CLIENT KILL ID of the old connection (nothing from it may be executed late). 0 killed or not there. */
void queue_build_kill_client(struct command *c, int64_t client_id);
/* XPENDING s g - + 100 me. */
void queue_build_mine(struct command *c, const struct queue_keys *k, const char *me);
struct held_list {
	struct held_id *ids;
	size_t count;
};
MUST_CHECK int queue_parse_mine(struct redisReply *reply, struct held_list *ret, struct redis_error *ret_error);
void held_list_done(struct held_list *l);

/* ---- the group ---- */
/* Make stream and group if absent : at the highest ID known to have been delivered (by the hosts' rows, and by the caller: "" = it knows of none), else at start; what `due` names is
 * put back under xackd:parked. Answer: 1 made, 0 was there. */
void queue_build_group(struct command *c, const struct queue_keys *k, enum start_rule start, const char *known);
/* After it was made again: put back what I hold (at least one, added one by one), under my name and with these deliveries, unless it is pending, was
 * acknowledged (it was, where my name is in the group; unless I know that this is another group) or was never delivered. Answer: how many. */
void queue_build_put_back(struct command *c, const struct queue_keys *k, const char *me, bool another_group);
void queue_add_put_back(struct command *c, const char *id, int64_t delivery);

/* A result that is only good or an error (CLIENT KILL, CLIENT UNBLOCK, …); integers are returned, status is 0. */
MUST_CHECK int queue_parse_status(struct redisReply *reply, int64_t *ret_value, struct redis_error *ret_error);
