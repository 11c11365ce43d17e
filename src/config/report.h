/* Errors of a configuration, collected with their places and written in the order of the files: all of them
 * are looked for, the first fifty shown. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "config/arena.h"

/* Where something stands in the files. Lines and columns count from 1; line 0 = the file as a whole. */
struct place {
	unsigned file; /* index of the text in the source */
	unsigned line;
	unsigned column;
};

/* Where something stands in the tree of keys: a chain on the stack of whoever walks down. */
struct key_path {
	const struct key_path *up; /* NULL = the top */
	const char *name;          /* NULL = an element of a list */
	size_t index;
};

struct complaint;

struct report {
	struct arena *arena; /* kept: where the sentences are */
	struct complaint *first, *last;
	size_t count; /* all errors, also those beyond what is kept */
	bool no_memory;
};

/* Add an error. path may be NULL (no key is concerned). */
void report_add(struct report *r, struct place at, const struct key_path *path, const char *format, ...)
	PRINTF_LIKE(4, 5);
/* One line each into out: the first fifty by place, then how many more there are. name_of gives a file's name
 * by its index. */
void report_write(const struct report *r, const char *(*name_of)(const void *user, unsigned file),
		  const void *user, struct buf *out);

/* Text of the configuration inside a sentence: in quotes, cut when long, nothing in it can forge a line. */
struct quote {
	char text[80];
};
const char *quote_text(struct quote *q, const char *text, size_t length);
#define QUOTED(text_, length_) quote_text(&(struct quote){ { 0 } }, text_, length_)
#define QUOTED_TEXT(text_)     QUOTED(text_, strlen(text_))
