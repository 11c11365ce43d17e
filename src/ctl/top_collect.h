/* Private to top_collect.c and top_failures.c: what is kept from frame to frame. */
#pragma once

#include "ctl/top.h"
#include "redis/desk.h"

enum { TOP_FAILURE_ROWS = 20 /* of each kind and queue */, TOP_MOST_FAILURES = 400, TOP_MOST_LOOKUPS = 10 };

/* A count that only grows, and when it was read. */
struct top_tally {
	int64_t count;
	int64_t at_ms; /* 0 = never */
};

/* The job of a parked entry: its fields, which tell it, never change. */
struct top_known_job {
	char id[ENTRY_ID_SIZE];
	const char *job; /* of the configuration; NULL = none fits */
	bool used;       /* in the frame that is being made */
};

struct top_memory { /* of a queue */
	struct top_tally done, failed;
	int64_t done_count;
	struct newest_letter letters[TOP_FAILURE_ROWS]; /* the newest first */
	size_t letter_count;
	int64_t dead;
	struct top_known_job jobs[TOP_FAILURE_ROWS];
	size_t job_count;
};
void top_memory_done(struct top_memory *m);

struct top_collector {
	struct ctl *ctl;
	int64_t interval_ms;
	struct top_memory *queues; /* by index of the configuration */
	struct top_tally done, failed;
	size_t lookups; /* of jobs, in this frame */
};

/* Add the failures of this queue, and read how many entries it is done with. */
void top_collect_failures(struct top_collector *c, struct top_frame *f, struct connection *connection,
			  struct top_queue *q);
/* The latest first; the frame then owns no more than TOP_MOST_FAILURES. */
void top_sort_failures(struct top_frame *f);
/* r of a call about this queue: when it is an error, say so in the frame. */
bool top_redis_failed(struct top_collector *c, struct top_frame *f, struct top_queue *q, int r,
		      const struct redis_error *error);
