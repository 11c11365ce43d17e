/* The thread that asks, so that the screen never waits for the daemon or Redis. It has a struct ctl of its
 * own; frames and answers are handed over, never shared. */
#pragma once

#include "ctl/top.h"

struct top_asker;
/* Borrows the configuration of ctl, which must outlive it. Begins at once. NULL without memory. */
struct top_asker *top_asker_start(const struct ctl *ctl, int64_t interval_ms);
/* Readable when there is something to take. */
int top_asker_fd(const struct top_asker *a);
/* Ask for this as soon as possible; an earlier one that was not begun yet is forgotten. */
void top_asker_want(struct top_asker *a, const struct top_request *request);
/* The newest frame since the last call (the caller's), or NULL. */
struct top_frame *top_asker_frame(struct top_asker *a);
/* What became of a request; false: nothing new. */
struct top_answered {
	struct top_request request;
	bool done;
	struct buf words, text;
};
bool top_asker_answer(struct top_asker *a, struct top_answered *ret);
void top_answered_done(struct top_answered *answered);
/* End it. False: it waits for an answer and does not end soon; then it must be left alone, and the process
 * has to end without tidying up. */
bool top_asker_stop(struct top_asker *a);
