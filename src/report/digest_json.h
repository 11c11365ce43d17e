/* A digest as JSON: what `xackctl report --json` prints and what the page shows. The keys are API; the manual
 * page has them. */
#pragma once

#include "base/bytes.h"
#include "report/digest.h"

/* Where the events came from. */
struct digest_source {
	const char *name;    /* for people: a file's name, "the journal"; borrowed */
	const char *version; /* of this program */
	int64_t made_ms;     /* when the report is made */
	uint64_t bytes, lines;
	uint64_t malformed; /* lines that are no JSON object, or longer than any event */
	uint64_t foreign;   /* JSON that is no event */
	uint64_t unused;    /* events that the report does not look at: the lines that handlers wrote, say */
};

/* Adds one JSON object; rows of lists stand on lines of their own. */
void digest_write_json(struct buf *out, const struct digest *t, const struct digest_source *source);

/* The key figures in words, for people and for a page without scripts: label, value and, where it is bad
 * news, "warn" or "bad". */
struct digest_figure {
	char label[40];
	char value[64];
	char note[96];
	char tone[8];
};
enum { DIGEST_FIGURES = 12 };
size_t digest_figures(const struct digest *t, struct digest_figure ret_figures[DIGEST_FIGURES]);
