/* From bytes to figures: cuts what is read into lines, reads each as an event, and counts it. It keeps at
 * most one line. */
#pragma once

#include <stdbool.h>

#include "base/bytes.h"
#include "report/digest.h"
#include "report/digest_json.h"

enum { FEED_LONGEST_LINE = 1 << 20 };

struct feed {
	struct digest *digest; /* borrowed */
	struct digest_source source;
	struct buf line;
	bool overlong; /* what comes up to the next newline belongs to a line that is too long */
};

void feed_bytes(struct feed *f, struct bytes text);
/* The last line had no newline. */
void feed_end(struct feed *f);
/* One event that stood on no line (the journal's). Borrowed. */
void feed_event(struct feed *f, json_t *event);
void feed_done(struct feed *f);
