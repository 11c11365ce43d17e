/* Fields of an entry as they stand on the command line: NAME=VALUE, NAME=@FILE, NAME=@- (standard input). */
#pragma once

#include "base/attr.h"
#include "domain/entry.h"

struct draft {
	struct entry_pair *pairs; /* names borrow from the command line */
	struct buf *values;       /* one for each argument; used when it came from a file */
	size_t n;
	size_t value_count;
};
/* All of the arguments; room for so many pairs more. 0, or the exit code (said). */
MUST_CHECK int draft_read(struct draft *d, char *const *arguments, size_t count, size_t more);
void draft_done(struct draft *d);
#define AUTO_DRAFT __attribute__((cleanup(draft_done))) struct draft
