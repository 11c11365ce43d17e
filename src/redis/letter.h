/* Dead letters, decoded. Private to src/redis. */
#pragma once

#include "redis/decode.h"
#include "redis/desk.h"

/* A row of XRANGE over the dead letters. 0, -EPROTO, -ENOMEM. backing must not be NULL: the letter points into it. */
MUST_CHECK int letter_read(const redisReply *row, struct backing *backing, struct dead_letter *ret_letter);
/* The pairs of xackd.packed; they point into it. 0, -EINVAL (it is no such list), -ENOMEM. */
MUST_CHECK int letter_unpack(struct bytes packed, struct entry_pair **ret_pairs, size_t *ret_count);
