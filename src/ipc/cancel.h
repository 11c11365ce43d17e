/* What an operator wants ended: from the supervisor to one worker, in that worker's slot. The supervisor writes the request, raises
 * `asked` and sends SIGUSR2; the worker looks at what is in its hands, by ID and delivery, and answers. So only the very delivery that
 * was named is ended, never the next entry that the worker has begun meanwhile. One request at a time a worker. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

enum { CANCEL_NAME_SIZE = 256, CANCEL_ID_SIZE = 48 };

struct cancel_request {
	char stream[CANCEL_NAME_SIZE];
	char group[CANCEL_NAME_SIZE];
	char id[CANCEL_ID_SIZE];
	int64_t delivery;
	bool retry; /* park it instead of burying it */
	bool force; /* also where others that its process works on must run again */
};

enum cancel_result {
	CANCEL_ASKED,       /* the worker has not answered yet */
	CANCEL_BUSY,        /* … another request: ask again */
	CANCEL_ENDING,      /* its handler is told to end, or it never starts */
	CANCEL_NOT_HELD,    /* that delivery is not in its hands (any more, or not yet) */
	CANCEL_WITH_OTHERS, /* nothing was done: its process works on `others` more */
	CANCEL_RESULT_COUNT,
};
const char *cancel_result_name(enum cancel_result result); /* "asked" "busy" … */

struct cancel_slot {
	_Atomic uint32_t asked;    /* the supervisor: raised when a request stands */
	_Atomic uint32_t answered; /* the worker: the last one it has answered */
	_Atomic uint32_t result;   /* enum cancel_result */
	_Atomic uint32_t others;
	uint32_t told;                 /* private to the supervisor: the last answer that was passed on */
	struct cancel_request request; /* the supervisor writes it only while asked = answered, the worker reads it only while not */
};

/* Supervisor. Ask, or, asked the same again, tell what became of it. *ret_new: the worker is to be signalled. others: of WITH_OTHERS. */
enum cancel_result cancel_ask(struct cancel_slot *c, const struct cancel_request *request, bool *ret_new, uint32_t *ret_others);
/* Supervisor, before a new worker starts in the slot. */
void cancel_reset(struct cancel_slot *c);
/* Worker: what stands there unanswered; false: nothing. */
bool cancel_read(const struct cancel_slot *c, struct cancel_request *ret_request);
/* Worker, after cancel_read was true. */
void cancel_reply(struct cancel_slot *c, enum cancel_result result, uint32_t others);
