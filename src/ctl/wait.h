/* Waiting for an entry to be done, and telling its result. */
#pragma once

#include "ctl/ctl.h"

/* --raw together with a format is a contradiction. 0 or the exit code (said). */
MUST_CHECK int wait_check_options(const struct ctl *ctl);
/* An entry that has just been added there: until it is done or --timeout passed. Prints what `wait` prints,
 * for people the ID at once. Gives the exit code. */
int wait_for_added(struct ctl *ctl, size_t queue, const char *id);
