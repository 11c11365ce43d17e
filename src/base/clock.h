/* The clocks, named by purpose. int64_t with the unit in the name everywhere. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

int64_t clock_mono_ms(void); /* timers and durations on this host */
int64_t clock_mono_us(void);
int64_t clock_boot_ms(void); /* lease validity: counts a suspended machine too */
int64_t clock_wall_ms(void); /* log stamps only */
int64_t clock_wall_us(void);

/* RFC 3339, UTC, microseconds: "2024-01-31T10:11:12.123456Z". */
enum { CLOCK_STAMP_SIZE = 32 };
void clock_stamp(int64_t wall_us, char ret_text[CLOCK_STAMP_SIZE]);
/* The way back, for what others wrote: YYYY-MM-DD, or with THH:MM[:SS[.fraction]] behind it (a blank does for the T) and Z, +HH:MM or -HH:MM;
 * without a zone it is UTC. Years 1970 to 9999. 0 or -EINVAL. */
MUST_CHECK int clock_parse(struct bytes text, int64_t *ret_wall_us);
