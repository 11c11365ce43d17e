/* Memory that is given back all at once: a configuration is many small texts with one life. Texts that jobs
 * share (a stream's name, what came from `defaults:`) are held once, and a loaded configuration costs a
 * worker a few pages. */
#pragma once

#include <stddef.h>

#include "base/attr.h"

struct arena_chunk;

/* Zero-initialise. */
struct arena {
	struct arena_chunk *chunk; /* the one that is being filled; older ones behind it */
};

/* Zeroed memory for any type, or NULL. */
void *arena_alloc(struct arena *a, size_t size);
/* The same for count elements; NULL on overflow too. */
void *arena_array(struct arena *a, size_t count, size_t size);
/* A copy with a NUL behind it, or NULL. */
char *arena_text(struct arena *a, const char *text, size_t length);
void arena_done(struct arena *a);
