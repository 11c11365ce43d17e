/* Answers of Redis, taken apart with care: nothing is believed of their shape. Private to src/redis. */
#pragma once

#include <hiredis/hiredis.h>

#include "domain/entry.h"
#include "redis/connection.h"
#include "redis/queue.h"

/* 0 when the reply is no error, else -EPROTO with the error (NULL: the broken connection). */
MUST_CHECK int decode_check(const redisReply *r, struct redis_error *ret_error);
/* -EPROTO, and says that the answer to `what` is not understood. */
MUST_CHECK int decode_odd(const char *what, struct redis_error *ret_error);
/* An array of at least n elements. */
bool decode_is_array(const redisReply *r, size_t n);
struct bytes decode_bytes(const redisReply *r); /* empty when it is no string */
/* An integer, or a string of digits; else fallback. */
int64_t decode_i64(const redisReply *r, int64_t fallback);
/* A string into a field of fixed size, cut; "" when it is none. */
void decode_text(const redisReply *r, char *ret_text, size_t size);
/* An ID: false when it is none. */
bool decode_id(const redisReply *r, char ret_id[ENTRY_ID_SIZE]);
/* A copy, NULL when the string is empty or there is none. 0 or -ENOMEM. */
MUST_CHECK int decode_copy(const redisReply *r, char **ret_text);

/* What the pairs of several entries point into: freed with the last of them. */
struct backing;
/* Takes the reply out of the callback that it belongs to (zero copy); a reply that its caller keeps is left alone, and NULL with
 * *ret_copy set says that pairs must be copied. */
struct backing *backing_take(struct connection *conn, redisReply *reply, bool *ret_copy);
void backing_drop(struct backing *b); /* the taker's own share */
/* Takes a reply that the caller owns. NULL: no memory, the reply is freed. */
struct backing *backing_own(redisReply *reply);

/* Fill in id and pairs from an array of names and values (NIL: the payload is gone). backing NULL: copies.
 * 0, -EPROTO (odd), -ENOMEM; on failure the entry is empty. */
MUST_CHECK int decode_entry(const redisReply *id, const redisReply *pairs, struct backing *backing, struct entry *ret_entry);
