/* The limits of a job over all hosts, concurrency and rate: their keys, and the steps that ask whether an
 * entry may start. As in queue.h nothing here waits, and parse functions return 0, or -EPROTO with
 * *ret_error. */
#pragma once

#include "base/num.h"
#include "redis/queue.h"

/* What is asked about one job. All zero: a job without limits. */
struct limit {
	char *running;            /* keys: who runs it, … */
	char *starts;             /* … and when it was started lately */
	char band[NUM_TEXT_SIZE]; /* the score under which its entries wait in `due` */
	int64_t concurrency;      /* 0 = any */
	int64_t starts_max; /* in a period; 0 = any. A rate of more than LIMIT_STARTS_MAX is kept by shorter
			       periods */
	int64_t period_ms;
	int64_t lease_ms;
	bool alone; /* no other job is on its queue */
};
enum { LIMIT_STARTS_MAX = 1000 };

/* From which on no score of `due` is a time: what stands there waits for a limit … */
#define LIMIT_BANDS INT64_C(8000000000000000)
/* … or, from here on, was taken. */
#define LIMIT_BANDS_END INT64_C(9000000000000000)

/* Which limit an entry waits for. */
enum held_by { HELD_NOT, HELD_BY_CONCURRENCY, HELD_BY_RATE };
const char *held_by_name(enum held_by h); /* "concurrency", "rate"; NULL: by none */
/* By its row in `due`; sets the due time to -1 where it is none. */
enum held_by limit_held_by(int64_t *due_ms);

/* 0 or -ENOMEM. */
MUST_CHECK int limit_init(struct limit *l, const struct queue *queue, const struct job *job);
void limit_done(struct limit *l);

/* ---- admit ---- */
enum admission {
	ADMITTED,
	ADMIT_FULL,         /* too many run: it was parked, the attempt given back */
	ADMIT_EARLY,        /* too many were started: likewise */
	ADMIT_STALE,        /* another has it by now */
	ADMIT_GONE,         /* not pending */
	ADMIT_PAYLOAD_GONE, /* would have to wait, but was deleted: nothing was done */
	ADMIT_PAUSED,       /* read: the queue is paused */
};
struct admit_answer {
	enum admission code;
	int64_t free;    /* handlers that may still be added; -1 = any */
	int64_t wait_ms; /* until the next start; 0 = now */
	int64_t redis_now_ms;
	struct entry_list list; /* read; `admitted` is set */
};
/* May this entry, which I hold, start? */
void limit_build_admit(struct command *c, const struct queue_keys *k, const struct limit *l, const char *me,
		       const char *id, int64_t delivery);
/* Up to count new ones, if they may start; nothing and ADMITTED: there are none. */
void limit_build_read(struct command *c, const struct queue_keys *k, const struct limit *l, const char *me,
		      int64_t count);
MUST_CHECK int limit_parse_admit(struct connection *conn, struct redisReply *reply,
				 const struct queue_keys *k, struct admit_answer *ret,
				 struct redis_error *ret_error);

/* ---- leave ---- */
/* My run is over; make_due entries that wait become due. Answer (queue_parse_count): how many. */
void limit_build_leave(struct command *c, const struct queue_keys *k, const struct limit *l, const char *me,
		       int64_t make_due);

/* ---- the reaper and the operator (blocking, as in admin.h) ---- */
struct limit_figures {
	int64_t running;
	int64_t free;    /* -1 = any */
	int64_t started; /* within the period */
};
/* What waits is made due as far as it may start; a dead consumer ("" = none; "HOST/": all of it) loses its
 * slots. make_due 0: only looks. ret_wait_ms: until more may start, -1 = unknown or nothing waits.
 * ret_figures: one a limit, or NULL. */
MUST_CHECK int limit_tend(struct connection *c, const struct queue_keys *k, const struct limit *limits,
			  size_t count, const char *dead, int64_t make_due, int64_t *ret_due,
			  int64_t *ret_wait_ms, struct limit_figures *ret_figures,
			  struct redis_error *ret_error);
