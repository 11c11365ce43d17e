/* One event as one line of JSON or text. Private to src/log. */
#pragma once

#include "log/event.h"

struct line_head {
	int64_t wall_us;
	enum event_level level;
	const char *name;
	const char *host;
};

/* Both add the newline; every value is escaped here and nowhere else. */
void line_json(struct buf *out, const struct line_head *head, const struct event_about *about, const struct event_field *fields, size_t count);
void line_text(struct buf *out, const struct line_head *head, const char *says, bool colour, const struct event_about *about,
	       const struct event_field *fields, size_t count);
/* The journal's native form: one field a line. */
struct line_kind {
	const char *says;
	const char *message_id;
};
void line_journal(struct buf *out, const struct line_head *head, const struct line_kind *kind, const struct event_about *about,
		  const struct event_field *fields, size_t count);
const char *level_name(enum event_level level);
