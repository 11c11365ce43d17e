/* The clocks, named by purpose. int64_t with the unit in the name everywhere. */
#pragma once

#include <stdint.h>

int64_t clock_mono_ms(void); /* timers and durations on this host */
int64_t clock_mono_us(void);
int64_t clock_boot_ms(void); /* lease validity: counts a suspended machine too */
int64_t clock_wall_ms(void); /* log stamps only */
int64_t clock_wall_us(void);

/* RFC 3339, UTC, microseconds: "2024-01-31T10:11:12.123456Z". */
enum { CLOCK_STAMP_SIZE = 32 };
void clock_stamp(int64_t wall_us, char ret_text[CLOCK_STAMP_SIZE]);
