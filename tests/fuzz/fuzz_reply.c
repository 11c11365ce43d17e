/* Answers of Redis: the first byte picks who takes the answer apart, the rest is the wire. Nothing is believed of its shape; each is understood or
 * is an error with a text. */
#include "fuzz.h"

#include <errno.h>

#include "redis/decode.h"
#include "redis/letter.h"

static struct queue_keys the_keys[2];
static const struct queue_keys *const keys[] = { &the_keys[0], &the_keys[1] };

static void check_list(const struct entry_list *l)
{
	uint64_t ms = 0, seq = 0;

	for (size_t i = 0; i < l->count; i++) {
		const struct entry *e = &l->entries[i];
		PROMISED(entry_id_parse(bytes_of(e->id), &ms, &seq) == 0);
		PROMISED(entry_attempt(e) >= 1);
		PROMISED(!e->payload_gone || e->pair_count == 0);
		(void)entry_find(e, bytes_of("field"));
	}
}

static int read_or_fetch(redisReply *reply, struct redis_error *error)
{
	struct entry_list list = { 0 };
	int r = queue_parse_read(NULL, reply, keys, ARRAY_LEN(keys), &list, error);
	if (r == 0)
		check_list(&list);
	entry_list_done(&list);
	return r;
}

static int take(redisReply *reply, struct redis_error *error)
{
	struct take_answer a = { 0 };
	int r = queue_parse_take(NULL, reply, 0, &a, error);
	if (r == 0)
		check_list(&a.list);
	take_answer_done(&a);
	return r;
}

static int settle(redisReply *reply, unsigned char kind, struct redis_error *error)
{
	struct settle_answer a = { 0 };
	int r = queue_parse_settle(reply, (enum settle_kind)(kind % (SETTLE_RELEASE + 1)), &a, error);
	PROMISED(strnlen(a.owner, sizeof(a.owner)) < sizeof(a.owner));
	return r;
}

static int mine(redisReply *reply, struct redis_error *error)
{
	struct held_list list = { 0 };
	int r = queue_parse_mine(reply, &list, error);
	held_list_done(&list);
	return r;
}

static int small(redisReply *reply, struct redis_error *error)
{
	enum renew_result renewed = RENEWED;
	bool gone = false;
	int64_t n = 0;

	(void)!queue_parse_count(reply, &n, error);
	(void)!queue_parse_status(reply, &n, error);
	return queue_parse_renew(reply, &renewed, &gone, error);
}

static int packed(redisReply *reply)
{
	struct entry_pair *pairs = NULL;
	size_t count = 0;
	int r = letter_unpack(decode_bytes(reply), &pairs, &count);

	for (size_t i = 0; r == 0 && i < count; i++)
		PROMISED(pairs[i].value.n == 0 || pairs[i].value.p);
	if (r == 0)
		free(pairs);
	return 0;
}

static void take_apart(redisReply *reply, unsigned char who)
{
	struct redis_error error = { .reaction = REACT_NONE };
	int r = 0;

	switch (who % 6) {
	case 0:
		r = read_or_fetch(reply, &error);
		break;
	case 1:
		r = take(reply, &error);
		break;
	case 2:
		r = settle(reply, who / 6, &error);
		break;
	case 3:
		r = mine(reply, &error);
		break;
	case 4:
		r = packed(reply);
		break;
	default:
		r = small(reply, &error);
		break;
	}
	PROMISED(r == 0 || r == -ENOMEM || (error.reaction != REACT_NONE && error.text[0]));
}

/* hiredis makes room for as many elements as an array says to have; that is not what is tried here. */
static bool modest(struct bytes wire)
{
	size_t digits = 6;

	for (size_t i = 0; i < wire.n; i++) {
		digits = wire.p[i] == '*' ? 0 : digits + 1;
		if (digits == 5 && wire.p[i] >= '0' && wire.p[i] <= '9')
			return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = { (const char *)data, size };
	unsigned char who = next_byte(&rest);
	redisReader *reader = redisReaderCreate();
	void *reply = NULL;

	if (!reader)
		return 0;
	if (modest(rest) && redisReaderFeed(reader, rest.p, rest.n) == REDIS_OK) {
		while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply) {
			take_apart(reply, who);
			freeReplyObject(reply);
			reply = NULL;
		}
	}
	redisReaderFree(reader);
	return 0;
}
