/* A bounded table of names, numbered in the order in which they were first seen: what the log says (jobs,
 * hosts, reasons) may be anything and as much as it likes. All names beyond the bound are one, "other". */
#pragma once

#include <stddef.h>

#include "base/attr.h"
#include "base/bytes.h"

enum { NAMES_LONGEST = 160 }; /* bytes; what is longer is cut */

struct names {
	size_t most;
	size_t count; /* without "other" */
	char **name;  /* owned; most of them */
	size_t *length;
	unsigned *slot; /* open addressing; number + 1, 0 = free */
	size_t slots;
};

/* 0 or -ENOMEM. */
MUST_CHECK int names_init(struct names *n, size_t most);
void names_done(struct names *n);

/* Its number; `most` stands for all others (also when there is no memory for another name). */
size_t names_index(struct names *n, struct bytes name);
/* "other" for `most`. */
struct bytes names_text(const struct names *n, size_t index);
