/* Which job of a queue an entry belongs to. */
#pragma once

#include "domain/entry.h"
#include "domain/job.h"

/* The first job whose match fits, or NULL. A rule compares the first field of its name, byte for byte. */
const struct job *route_job(const struct queue *queue, const struct entry *entry);
/* Make an entry of these n pairs one of the job: what its match wants and no pair names is added behind them (job->match_count more at most). Values are
 * borrowed from the job. Returns how many pairs there are then. A pair that contradicts the match stays: route_job tells. */
size_t route_fill(const struct job *job, struct entry_pair *pairs, size_t n);
