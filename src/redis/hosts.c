/* The registry of hosts: who has a name, since when it was silent, and what the longest lease is. */
#include <errno.h>

#include "base/json.h"
#include "redis/admin.h"
#include "redis/ask.h"

/* All of a row but what Redis's clock and the group say, which the scripts add. */
static void add_row(struct command *cmd, const struct host_row *row)
{
	AUTO_BUF b = { 0 };

	buf_add_char(&b, '{');
	json_add_name(&b, "boot");
	json_add_text(&b, bytes_of(row->boot));
	json_add_name(&b, "machine");
	json_add_text(&b, bytes_of(row->machine));
	json_add_name(&b, "pid_ns");
	buf_addf(&b, "%llu", (unsigned long long)row->pid_ns);
	json_add_name(&b, "pid");
	json_add_i64(&b, row->pid);
	json_add_name(&b, "started");
	buf_addf(&b, "%llu", (unsigned long long)row->started);
	json_add_name(&b, "version");
	json_add_text(&b, bytes_of(row->version));
	json_add_name(&b, "workers");
	json_add_i64(&b, row->workers);
	json_add_name(&b, "lease_ms");
	json_add_i64(&b, row->lease_ms);
	buf_add_char(&b, '}');
	command_bytes(cmd, b.failed ? bytes_of("{}") : buf_bytes(&b));
}

static void add_identity(struct command *cmd, const struct host_row *row)
{
	command_text(cmd, row->boot);
	command_text(cmd, row->machine);
	command_u64(cmd, row->pid_ns);
	command_i64(cmd, row->pid);
	command_u64(cmd, row->started);
}

enum { TAKE_CODE, TAKE_BOOT, TAKE_MACHINE, TAKE_PID_NS, TAKE_PID, TAKE_STARTED, TAKE_LEASE, TAKE_VERSION, TAKE_AGO, TAKE_SIZE };

static void read_holder(const redisReply *reply, struct host_holder *h)
{
	*h = (struct host_holder){
		.pid_ns = (uint64_t)decode_i64(reply->element[TAKE_PID_NS], 0),
		.started = (uint64_t)decode_i64(reply->element[TAKE_STARTED], 0),
		.pid = decode_i64(reply->element[TAKE_PID], 0),
		.lease_ms = decode_i64(reply->element[TAKE_LEASE], 0),
		.seen_ago_ms = decode_i64(reply->element[TAKE_AGO], 0),
	};
	decode_text(reply->element[TAKE_BOOT], h->boot, sizeof(h->boot));
	decode_text(reply->element[TAKE_MACHINE], h->machine, sizeof(h->machine));
	decode_text(reply->element[TAKE_VERSION], h->version, sizeof(h->version));
}

int admin_host_take(struct connection *c, const struct queue_keys *k, const struct host_row *row, bool force, enum host_answer *ret,
		    struct host_holder *ret_holder, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_script(&cmd, "host_take", 1);
	command_text(&cmd, k->hosts);
	command_text(&cmd, row->name);
	add_row(&cmd, row);
	add_identity(&cmd, row);
	command_text(&cmd, force ? "1" : "0");
	int r = ask_array(c, &cmd, 1, &reply, ret_error);
	if (r < 0)
		return r;
	if (decode_i64(reply->element[TAKE_CODE], 0) == 0) {
		*ret = HOST_MINE;
		return 0;
	}
	if (!decode_is_array(reply, TAKE_SIZE))
		return decode_odd("host_take", ret_error);
	read_holder(reply, ret_holder);
	*ret = HOST_TAKEN;
	return 0;
}

int admin_host_renew(struct connection *c, const struct queue_keys *k, const struct host_row *row, enum host_answer *ret,
		     int64_t *ret_longest_lease_ms, int64_t *ret_others, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_script(&cmd, "host_renew", 2);
	command_text(&cmd, k->hosts);
	command_text(&cmd, k->stream);
	command_text(&cmd, row->name);
	add_row(&cmd, row);
	add_identity(&cmd, row);
	command_text(&cmd, k->group);
	command_i64(&cmd, row->lease_ms);
	int r = ask_array(c, &cmd, 4, &reply, ret_error);
	if (r < 0)
		return r;
	int64_t code = decode_i64(reply->element[0], 0);
	*ret = code == 0 ? HOST_MINE : code == 1 ? HOST_TAKEN : HOST_MISSING;
	*ret_longest_lease_ms = decode_i64(reply->element[1], row->lease_ms);
	*ret_others = decode_i64(reply->element[2], 0);
	return 0;
}

int admin_host_leave(struct connection *c, const struct queue_keys *k, const struct host_row *row, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	int64_t done = 0;

	command_script(&cmd, "host_leave", 1);
	command_text(&cmd, k->hosts);
	command_text(&cmd, row->name);
	add_identity(&cmd, row);
	return ask_i64(c, &cmd, &done, ret_error);
}
