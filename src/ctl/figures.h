/* The figures of the queues, as rows: the same in `queues` and in `status`. */
#pragma once

#include "ctl/ctl.h"
#include "redis/admin.h"

enum {
	FIGURE_STREAM,
	FIGURE_GROUP,
	FIGURE_JOBS,
	FIGURE_LENGTH,
	FIGURE_WAITING,
	FIGURE_RUNNING,
	FIGURE_PARKED,
	FIGURE_HELD,
	FIGURE_LATER,
	FIGURE_DEAD,
	FIGURE_OLDEST_WAITING,
	FIGURE_OLDEST_RUNNING,
	FIGURE_PAUSED,
	FIGURE_SUSPENDED,
	FIGURE_COLUMNS,
};
extern const struct column figure_columns[FIGURE_COLUMNS];

/* One list row for each chosen queue; one that Redis refuses to look into has no figures (CTL_NO). 0 or the
 * exit code (said). */
MUST_CHECK int figures_list(struct ctl *ctl, struct list *list);
/* The same into text, as a JSON array; nothing is added at CTL_UNAVAILABLE. */
MUST_CHECK int figures_json(struct ctl *ctl, struct buf *out);

/* Before a daemon has made the group, what is in the stream is what it will begin with; -1 = not to be told.
 */
int64_t figures_waiting(const struct queue *queue, const struct queue_gauges *g);
/* How old an ID is; -1 = it is "", or no time. */
int64_t figures_age_ms(const char *id, int64_t now_ms);
/* The queue's jobs that are in the daemon's list of suspended ones: a JSON array, and words for people. */
void figures_suspended(const struct queue *queue, json_t *suspended, struct buf *json, struct buf *words);
