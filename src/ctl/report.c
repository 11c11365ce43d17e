/* `report`: the log as figures: one HTML page that needs nothing else, or JSON. It needs neither Redis nor
 * the daemon nor the configuration. */
#include "ctl/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ctl/verb.h"
#include "report/page.h"

static int read_all(struct report_input *in)
{
	struct report_progress progress = { 0 };
	int r;
	while ((r = report_input_read(in)) > 0)
		report_progress_say(&progress, in);
	report_progress_end(&progress);
	feed_end(in->feed);
	return r < 0 ? ctl_say(CTL_NO, "%s: %s", in->feed->source.name, strerror(-r)) : 0;
}

static void say_left_out(const struct digest_source *s)
{
	if (s->malformed > 0)
		(void)ctl_say(0, "%llu of %llu lines were no JSON and were left out",
			      (unsigned long long)s->malformed, (unsigned long long)s->lines);
	if (s->foreign > 0)
		(void)ctl_say(0, "%llu of %llu lines were no events and were left out",
			      (unsigned long long)s->foreign, (unsigned long long)s->lines);
}

/* ---- where it goes ---- */

/* Beside the file first, so that whoever looks at it never sees half a page. */
static int replace_file(const char *path, struct bytes text)
{
	AUTO_BUF beside = { 0 };
	buf_addf(&beside, "%s.XXXXXX", path);
	AUTO_FD fd = beside.failed ? -1 : mkstemp(beside.p);
	if (fd < 0)
		return beside.failed ? -ENOMEM : -errno;
	mode_t mask = umask(0);
	(void)umask(mask);
	int r = fd_write_all(fd, text);
	if (r == 0 && (fchmod(fd, 0666 & ~mask) < 0 || fsync(fd) < 0 || rename(beside.p, path) < 0))
		r = -errno;
	if (r < 0)
		(void)unlink(beside.p);
	return r;
}

static int write_file(const char *path, struct bytes text)
{
	struct stat st;
	if (stat(path, &st) < 0 || S_ISREG(st.st_mode))
		return replace_file(path, text);
	AUTO_FD fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd_write_all(fd, text);
}

static int give(struct ctl *ctl, const struct buf *text)
{
	if (text->failed)
		return ctl_say(CTL_NO, "out of memory");
	if (!ctl->args->output_file) {
		output_write(&ctl->out, buf_bytes(text));
		return 0;
	}
	int r = write_file(ctl->args->output_file, buf_bytes(text));
	return r < 0 ? ctl_say(CTL_NO, "%s: %s", ctl->args->output_file, strerror(-r)) : 0;
}

static int make(struct ctl *ctl, struct report_input *in)
{
	AUTO_BUF text = { 0 };
	struct feed *feed = in->feed;
	int code = read_all(in);
	if (code != 0)
		return code;
	say_left_out(&feed->source);
	if (feed->digest->taken == 0)
		return ctl_say(CTL_NO, "no event of xackd's in %s%s", feed->source.name,
			       feed->digest->beside ? " within what was asked for" : "");
	feed->source.made_ms = clock_wall_ms();
	if (ctl->args->format == OUTPUT_TABLE)
		report_page(&text, feed->digest, &feed->source, &(struct report_page_options){ 0 });
	else
		digest_write_json(&text, feed->digest, &feed->source);
	return give(ctl, &text);
}

/* ---- the verb ---- */

static int check(const struct ctl *ctl)
{
	const struct args *args = ctl->args;
	bool serve = args_given(args, OPTION_SERVE);
	if (args->format == OUTPUT_JSONL)
		return ctl_say(CTL_USAGE, "report gives a page, or with --json one object");
	if (serve && (args->format != OUTPUT_TABLE || args->output_file))
		return ctl_say(CTL_USAGE, "--serve gives pages to browsers, and nothing else");
	if (args_given(args, OPTION_PUBLIC) && !serve)
		return ctl_say(CTL_USAGE, "--public goes with --serve");
	if (!serve && args->format == OUTPUT_TABLE && !args->output_file && ctl->out.terminal)
		return ctl_say(CTL_USAGE,
			       "a page is nothing for a terminal: --output report.html, or --json");
	if (args->since_ms >= 0 && args->until_ms >= 0 && args->since_ms >= args->until_ms)
		return ctl_say(CTL_USAGE, "--until is not behind --since");
	return 0;
}

int verb_report(struct ctl *ctl)
{
	const struct args *args = ctl->args;
	const struct digest_range range = { .job = bytes_of(args->job),
					    .since_ms = args->since_ms,
					    .until_ms = args->until_ms };
	struct feed feed = { .source = { .version = PACKAGE_VERSION } };
	struct report_input in;
	int code = check(ctl);
	if (code != 0)
		return code;
	if (digest_new(&range, &feed.digest) < 0)
		return ctl_say(CTL_NO, "out of memory");
	code = report_input_open(&in, &feed, args);
	if (code == 0)
		code = args_given(args, OPTION_SERVE) ? report_serve(ctl, &in) : make(ctl, &in);
	report_input_close(&in);
	feed_done(&feed);
	digest_free(feed.digest);
	return code;
}
