/* The table of Redis's errors. An answer that is not in it is logged whole and backed off from: nothing that Redis says
 * makes xackd crash, spin or give up. */
#include "redis/reaction.h"

#include <stdbool.h>
#include <string.h>

#include "base/attr.h"

/* Redis does not say which one is missing. */
#define SCRIPTS_NEED                                                                                          \
	"xreadgroup xack xclaim xautoclaim xpending xinfo xgroup xadd xdel xrange xrevrange xlen xtrim zadd zrem " \
	"zrange zrangebyscore zcard hset hget hdel hincrby hgetall hscan hexists hlen exists time get set expire"

/* clang-format off */
static const struct reaction_row reaction_rows[] = {
	{ "LOADING",     REACT_BACK_OFF,  "Redis is loading its data" },
	{ "BUSY",        REACT_BACK_OFF,  "a script of somebody keeps Redis busy" },
	{ "OOM",         REACT_BACK_OFF,  "Redis is out of memory (maxmemory): give it more, or remove data" },
	{ "MISCONF",     REACT_BACK_OFF,  "Redis cannot save to its disk and refuses writes: see its log" },
	{ "NOREPLICAS",  REACT_BACK_OFF,  "too few replicas are connected (min-replicas-to-write)" },
	{ "CLUSTERDOWN", REACT_BACK_OFF,  "the cluster does not serve this slot at the moment" },
	{ "TRYAGAIN",    REACT_BACK_OFF,  "the slot is being moved" },
	{ "READONLY",    REACT_RECONNECT, "this Redis has become a replica" },
	{ "MASTERDOWN",  REACT_RECONNECT, "this replica has lost its master" },
	{ "ERR max number of clients reached", REACT_RECONNECT, "Redis has no room for another connection (maxclients)" },
	{ "NOSCRIPT",    REACT_RESEND,    "Redis has forgotten its scripts (a restart, SCRIPT FLUSH)" },
	{ "ERR Script killed by user", REACT_RESEND, "SCRIPT KILL ended it before it wrote" },
	{ "UNBLOCKED",   REACT_REREAD,    "the blocking read was ended" },
	{ "NOGROUP",     REACT_GROUP,     "the stream or its consumer group was removed" },
	{ "ERR no such key", REACT_GROUP, "the stream was removed" },
	{ "ERR The XGROUP subcommand requires the key to exist", REACT_GROUP, "the stream was removed" },
	{ "NOAUTH",      REACT_OPERATOR,  "Redis wants a password: set redis.password_file or redis.password_env" },
	{ "WRONGPASS",   REACT_OPERATOR,  "wrong user name or password: see redis.username and redis.password_file" },
	{ "ERR invalid password", REACT_OPERATOR, "wrong password: see redis.password_file" },
	{ "ERR AUTH <password> called without any password configured", REACT_OPERATOR, "Redis has no password: remove redis.password_file or redis.password_env" },
	{ "ERR Client sent AUTH, but no password is set", REACT_OPERATOR, "Redis has no password: remove redis.password_file or redis.password_env" },
	{ "NOPERM",      REACT_OPERATOR,  "the Redis user lacks a right: see the ACL in the manual" },
	{ "ERR The user executing the script can't run this command or subcommand", REACT_OPERATOR, "give the Redis user what xackd's scripts call: " SCRIPTS_NEED },
	{ "DENIED",      REACT_OPERATOR,  "Redis is in protected mode: set a password, or bind it to an address" },
	{ "WRONGTYPE",   REACT_OPERATOR,  "a key that should be a stream, or one of xackd's own, holds something else: rename or remove it" },
	{ "CROSSSLOT",   REACT_OPERATOR,  "the streams of a pool must share one hash tag in a cluster" },
	{ "ERR Script attempted to access a non local key in a cluster node", REACT_OPERATOR, "the streams of a pool must share one hash tag in a cluster" },
	{ "ERR unknown command", REACT_OPERATOR, "this Redis is too old, or the command was renamed: 6.2 at least is needed, 7.0 recommended" },
	{ "ERR Unknown Redis command called from", REACT_OPERATOR, "this Redis is too old, or the command was renamed: 6.2 at least is needed, 7.0 recommended" },
	{ "ERR DB index is out of range", REACT_OPERATOR, "redis.url names a database that this Redis does not have" },
	{ "ERR invalid DB index", REACT_OPERATOR, "redis.url names a database that this Redis does not have" },
	{ "ERR SELECT is not allowed in cluster mode", REACT_OPERATOR, "a cluster has database 0 only" },
	{ "MOVED",       REACT_FOLLOW,    "the slot lives on another node" },
	{ "ASK",         REACT_FOLLOW,    "the slot is moving to another node" },
	{ "",            REACT_UNKNOWN,   "an answer that xackd does not know" },
};
/* clang-format on */

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* True when the error begins with code and the word ends there. */
static bool begins_with(struct bytes error, const char *code)
{
	size_t n = strlen(code);
	if (n == 0)
		return true;
	if (error.n < n || memcmp(error.p, code, n) != 0)
		return false;
	return error.n == n || !is_word(error.p[n]);
}

const struct reaction_row *reaction_find(struct bytes error)
{
	const struct reaction_row *best = &reaction_rows[ARRAY_LEN(reaction_rows) - 1];

	for (size_t i = 0; i < ARRAY_LEN(reaction_rows); i++)
		if (strlen(reaction_rows[i].code) > strlen(best->code) && begins_with(error, reaction_rows[i].code))
			best = &reaction_rows[i];
	return best;
}

const struct reaction_row *reaction_table(size_t *ret_count)
{
	*ret_count = ARRAY_LEN(reaction_rows);
	return reaction_rows;
}
