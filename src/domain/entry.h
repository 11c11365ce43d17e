/* An entry as it was delivered: its identity, its pairs in order, and how often it was delivered. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

enum { ENTRY_ID_SIZE = 48 }; /* "18446744073709551615-18446744073709551615" and a NUL fit */

struct entry_pair {
	struct bytes name;
	struct bytes value;
};

struct entry {
	char id[ENTRY_ID_SIZE];
	size_t queue;             /* index of its queue in the worker's list */
	struct entry_pair *pairs; /* in the producer's order, duplicates and all; owned by `backing` or malloc'ed */
	size_t pair_count;
	bool admitted;            /* it was read together with the leave to start: its job's limits have counted it */
	bool payload_gone;        /* deleted or trimmed while pending: no pairs */
	int64_t delivery;         /* Redis's own count; 1 for a new entry */
	int64_t given;            /* deliveries given back */
	char *note;               /* JSON of the last failure, NULL if none; owned */
	/* private: what the pairs point into (a reply of the connection), freed with the entry */
	void *backing;
	void (*backing_free)(void *backing);
};

/* Frees what it owns; the entry is empty then. NULL-safe on fields. */
void entry_done(struct entry *e);

/* An entry that is replayed begins another life: its deliveries are counted on from a number that was made for it (replay_step), far
 * above what it had. What belongs to different lives has nothing to do with each other. 0 = the first. */
static inline int64_t delivery_life(int64_t delivery)
{
	return delivery >> 10;
}

/* max(1, delivery - given). */
int64_t entry_attempt(const struct entry *e);
/* First value of that name, or NULL. */
const struct entry_pair *entry_find(const struct entry *e, struct bytes name);

/* Mark the pairs that are the first of their name; map_byte (NULL: as it is) gives the byte that counts for a byte of a name. Never
 * quadratic, whatever names a producer picks. 0 or -ENOMEM. */
MUST_CHECK int entry_mark_firsts(const struct entry_pair *pairs, size_t count, unsigned char (*map_byte)(unsigned char), bool *ret_first);

/* Parts of an ID "ms-seq". 0 or -EINVAL. */
MUST_CHECK int entry_id_parse(struct bytes id, uint64_t *ret_ms, uint64_t *ret_seq);
/* <0, 0, >0; both must be valid. */
int entry_id_cmp(const char *a, const char *b);
/* How long the entry waited for its first start, -1 = it cannot be told: its ID is no time, or it is replayed. */
int64_t entry_wait_ms(const struct entry *e, int64_t now_ms);
/* The ms of an ID if they can be a time (2001 … now + 1 day), else -1. */
int64_t entry_id_time_ms(const char *id, int64_t now_ms);
