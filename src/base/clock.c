/* The clocks. clock_gettime cannot fail for these, so nobody has to check. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_us(clockid_t id)
{
	struct timespec t;
	(void)clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

int64_t clock_boot_ms(void)
{
	return read_us(CLOCK_BOOTTIME) / 1000;
}

int64_t clock_wall_us(void)
{
	return read_us(CLOCK_REALTIME);
}

int64_t clock_wall_ms(void)
{
	return clock_wall_us() / 1000;
}

void clock_stamp(int64_t wall_us, char ret_text[CLOCK_STAMP_SIZE])
{
	int64_t below = ((wall_us % 1000000) + 1000000) % 1000000; /* never negative, so that times before 1970 are right too */
	time_t seconds = (time_t)((wall_us - below) / 1000000);
	struct tm tm;
	char day[CLOCK_STAMP_SIZE - 8];

	if (!gmtime_r(&seconds, &tm) || strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		snprintf(day, sizeof(day), "1970-01-01T00:00:00");
	snprintf(ret_text, CLOCK_STAMP_SIZE, "%s.%06uZ", day, (unsigned)below % 1000000u);
}
