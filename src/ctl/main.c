/* xackctl: looks after the queues of xackd. It reads the daemon's configuration, asks Redis for what is the
 * queue's and the daemon for what is the daemon's, and ends with a status that scripts can rely on. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/fd.h"
#include "ctl/ctl.h"
#include "ctl/verb.h"

static int run(const struct args *args)
{
	struct ctl ctl = { .args = args };
	output_init(&ctl.out, args->format);
	AUTO_BUF report = { 0 };
	int code = args->verb->options & VERB_ALONE ? 0 : ctl_load(&ctl, &report);
	if (code == 0)
		code = args->verb->run(&ctl);
	else
		(void)fputs(report.p ? report.p : "xackctl: out of memory\n", stderr);
	if (!output_finish(&ctl.out) && code == 0)
		code = ctl_say(CTL_NO, "the output could not be written: %s", strerror(ctl.out.error));
	ctl_done(&ctl);
	return code;
}

int main(int argc, char **argv)
{
	struct args args;
	enum args_answer answer;
	/* A Redis or a daemon that hangs up is an error to be named, not a signal. */
	(void)signal(SIGPIPE, SIG_IGN);
	if (fd_secure_stdio() < 0)
		return CTL_NO;
	int code = args_parse(argc, argv, &args, &answer);
	if (code == 0 && answer == ARGS_RUN)
		code = run(&args);
	args_done(&args);
	if (fflush(stdout) != 0 && errno != EPIPE && code == 0)
		code = CTL_NO;
	return code;
}
