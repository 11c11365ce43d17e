/* What a handler reads on stdin. */
#pragma once

#include "base/attr.h"
#include "domain/environment.h"

/* One JSON object on one line, newline included. 0 or -ENOMEM. */
MUST_CHECK int payload_json(struct buf *out, const struct run_facts *facts);
/* "fields":{…} and where needed "fields_b64":{…}, "pairs_b64":[…], without braces around: the same on a handler's
 * stdin, in `dead ls` and in `explain`. */
void payload_add_fields(struct buf *out, const struct entry_pair *pairs, size_t pair_count);
