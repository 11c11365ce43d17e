/* Which job of a queue an entry belongs to. */
#pragma once

#include "domain/entry.h"
#include "domain/job.h"

/* The first job whose match fits, or NULL. A rule compares the first field of its name, byte for byte. */
const struct job *route_job(const struct queue *queue, const struct entry *entry);
