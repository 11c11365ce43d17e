/* Blocking calls for the reaper and the operator's desk. Private to src/redis. */
#pragma once

#include "redis/decode.h"

static inline void reply_free_(redisReply **reply)
{
	if (*reply)
		freeReplyObject(*reply);
}
#define AUTO_REPLY __attribute__((cleanup(reply_free_))) redisReply

/* connection_call with the configured time. 0 with a reply (give it to AUTO_REPLY), -EIO, -EPROTO. */
MUST_CHECK int ask(struct connection *c, const struct command *cmd, redisReply **ret_reply, struct redis_error *ret_error);
/* The same for an answer that must be an array of at least n. */
MUST_CHECK int ask_array(struct connection *c, const struct command *cmd, size_t n, redisReply **ret_reply, struct redis_error *ret_error);
/* The same for a number. */
MUST_CHECK int ask_i64(struct connection *c, const struct command *cmd, int64_t *ret_value, struct redis_error *ret_error);
MUST_CHECK int ask_no_memory(struct redis_error *ret_error);
