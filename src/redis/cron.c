/* Schedules: where one has got to, and its next entry. */
#include "base/num.h"
#include "domain/schedule.h"
#include "redis/admin.h"
#include "redis/ask.h"

int admin_cron_see(struct connection *c, const struct queue_keys *k, const char *name, const char *rule,
		   int64_t *ret_last_ms, int64_t *ret_redis_now_ms, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_script(&cmd, "cron_see", 1);
	command_text(&cmd, k->cron);
	command_text(&cmd, name);
	command_text(&cmd, rule);
	int r = ask_array(c, &cmd, 2, &reply, ret_error);
	if (r < 0)
		return r;
	*ret_last_ms = decode_i64(reply->element[0], 0);
	*ret_redis_now_ms = decode_i64(reply->element[1], 0);
	return 0;
}

int admin_cron_fire(struct connection *c, const struct queue_keys *k, const struct cron_fire *fire,
		    struct cron_fired *ret, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;
	char slot[NUM_TEXT_SIZE];

	command_script(&cmd, "cron_fire", 2);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->cron);
	command_text(&cmd, fire->name);
	command_i64(&cmd, fire->last_ms);
	command_i64(&cmd, fire->slot_ms);
	command_i64(&cmd, fire->late_ms);
	for (size_t i = 0; i < fire->pair_count; i++) {
		command_bytes(&cmd, fire->pairs[i].name);
		command_bytes(&cmd, fire->pairs[i].value);
	}
	command_text(&cmd, SCHEDULE_FIELD_SLOT);
	command_bytes(&cmd, (struct bytes){ slot, num_i64_text(fire->slot_ms, slot) });
	int r = ask_array(c, &cmd, 4, &reply, ret_error);
	if (r < 0)
		return r;
	int64_t code = decode_i64(reply->element[0], -1);
	if (code < CRON_FIRED || code > CRON_TOO_LATE)
		return decode_odd("cron_fire", ret_error);
	*ret = (struct cron_fired){
		.answer = (enum cron_answer)code,
		.last_ms = decode_i64(reply->element[1], fire->last_ms),
		.redis_now_ms = decode_i64(reply->element[2], 0),
	};
	decode_text(reply->element[3], ret->id, sizeof(ret->id));
	return 0;
}

int admin_cron_forget(struct connection *c, const struct queue_keys *k, const char *name,
		      struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_BUF rule = { 0 };
	int64_t removed;

	buf_addf(&rule, "%s/rule", name);
	command_begin(&cmd, "HDEL");
	command_text(&cmd, k->cron);
	command_bytes(&cmd, buf_bytes(&rule));
	return ask_i64(c, &cmd, &removed, ret_error);
}

int admin_cron_last(struct connection *c, const struct queue_keys *k, const char *name, int64_t *ret_last_ms,
		    struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_begin(&cmd, "HGET");
	command_text(&cmd, k->cron);
	command_text(&cmd, name);
	int r = ask(c, &cmd, &reply, ret_error);
	if (r < 0)
		return r;
	*ret_last_ms = decode_i64(reply, -1);
	return 0;
}
