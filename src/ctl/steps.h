/* Much work in small steps: between two of them Redis has time for others, and Ctrl-C (or SIGTERM) is waited
 * for, so that it ends nothing in the middle and what was done by then can be told. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* From now on both signals only end a rest. */
void steps_begin(void);
/* Rest for so long (0: only look). True: it is to stop. */
bool steps_rest(int64_t ms);
/* How long, behind a step that took took_ms, so that steps are a share-th of the time; a second at most. */
int64_t steps_pause_ms(int64_t took_ms, int64_t share);
