/* One event of the log, as the report sees it: the fields that it looks at, out of the JSON that
 * xackd-events(7) describes. What comes from the journal has all values as text; that is understood, too. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/json.h"

enum { RECORD_ABSENT = -1 }; /* of a number */

struct record {
	struct bytes event; /* borrowed from the JSON, like all texts; absent = empty */
	int64_t at_ms;      /* Unix ms */
	struct bytes host, job, stream, group, id, worker;
	int64_t attempt; /* RECORD_ABSENT or more, like all numbers */
	json_t *fields;  /* borrowed: the whole event */
};

/* False: this is no event (no name, no time). */
bool record_read(struct record *ret_record, json_t *event);

struct bytes record_text(const struct record *r, const char *name);
/* RECORD_ABSENT where it is missing, null, negative or no number. */
int64_t record_number(const struct record *r, const char *name);
/* A member of the object under `name`. */
int64_t record_inner_number(const struct record *r, const char *name, const char *member);
