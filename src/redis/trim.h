/* Letting the oldest entries of a stream go, as the reaper does it and an operator by hand: one bounded step
 * a call. Conventions as in redis/admin.h. */
#pragma once

#include "domain/job.h"
#include "redis/admin.h"

struct trim_order {
	const struct retain_rule *rule; /* any but RETAIN_ALL */
	const struct queue *queues;     /* all of the configuration: none goes while a group of this stream is
					   missing. Borrowed */
	size_t queue_count;
	int64_t most; /* entries in this step; 0 = as many as are bearable */
};

enum trim_state {
	TRIM_DONE,
	TRIM_NO_GROUP, /* that group is not there: nobody knows what it has not done */
	TRIM_TOO_SOON, /* it was made again less than a lease ago: what its workers run may still have to be
			  put back */
};
struct trim_answer {
	enum trim_state state;
	char group[256];           /* NO_GROUP, TOO_SOON: which. DONE: the one that gives the floor; cut */
	int64_t count;             /* entries that went, or that were counted */
	bool more;                 /* call again */
	int64_t length;            /* of the stream, behind this step */
	char floor[ENTRY_ID_SIZE]; /* from here on something may be unacknowledged */
	bool held;                 /* the rule would let more go, but for this group: */
	bool pending;              /* the floor is pending in it; false: not delivered to it yet */
	char consumer[256];        /* PENDING: whose; cut */
	int64_t idle_ms;           /* PENDING; else -1 */
	int64_t redis_now_ms;
};

/* One step of at most a few ms of Redis's time. */
MUST_CHECK int trim_step(struct connection *c, const struct queue_keys *k, const struct trim_order *order,
			 struct trim_answer *ret, struct redis_error *ret_error);
/* One step of counting what would go. cursor: "-" at first, then as it was left; before: what was counted so
 * far. */
MUST_CHECK int trim_count(struct connection *c, const struct queue_keys *k, const struct trim_order *order,
			  char cursor[ENTRY_ID_SIZE], int64_t before, struct trim_answer *ret,
			  struct redis_error *ret_error);
