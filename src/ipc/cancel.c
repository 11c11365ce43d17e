/* The two numbers are the lock: whose turn it is follows from whether they are the same. */
#include "ipc/cancel.h"

#include <string.h>

static const char *const names[] = {
	[CANCEL_ASKED] = "asked",	[CANCEL_BUSY] = "busy",		      [CANCEL_ENDING] = "ending",
	[CANCEL_NOT_HELD] = "not_held", [CANCEL_WITH_OTHERS] = "with_others",
};
_Static_assert(ARRAY_LEN(names) == CANCEL_RESULT_COUNT, "every result has a name");

const char *cancel_result_name(enum cancel_result result)
{
	return result < CANCEL_RESULT_COUNT ? names[result] : "";
}

static bool same(const struct cancel_request *a, const struct cancel_request *b)
{
	return a->delivery == b->delivery && a->retry == b->retry && a->force == b->force && strcmp(a->id, b->id) == 0 &&
	       strcmp(a->stream, b->stream) == 0 && strcmp(a->group, b->group) == 0;
}

enum cancel_result cancel_ask(struct cancel_slot *c, const struct cancel_request *request, bool *ret_new, uint32_t *ret_others)
{
	uint32_t asked = atomic_load(&c->asked);
	bool again = asked > 0 && same(&c->request, request);

	*ret_new = false;
	*ret_others = 0;
	if (atomic_load(&c->answered) != asked)
		return again ? CANCEL_ASKED : CANCEL_BUSY;
	if (again && c->told != asked) {
		c->told = asked;
		*ret_others = atomic_load(&c->others);
		return (enum cancel_result)atomic_load(&c->result);
	}
	c->request = *request;
	atomic_store(&c->asked, asked + 1);
	*ret_new = true;
	return CANCEL_ASKED;
}

void cancel_reset(struct cancel_slot *c)
{
	atomic_store(&c->asked, 0);
	atomic_store(&c->answered, 0);
	c->told = 0;
}

bool cancel_read(const struct cancel_slot *c, struct cancel_request *ret_request)
{
	if (atomic_load(&c->asked) == atomic_load(&c->answered))
		return false;
	*ret_request = c->request;
	return true;
}

void cancel_reply(struct cancel_slot *c, enum cancel_result result, uint32_t others)
{
	atomic_store(&c->result, (uint32_t)result);
	atomic_store(&c->others, others);
	atomic_store(&c->answered, atomic_load(&c->asked));
}
