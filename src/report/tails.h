/* The end of stderr of failures whose dead letter may follow: it stands in job.failed, and job.dead comes
 * right behind, or job.retry, which ends the waiting too. So only what has just failed is in here; where a
 * log says it in no order at all, the oldest go. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

enum {
	TAILS_SETS = 256,
	TAILS_WAYS = 4,
	TAILS_LONGEST = 4096, /* bytes; the end of what is longer */
};

/* Which failure. */
struct tail_key {
	struct bytes stream, group, id;
	int64_t attempt;
};
struct tail {
	uint64_t hash; /* 0 = free */
	int64_t attempt;
	uint64_t age;
	struct buf text; /* owned */
};
struct tails {
	struct tail *rows; /* owned */
	uint64_t clock;
};

/* 0 or -ENOMEM. */
MUST_CHECK int tails_init(struct tails *t);
void tails_done(struct tails *t);

void tails_keep(struct tails *t, const struct tail_key *key, struct bytes text);
/* The text of this very failure, empty if it is not known; good until the next tails_keep. It is no longer
 * waited for. */
struct bytes tails_take(struct tails *t, const struct tail_key *key);
