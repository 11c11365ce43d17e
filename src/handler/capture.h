/* A handler's output: lines for the log, with a brake on floods, and the end of stderr for the note. No I/O, no clock: bytes and times
 * come in. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "handler/lines.h"

enum {
	CAPTURE_TAIL = 4096,                     /* of stderr, raw bytes */
	CAPTURE_LINES_PER_S = 2000,              /* what a log can be asked to take from one handler; also the burst */
	CAPTURE_BYTES_PER_S = 2 * 1024 * 1024,
};

/* Tokens that come back with time; what a line costs is taken, or the line is dropped. */
struct flood {
	int64_t line_us;  /* in millionths of a line and of a byte, so that short times count too */
	int64_t byte_us;
	int64_t last_us;
	int64_t dropped_lines;
	int64_t dropped_bytes;
};

struct capture {
	struct lines lines[2]; /* of fd 1 and 2 */
	char room[2][LINE_MAX_BYTES];
	struct flood flood;
	bool log;              /* false: only the tail is kept */
	char tail[CAPTURE_TAIL];
	size_t tail_n;
	/* private: of the feed that runs */
	int fd;
	void (*line)(void *user, int fd, struct bytes line, bool cut);
	void *user;
};

void capture_init(struct capture *c, void (*line)(void *user, int fd, struct bytes line, bool cut), void *user);
/* A new run. */
void capture_begin(struct capture *c, bool log, int64_t now_us);
/* Bytes that were read from fd 1 or 2. */
void capture_feed(struct capture *c, int fd, struct bytes chunk, int64_t now_us);
/* The run is over: unfinished lines are handed on. */
void capture_end(struct capture *c, int64_t now_us);
/* Were lines dropped since they were last taken? And how many. */
bool capture_dropping(const struct capture *c);
void capture_take_dropped(struct capture *c, int64_t *ret_lines, int64_t *ret_bytes);
struct bytes capture_tail(const struct capture *c);
