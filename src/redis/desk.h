/* What an operator asks of Redis directly (xackctl): blocking calls, bounded work each. Conventions as in redis/admin.h. */
#pragma once

#include "domain/result.h"
#include "redis/admin.h"
#include "redis/limit.h"

/* XADD with these pairs; the new ID. */
MUST_CHECK int desk_add(struct connection *c, const struct queue_keys *k, const struct entry_pair *pairs, size_t n, char ret_id[ENTRY_ID_SIZE], struct redis_error *ret_error);

/* By the script enqueue: later, or once only, or both. More than ENQUEUE_PAIRS pairs: only desk_add can. */
enum { ENQUEUE_PAIRS = 3500 };
struct enqueue {
	bool at;             /* when_ms is Unix ms, else from now on */
	int64_t when_ms;
	struct bytes once;   /* the key; empty = none */
	int64_t once_for_ms; /* -1 = an hour, and until it is due at least */
};
struct enqueued {
	char id[ENTRY_ID_SIZE]; /* of the entry, or, not due yet, the one by which it is found from now on */
	bool existing;          /* of the one that was added before: this one was not */
	int64_t due_ms;         /* -1: it is in the stream */
	int64_t redis_now_ms;
};
MUST_CHECK int desk_enqueue(struct connection *c, const struct queue_keys *k, const struct enqueue *how, const struct entry_pair *pairs, size_t n,
			    struct enqueued *ret, struct redis_error *ret_error);

/* The reapers of idle hosts look at once (at most 64): a worker of each is made to look, which passes it on. Best effort. */
void desk_wake_hosts(struct connection *c);

enum explain_state { EXPLAIN_WAITING, EXPLAIN_RUNNING, EXPLAIN_PARKED, EXPLAIN_LATER, EXPLAIN_DEAD, EXPLAIN_ACKNOWLEDGED, EXPLAIN_GONE, EXPLAIN_UNKNOWN };
const char *explain_state_name(enum explain_state s); /* "waiting" … */
struct explanation {
	enum explain_state state;
	char consumer[256]; /* RUNNING: who holds it (an entry pending under a consumer that is not xackd:parked) */
	int64_t delivery;   /* 0 = not pending */
	int64_t given;
	int64_t idle_ms;    /* -1 */
	int64_t due_ms;     /* PARKED and LATER, -1 = none */
	enum held_by held;  /* PARKED, and why it has no due time */
	char *note;         /* JSON of the last failure, NULL; owned */
	char dead_id[ENTRY_ID_SIZE];
	char entry_id[ENTRY_ID_SIZE]; /* it was delayed, and this is its ID since it was due (all else is told of that); else "" */
	bool in_stream;
	bool paused;
	struct entry entry; /* its pairs, when in the stream, or LATER */
	int64_t redis_now_ms;
};
MUST_CHECK int desk_explain(struct connection *c, const struct queue_keys *k, const char *id, struct explanation *ret, struct redis_error *ret_error);
void explanation_done(struct explanation *e);

/* What its success gave, where that is kept (state GIVEN); else state NONE, also when the key holds something else. Gives *ret. */
MUST_CHECK int desk_result(struct connection *c, const struct queue_keys *k, const char *id, struct result *ret, struct redis_error *ret_error);

/* A dead letter, decoded (xackd.packed too). */
struct dead_letter {
	char dead_id[ENTRY_ID_SIZE];
	char id[ENTRY_ID_SIZE]; /* "" when the meta pairs do not have it */
	char *job, *reason, *detail, *host; /* NULL = absent; owned */
	struct bytes stderr_tail; /* into backing */
	int64_t attempts, code, signal, at_ms; /* -1 = absent (signal 0) */
	struct entry entry; /* the original pairs; owns the backing */
	struct entry_pair *meta; /* all pairs about it as they are stored, xackd.meta first; into the backing */
	size_t meta_count;
};
void dead_letter_done(struct dead_letter *d);
/* One page from `from` on (exclusive; "" = the beginning), at most max. */
struct dead_page {
	struct dead_letter *rows;
	size_t count;
	char next[ENTRY_ID_SIZE]; /* "" = that was all */
};
void dead_page_done(struct dead_page *p);
MUST_CHECK int desk_dead_page(struct connection *c, const struct queue_keys *k, const char *from, int64_t max, struct dead_page *ret, struct redis_error *ret_error);
/* The dead letter with this dead ID, or of this entry (note.dead_id, else a bounded look through the stream from the entry's time on). 0 found, 1 not found. */
MUST_CHECK int desk_dead_find(struct connection *c, const struct queue_keys *k, const char *id, struct dead_letter *ret, struct redis_error *ret_error);
/* XADD the original pairs plus xackd.requeued-from=<dead_id>, remove the dead letter and its note, in one step. 0 with the new ID; 1 = it is not there (any more). */
MUST_CHECK int desk_requeue(struct connection *c, const struct queue_keys *k, const char *dead_id, char ret_id[ENTRY_ID_SIZE], struct redis_error *ret_error);
/* Remove it and its note. 0, 1 = not there. */
MUST_CHECK int desk_purge(struct connection *c, const struct queue_keys *k, const char *dead_id, struct redis_error *ret_error);
/* Write a dead letter with the meta of d and these pairs. Edit: in the place of d->dead_id, in one step; 1 = that is not there (any more).
 * Import: with the ID it had where that is possible; 1 = the entry's dead letter is there already, with its ID. */
enum desk_put { DESK_EDIT, DESK_IMPORT };
struct dead_draft {
	const char *dead_id, *id; /* id: "" = not known */
	const struct entry_pair *meta, *pairs;
	size_t meta_count, pair_count;
};
MUST_CHECK int desk_dead_put(struct connection *c, const struct queue_keys *k, enum desk_put how, const struct dead_draft *d,
			     char ret_dead_id[ENTRY_ID_SIZE], struct redis_error *ret_error);
/* Make a dead letter of an entry that no worker has; 0 with its ID. Parked: by the delivery just read. Waiting (never delivered): it leaves
 * the stream too, so only where no other group wants it. Otherwise nothing was done: */
enum desk_cancel { DESK_CANCELLED, DESK_CANCEL_MOVED /* it is not parked or waiting any more: look again */, DESK_CANCEL_SHARED /* another group */ };
struct desk_cancel_answer {
	enum desk_cancel result;
	char dead_id[ENTRY_ID_SIZE];
	char other_group[256]; /* SHARED: which */
};
struct settle;
struct dead_meta;
MUST_CHECK int desk_cancel_parked(struct connection *c, const struct queue_keys *k, const struct settle *s, struct desk_cancel_answer *ret,
				  struct redis_error *ret_error);
MUST_CHECK int desk_cancel_waiting(struct connection *c, const struct queue_keys *k, const char *id, const struct dead_meta *meta,
				   struct desk_cancel_answer *ret, struct redis_error *ret_error);
/* Delayed. for_all: also where other groups of the stream would be given it. */
MUST_CHECK int desk_cancel_later(struct connection *c, const struct queue_keys *k, const char *id, bool for_all, const struct dead_meta *meta,
				 struct desk_cancel_answer *ret, struct redis_error *ret_error);
/* paused key; *ret_changed. After pausing or resuming, every client of the group that waits in a read should look again: the caller passes the
 * consumers' clients by CLIENT LIST … (done inside, best effort). */
MUST_CHECK int desk_pause(struct connection *c, const struct queue_keys *k, bool paused, bool *ret_changed, struct redis_error *ret_error);
/* One page of parked entries in due order, at most max; with their pairs where these are asked for, then a few large ones end the page. */
struct parked_row { char id[ENTRY_ID_SIZE]; int64_t due_ms; /* -1 = held */ enum held_by held; int64_t delivery; int64_t given; char *note; struct entry entry; };
struct parked_page { struct parked_row *rows; size_t count; bool more; int64_t redis_now_ms; };
void parked_page_done(struct parked_page *p);
MUST_CHECK int desk_parked_page(struct connection *c, const struct queue_keys *k, int64_t offset, int64_t max, bool with_pairs, struct parked_page *ret, struct redis_error *ret_error);
/* One page of delayed entries in due order. */
struct later_row { char id[ENTRY_ID_SIZE]; int64_t due_ms; struct entry entry; };
struct later_page { struct later_row *rows; size_t count; bool more; int64_t redis_now_ms; };
void later_page_done(struct later_page *p);
MUST_CHECK int desk_later_page(struct connection *c, const struct queue_keys *k, int64_t offset, int64_t max, struct later_page *ret, struct redis_error *ret_error);
/* Make one parked entry due now. 0, 1 = it is not parked. */
MUST_CHECK int desk_retry(struct connection *c, const struct queue_keys *k, const char *id, struct redis_error *ret_error);

/* For a live view, asked again and again: how many entries the group is done with, and the newest dead letters in short (texts cut). Each dead letter
 * is read once: what is new since the newest that is known ("" = none) and the number that there were then, or, where that does not add up, all anew. */
struct newest_letter {
	char dead_id[ENTRY_ID_SIZE];
	char id[ENTRY_ID_SIZE]; /* "" = not known */
	char *job, *reason, *detail; /* NULL = absent; owned */
	int64_t attempts, at_ms; /* -1 = absent */
};
struct newest {
	int64_t done; /* delivered and not pending any more, dead ones too; -1 = Redis cannot tell */
	int64_t dead; /* how many dead letters there are */
	bool anew;    /* the rows stand in the place of what is known, else on top of it */
	struct newest_letter *rows; /* the newest first */
	size_t count;
};
void newest_done(struct newest *n);
MUST_CHECK int desk_newest(struct connection *c, const struct queue_keys *k, const char *known_dead_id, int64_t known_dead, int64_t max, struct newest *ret,
			   struct redis_error *ret_error);
