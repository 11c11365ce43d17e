/* See the header. */
#include "redis/ask.h"

#include <errno.h>

int ask(struct connection *c, const struct command *cmd, redisReply **ret_reply, struct redis_error *ret_error)
{
	return connection_call(c, cmd, CONNECTION_DEFAULT_TIMEOUT, ret_reply, ret_error);
}

int ask_array(struct connection *c, const struct command *cmd, size_t n, redisReply **ret_reply, struct redis_error *ret_error)
{
	int r = ask(c, cmd, ret_reply, ret_error);
	if (r < 0 || decode_is_array(*ret_reply, n))
		return r;
	freeReplyObject(*ret_reply);
	*ret_reply = NULL;
	return decode_odd("a script", ret_error);
}

int ask_i64(struct connection *c, const struct command *cmd, int64_t *ret_value, struct redis_error *ret_error)
{
	AUTO_REPLY *reply = NULL;
	int r = ask(c, cmd, &reply, ret_error);
	if (r == 0)
		*ret_value = decode_i64(reply, 0);
	return r;
}

int ask_no_memory(struct redis_error *ret_error)
{
	*ret_error = (struct redis_error){ .reaction = REACT_BACK_OFF, .advice = "", .text = "no memory for the answer" };
	return -EPROTO;
}
