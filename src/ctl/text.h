/* Text for people: what comes from an entry, a handler or Redis is never printed as it is. Control
 * characters, escape sequences, what reorders or hides text, and what is not UTF-8 is spelled out (\n, \x1b,
 * \u{202e}), so that no value can move the cursor, forge a line or look like another one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

/* Add text spelled out. unicode: the reader shows UTF-8; else all of ASCII only. At most max_bytes of the
 * text, then "…". */
void text_escape(struct buf *out, struct bytes text, bool unicode, size_t max_bytes);
/* Columns on a terminal of a text made by text_escape. */
size_t text_width(struct bytes text);
/* Add as much of such a text as fits into width columns, with a mark where it was cut. */
void text_cut(struct buf *out, struct bytes text, size_t width, bool unicode);
/* How many bytes of such a text fit into width columns, whole characters with what combines with them; at least
 * one character, so that a loop over it ends. */
size_t text_fitting(struct bytes text, size_t width);
/* Does it begin with a character that would combine with whatever stands before it? */
bool text_begins_combining(struct bytes text);
/* Make finished JSON safe for a terminal: what is not ASCII and not plainly printable becomes \uXXXX. The
 * same JSON. */
void text_escape_json(struct buf *out, struct bytes json, bool unicode);

/* "0 ms" "12.3 s" "5 m 10 s" "2 h 5 m" "3 d 4 h". */
void text_add_duration(struct buf *out, int64_t ms);
/* "2024-01-31 10:11:12Z". */
void text_add_time(struct buf *out, int64_t unix_ms);
