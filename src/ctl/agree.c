/* Before many things are changed at once: how many it is, and whether that was meant. */
#include <inttypes.h>
#include <stdio.h>

#include "ctl/ctl.h"

int ctl_agree(const struct ctl *ctl, int64_t count, const char *thing, const char *things, const char *verb,
	      const char *done)
{
	char answer[16];
	const char *word = count == 1 ? thing : things;
	if (args_given(ctl->args, OPTION_YES))
		return 0;
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return ctl_say(CTL_NO, "%" PRId64 " %s would be %s; say --yes to do it", count, word, done);
	(void)fprintf(stderr, "%" PRId64 " %s: %s? [y/N] ", count, word, verb);
	if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return 0;
	return ctl_say(CTL_NO, "nothing was changed");
}

int ctl_check_selection(const struct ctl *ctl)
{
	const struct args *a = ctl->args;
	bool all = args_given(a, OPTION_ALL);
	/* Beside IDs, --job and --queue only say which of several is meant. */
	uint64_t filters = a->given & (a->rest_count ? TAKES_FILTERS & ~TAKES_QUEUE : TAKES_FILTERS);
	if (a->rest_count > 0 && (all || filters))
		return ctl_say(CTL_USAGE, "IDs or filters, not both");
	if (a->rest_count == 0 && !all && !filters)
		return ctl_say(CTL_USAGE, "which? IDs, filters, or --all");
	return 0;
}
