/* The full screen. */
#include "ctl/top.h"

int top_live(struct ctl *ctl, int64_t interval_ms)
{
	(void)ctl, (void)interval_ms;
	return ctl_say(CTL_USAGE,
		       "this xackctl was built without ncurses: there is only xackctl top --batch");
}
