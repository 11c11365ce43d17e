/* One line of the log, as the filters of `events` see it and as people read it. */
#pragma once

#include <stdbool.h>

#include "base/json.h"
#include "ctl/output.h"

struct args;

/* 0 debug … 4 error; -1 = no such level. */
int event_level_named(struct bytes name);
/* An event (a JSON object with "event" and "level") that the command line's filters let through. */
bool event_wanted(const struct args *args, json_t *event);
/* The event as one line of text without the newline, safe for a terminal. */
void event_add_text(struct buf *out, json_t *event, bool unicode, bool colour);
