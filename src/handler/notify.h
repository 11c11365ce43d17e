/* What a handler says on fd 3: lines KEY=VALUE in the style of sd_notify. A parser without I/O; all of it is hostile. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "domain/outcome.h"

/* A line of fd 3: room for the largest result, in whatever way a program writes it as JSON. */
enum { NOTIFY_STATUS_MAX = 127, NOTIFY_LINE_MAX_BYTES = 256 * 1024 };

struct notify {
	struct said said;
	int64_t progress;                   /* 0 … 100, -1 = not said */
	char status[NOTIFY_STATUS_MAX + 1]; /* valid UTF-8 without control characters */
	size_t status_n;
	bool progress_news;                 /* progress or status came since the caller last cleared this */
	bool wants_result;                  /* else RESULT is ignored */
	int64_t extend_ms;                  /* EXTEND_TIMEOUT, counted from now; -1 = none, the caller clears it */
	struct buf scratch;                 /* private */
};

/* A new run. Zero-initialise before the first. */
void notify_begin(struct notify *n, bool wants_result);
/* One line. Unknown keys and malformed values are ignored; the last of equal keys wins. cut: too long to be one of ours; of a RESULT it
 * is told that it was. */
void notify_line(struct notify *n, struct bytes line, bool cut);
/* KEY=VALUE; what a process for many entries says beside that is meant as an answer. */
bool notify_is_notice(struct bytes line);
void notify_done(struct notify *n);
