/* JSON: jansson for documents, and a writer for what is written per job or per event (no allocation
 * beside the buffer's). */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

/* Add a JSON string literal; bytes that are not UTF-8 become U+FFFD, control characters (and DEL, U+2028/9, and
 * C1 controls) are escaped. */
void json_add_text(struct buf *b, struct bytes text);
/* Add "name": in front of a value, with a comma before it unless the object is still empty ('{' just written). */
void json_add_name(struct buf *b, const char *name);
void json_add_i64(struct buf *b, int64_t value);

/* Parse one whole document, duplicate keys refused, NUL in strings allowed. Gives a reference or NULL. */
json_t *json_parse(struct bytes text);
/* The same, for numbers of any length: all of them become reals. */
json_t *json_parse_reals(struct bytes text);
/* json_stringn that never fails for invalid UTF-8 (U+FFFD). */
json_t *json_text(struct bytes text);

static inline void json_unref_(json_t **j)
{
	if (*j)
		json_decref(*j);
}
#define AUTO_JSON __attribute__((cleanup(json_unref_))) json_t
