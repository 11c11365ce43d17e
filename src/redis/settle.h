/* What a dead letter says beside the entry, as arguments of a script: their number, then names and values. Private to src/redis. */
#pragma once

#include "redis/queue.h"

void settle_add_meta(struct command *c, const struct dead_meta *d);
