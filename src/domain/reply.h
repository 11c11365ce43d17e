/* What a process for many entries answers to one of them, a JSON object on one line:
 * {"id":…,"status":"ok"|"retry"|"later"|"dead","after":s,"reason":…,"result":…}. A parser without I/O; all of it is hostile. */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "domain/entry.h"
#include "domain/outcome.h"
#include "domain/result.h"

enum reply_status { REPLY_OK, REPLY_RETRY, REPLY_LATER, REPLY_DEAD, REPLY_NONSENSE };

struct reply {
	char id[ENTRY_ID_SIZE]; /* "" = none that could be one */
	enum reply_status status;
	int64_t after_ms;       /* -1 = not said */
	char reason[256];       /* valid UTF-8; with NONSENSE: what is wrong with it */
	struct result result;   /* with OK: of a string its text, else the JSON as it was written, without blanks */
};

/* Never fails: what is not understood is NONSENSE. cut: the line was too long; {"id":…,"status":"ok","result":… is understood all the same,
 * with a result that was too long. Gives *ret_reply: reply_done() frees. */
void reply_parse(struct bytes line, bool cut, struct reply *ret_reply);
void reply_done(struct reply *r);

/* Decide what follows for the entry. */
void outcome_of_reply(const struct job *job, const struct reply *reply, int64_t attempt, double random, struct outcome *ret_outcome);
/* It ended well, or goes on, but this entry was never answered rightly. */
void outcome_no_reply(const struct job *job, const char *detail, int64_t attempt, double random, struct outcome *ret_outcome);
