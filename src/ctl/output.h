/* What a verb prints. A verb describes its columns once, in a table, and then gives cells; from the same
 * cells come a table fitted to the terminal, a JSON array, or JSON lines. Rows leave as they come (a table
 * looks at the first few hundred to fit its columns), so that a list over a million entries needs no more
 * memory than one over ten. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/json.h"
#include "domain/entry.h"

enum output_format { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_JSONL };

struct output {
	enum output_format format;
	bool terminal; /* stdout is one */
	bool colour;
	bool unicode; /* the reader shows UTF-8 */
	size_t width; /* columns of the terminal; 0 = no limit */
	bool failed;  /* the reader is gone, or the disk is full: lists stop */
	int error;    /* errno of it */
};
void output_init(struct output *o, enum output_format format);
/* Flush. False when something could not be written for a reason other than a reader that has seen enough. */
bool output_finish(struct output *o);
/* Write text that is already fit for printing. */
void output_write(struct output *o, struct bytes text);
/* One whole JSON document, on a line of its own. */
void output_json(struct output *o, struct bytes json);
void output_line(struct output *o, const char *format, ...) PRINTF_LIKE(2, 3);

enum tone { TONE_PLAIN, TONE_GOOD, TONE_WARN, TONE_BAD, TONE_HEAD };

enum cell_kind {
	CELL_NULL,
	CELL_NUMBER,
	CELL_TEXT,
	CELL_FLAG,
	CELL_JSON,  /* finished JSON; `shown` is for people */
	CELL_PAIRS, /* the fields of an entry: "fields" and, where needed, "fields_b64", "pairs_b64" */
};
struct cell {
	enum cell_kind kind;
	enum tone tone;
	int64_t number;
	struct bytes text; /* borrowed until the row is given */
	struct bytes shown;
	const struct entry *entry;
	bool exact; /* TEXT: what is not UTF-8 is base64 in JSON, under its key with _b64 behind */
};

static inline struct cell cell_null(void)
{
	return (struct cell){ .kind = CELL_NULL };
}
static inline struct cell cell_number(int64_t value)
{
	return (struct cell){ .kind = CELL_NUMBER, .number = value };
}
/* null when it is `absent` */
static inline struct cell cell_number_unless(int64_t value, int64_t absent)
{
	return value == absent ? cell_null() : cell_number(value);
}
static inline struct cell cell_bytes(struct bytes text)
{
	return (struct cell){ .kind = CELL_TEXT, .text = text };
}
static inline struct cell cell_exact(struct bytes value)
{
	return (struct cell){ .kind = CELL_TEXT, .text = value, .exact = true };
}
/* NULL and "" are null. */
static inline struct cell cell_text(const char *text)
{
	return text && *text ? cell_bytes(bytes_of(text)) : cell_null();
}
static inline struct cell cell_flag(bool value)
{
	return (struct cell){ .kind = CELL_FLAG, .number = value };
}
static inline struct cell cell_json(struct bytes json, struct bytes shown)
{
	return (struct cell){ .kind = CELL_JSON, .text = json, .shown = shown };
}
static inline struct cell cell_pairs(const struct entry *entry)
{
	return (struct cell){ .kind = CELL_PAIRS, .entry = entry };
}
static inline struct cell cell_toned(struct cell cell, enum tone tone)
{
	cell.tone = tone;
	return cell;
}
/* Number, text or flag under that name; null for anything else. Borrows from the object. */
struct cell cell_member(json_t *object, const char *name);

enum show { SHOW_PLAIN, SHOW_DURATION, SHOW_TIME };
struct column {
	const char *key;   /* of the JSON object; part of the interface */
	const char *title; /* of the table; NULL = only in JSON */
	enum show show;
	bool elastic; /* may be cut to fit the terminal */
};

/* A row as a JSON object. */
void output_object(struct buf *out, const struct column *columns, const struct cell *cells, size_t n);

struct list {
	struct output *output;
	const struct column *columns;
	size_t n;
	size_t rows; /* given so far */
	/* private: */
	struct buf *pending; /* escaped cells of the first rows, n a row */
	enum tone *tones;
	size_t pending_rows;
	size_t *widths; /* NULL until they are known */
};
/* 0 or -ENOMEM. */
MUST_CHECK int list_begin(struct list *l, struct output *o, const struct column *columns, size_t n);
/* False: stop, nobody reads any more. */
bool list_row(struct list *l, const struct cell *cells);
/* Always to be called; empty_text: said on stderr to a person when there was no row (NULL: nothing). */
void list_end(struct list *l, const char *empty_text);

/* One thing in full: an object, or a line (or several) for each cell that is not null. */
void output_record(struct output *o, const struct column *columns, const struct cell *cells, size_t n);
