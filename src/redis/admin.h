/* What the reaper does with queues: blocking calls on its own connection (src/reaper only). Every function: 0; -EIO connection
 * broken; -EPROTO Redis answered with an error. In both cases ret_error says what. Bounded work per call. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "redis/connection.h"
#include "redis/keys.h"
#include "redis/queue.h"

/* ---- the registry of hosts ---- */
struct host_row {
	const char *name;
	const char *boot;    /* boot id */
	const char *machine; /* machine id */
	uint64_t pid_ns;
	int64_t pid;
	uint64_t started;    /* clock ticks, fd_process_start */
	const char *version;
	int64_t workers;
	int64_t lease_ms;
};
enum host_answer { HOST_MINE = 0, HOST_TAKEN /* by a row that is fresh: seen within its lease */, HOST_MISSING /* renew: my row was not there */ };
struct host_holder { /* of a TAKEN name */
	char boot[64], machine[64], version[32];
	uint64_t pid_ns, started;
	int64_t pid, lease_ms, seen_ago_ms;
};
/* Take the name: written when there is no row, when the row is mine (same boot, machine, pid_ns, pid, started), when it is older than
 * its lease, or with force (the caller has proven that holder dead). */
MUST_CHECK int admin_host_take(struct connection *c, const struct queue_keys *k, const struct host_row *row, bool force,
			       enum host_answer *ret, struct host_holder *ret_holder, struct redis_error *ret_error);
/* Renew mine: updates seen_ms and the highest delivered ID ("delivered": where a group made again begins). TAKEN when the row is another's now; MISSING: it was gone and was
 * written again. ret_longest_lease_ms: the longest lease of any row (consumers of expired rows may still hold entries); ret_others: number of other fresh rows. */
MUST_CHECK int admin_host_renew(struct connection *c, const struct queue_keys *k, const struct host_row *row, enum host_answer *ret,
				int64_t *ret_longest_lease_ms, int64_t *ret_others, struct redis_error *ret_error);
/* Give the name back, only if mine. */
MUST_CHECK int admin_host_leave(struct connection *c, const struct queue_keys *k, const struct host_row *row, struct redis_error *ret_error);

/* ---- recovery ---- */
enum recovered_kind { RECOVERED_PARKED /* lost its run: counts, note worker_lost */, RECOVERED_RELEASED /* never ran: given back */, RECOVERED_BURIED /* payload gone: dead letter */ };
struct recovered {
	char id[ENTRY_ID_SIZE];
	char from[256]; /* consumer */
	int64_t idle_ms;
	int64_t delivery;
	int64_t attempt; /* the one that was lost: delivery - given before this step */
	enum recovered_kind kind;
	char dead_id[ENTRY_ID_SIZE];
};
struct recovered_list {
	struct recovered *rows;
	size_t count;
	bool more;  /* bounded: call again */
	bool late;  /* the guard: Redis's time was not where it was expected; nothing was changed */
	char cursor[ENTRY_ID_SIZE]; /* sweep: where to go on, "-" = the end was reached */
	int64_t redis_now_ms;
};
void recovered_list_done(struct recovered_list *l);

/* Everything under one consumer's name that is known to be dead: those in `ran` (ID and delivery; delivery 0 = any) are parked due now with note
 * worker_lost, all others are released (given + 1) — or, with all_ran, every one counts as run. Then the consumer is deleted if it
 * holds nothing. No lease, no guard. host: of the caller, for the note. */
MUST_CHECK int admin_reap_consumer(struct connection *c, const struct queue_keys *k, const char *consumer, const char *host,
				   const struct held_id *ran, size_t ran_count, bool all_ran, struct recovered_list *ret, struct redis_error *ret_error);
/* One bounded step (200 rows) of the sweep over the group's PEL from cursor ("-" = the beginning), by XAUTOCLAIM … JUSTID into xackd:parked of what is idle longer than lease_ms:
 * not xackd:parked, not foreign (consumer name not of the form HOST/POOL/SLOT/INCARNATION) if !take_foreign, not a deleted entry that its owner renews (due time in the future).
 * expected_now_ms: guard; more than lease/4 away: late. */
MUST_CHECK int admin_sweep(struct connection *c, const struct queue_keys *k, const char *host, int64_t lease_ms, bool take_foreign,
			   const char *cursor, int64_t expected_now_ms, struct recovered_list *ret, struct redis_error *ret_error);
/* The same for one consumer by XPENDING … IDLE … consumer: quick with a million parked. */
MUST_CHECK int admin_sweep_consumer(struct connection *c, const struct queue_keys *k, const char *host, int64_t lease_ms, bool take_foreign,
				    const char *consumer, int64_t expected_now_ms, struct recovered_list *ret, struct redis_error *ret_error);

struct consumer_row {
	char name[256];
	int64_t pending;
	int64_t idle_ms;
};
struct consumer_list {
	struct consumer_row *rows;
	size_t count;
};
void consumer_list_done(struct consumer_list *l);
MUST_CHECK int admin_consumers(struct connection *c, const struct queue_keys *k, struct consumer_list *ret, struct redis_error *ret_error);
/* Only when it holds nothing and is idle for min_idle_ms. */
MUST_CHECK int admin_delete_consumer(struct connection *c, const struct queue_keys *k, const char *consumer, int64_t min_idle_ms, struct redis_error *ret_error);

/* ---- the state of a queue, in one script ---- */
struct queue_gauges {
	bool exists;             /* stream and group are there */
	bool refused;            /* the reaper's own: Redis refuses this queue until a person mends something; the rest is not known */
	int64_t length;          /* XLEN */
	int64_t waiting;         /* -1: Redis cannot tell */
	bool has_waiting;        /* exactly: is there an entry beyond last-delivered-id */
	int64_t pending;         /* all of the PEL */
	int64_t parked;          /* of it under xackd:parked */
	int64_t due_count;       /* ZCARD due */
	int64_t foreign;         /* of the pending ones: under consumers that are not xackd's */
	int64_t suspended;       /* of the parked ones: put back because their job is suspended; only when asked for */
	int64_t held;            /* of the parked ones: because their job is at a limit; they have no due time */
	int64_t due_now;         /* of them due already */
	int64_t next_due_in_ms;  /* -1 = none; ≤ 0: due now */
	int64_t later;           /* delayed entries; -1: Redis cannot tell */
	int64_t later_data;      /* rows of their data; -1: Redis cannot tell */
	int64_t next_later_in_ms; /* INT64_MAX = none; below 0: overdue */
	int64_t dead;            /* XLEN of the dead letters */
	char oldest_waiting[ENTRY_ID_SIZE]; /* "" = none */
	char oldest_pending[ENTRY_ID_SIZE]; /* "" = none; not parked where that can be told cheaply */
	bool paused;
	char last_delivered[ENTRY_ID_SIZE];
	int64_t redis_now_ms;
};
MUST_CHECK int admin_gauges(struct connection *c, const struct queue_keys *k, bool count_suspended, struct queue_gauges *ret, struct redis_error *ret_error);

/* ---- delayed entries ---- */
struct promoted_buried { /* nobody could run it: a dead letter */
	char id[ENTRY_ID_SIZE]; /* "" = what it has is no ID */
	char dead_id[ENTRY_ID_SIZE];
	char reason[32];
	char detail[64];
};
struct promoted {
	int64_t redis_now_ms;
	int64_t next_in_ms; /* INT64_MAX = none is left; ≤ 0: there are more that are due */
	int64_t count;
	char refused[256];  /* why some could be neither promoted nor buried, "" = there are none such */
	struct promoted_buried *buried;
	size_t buried_count;
};
void promoted_done(struct promoted *p);
/* What is due becomes entries of the stream: a bounded number. host: of the caller, for dead letters. */
MUST_CHECK int admin_promote(struct connection *c, const struct queue_keys *k, const char *host, struct promoted *ret, struct redis_error *ret_error);
/* One step over the data of delayed entries from *cursor (0 at first, 0 at the end): those that have no due time get it back. */
MUST_CHECK int admin_rebuild_later(struct connection *c, const struct queue_keys *k, uint64_t *cursor, int64_t *ret_added, struct redis_error *ret_error);

/* Parked entries without a due time get one (now), from cursor in slices of 1,000; cursor "-" at first and at the end. */
MUST_CHECK int admin_rebuild_due(struct connection *c, const struct queue_keys *k, char cursor[ENTRY_ID_SIZE], int64_t *ret_added, struct redis_error *ret_error);
/* Make due now what a suspended job had put back (note reason `spawn`), at most 1,000 a call; more in ret_more. */
MUST_CHECK int admin_due_suspended(struct connection *c, const struct queue_keys *k, int64_t horizon_ms, int64_t *ret_count, bool *ret_more, struct redis_error *ret_error);
/* The janitor: 100 rows of given and note from *cursor (0 at first, 0 at the end) that belong to nothing any more. */
MUST_CHECK int admin_janitor(struct connection *c, const struct queue_keys *k, uint64_t *cursor, int64_t *ret_removed, struct redis_error *ret_error);

/* ---- schedules (redis/cron.c) ---- */

/* Where a schedule has got to: its last slot, Unix ms. One that was not there, or had another rule, begins now. */
MUST_CHECK int admin_cron_see(struct connection *c, const struct queue_keys *k, const char *name, const char *rule, int64_t *ret_last_ms,
			      int64_t *ret_redis_now_ms, struct redis_error *ret_error);
/* The last slot alone, for who only looks; -1: none. */
MUST_CHECK int admin_cron_last(struct connection *c, const struct queue_keys *k, const char *name, int64_t *ret_last_ms, struct redis_error *ret_error);
/* The same name begins anew when it is seen again. */
MUST_CHECK int admin_cron_forget(struct connection *c, const struct queue_keys *k, const char *name, struct redis_error *ret_error);
enum cron_answer { CRON_FIRED = 0, CRON_MOVED /* its last slot is another one */, CRON_EARLY /* by Redis's clock */, CRON_TOO_LATE /* done, without an entry */ };
struct cron_fire {
	const char *name;
	int64_t last_ms; /* as the caller knows it */
	int64_t slot_ms;
	int64_t late_ms; /* later than this by Redis's clock: too late; -1 = never */
	const struct entry_pair *pairs;
	size_t pair_count;
};
struct cron_fired {
	enum cron_answer answer;
	int64_t last_ms; /* as it is now */
	int64_t redis_now_ms;
	char id[ENTRY_ID_SIZE]; /* FIRED */
};
MUST_CHECK int admin_cron_fire(struct connection *c, const struct queue_keys *k, const struct cron_fire *fire, struct cron_fired *ret,
			       struct redis_error *ret_error);

MUST_CHECK int admin_group(struct connection *c, const struct queue_keys *k, enum start_rule start, const char *known, bool *ret_made, struct redis_error *ret_error);
/* CLIENT UNBLOCK id; *ret_done false when that client was not blocked. CLIENT KILL ID id. */
MUST_CHECK int admin_unblock(struct connection *c, int64_t client_id, bool *ret_done, struct redis_error *ret_error);
MUST_CHECK int admin_kill_client(struct connection *c, int64_t client_id, struct redis_error *ret_error);
