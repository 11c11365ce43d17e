/* A schedule of the configuration (`cron:`), resolved. Plain data, like a job. */
#pragma once

#include "domain/cron.h"
#include "domain/entry.h"
#include "domain/job.h"

enum missed_rule { MISSED_ONCE, MISSED_SKIP, MISSED_ALL };

/* Names of the fields that each of its entries has behind its own. */
#define SCHEDULE_FIELD_NAME "xackd.schedule"
#define SCHEDULE_FIELD_SLOT "xackd.slot"

struct schedule {
	char *name;
	char *expression;
	char *timezone; /* NULL = the daemon's own */
	char *job_name;
	struct match_rule *fields;
	size_t field_count;
	enum missed_rule missed;
	struct cron cron;
	const struct zone *zone; /* NULL: UTC, or not read (a worker, xackctl) */
	const struct job *job;
	struct entry_pair *pairs; /* of an entry: the fields, what the job's match adds, the name; the slot
				     comes behind them */
	size_t pair_count;
	char *rule; /* what makes it the same schedule for Redis: expression and zone as they are written */
};
