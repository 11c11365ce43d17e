/* See the header. */
#include "ctl/steps.h"

#include <signal.h>
#include <stddef.h>
#include <time.h>

enum { PAUSE_MOST_MS = 1000 };

static void stop_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
}

void steps_begin(void)
{
	sigset_t set;
	stop_signals(&set);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

bool steps_rest(int64_t ms)
{
	sigset_t set;
	const struct timespec time = { ms / 1000, ms % 1000 * 1000000 };
	stop_signals(&set);
	return sigtimedwait(&set, NULL, &time) > 0;
}

int64_t steps_pause_ms(int64_t took_ms, int64_t share)
{
	int64_t ms = took_ms * (share - 1);
	return ms > PAUSE_MOST_MS ? PAUSE_MOST_MS : ms;
}
