/* The note of an entry's last failure: JSON that was read from Redis, so it is whatever somebody wrote there.
 */
#pragma once

#include "base/json.h"

struct note {
	json_t *object;              /* NULL = none, or not understood */
	char *text;                  /* the same, as one JSON text */
	const char *reason, *detail; /* into it; NULL = absent */
};
/* text may be NULL. */
void note_read(struct note *n, const char *text);
void note_done(struct note *n);
#define AUTO_NOTE __attribute__((cleanup(note_done))) struct note
