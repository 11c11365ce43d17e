/* See report.h. A log is read piece by piece, however long. */
#include "ctl/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"

enum { PIECE = 1 << 18 };

static int open_journal(struct report_input *in, const char *folder, const struct args *args)
{
	int r = report_journal_open(folder, args->since_ms, &in->journal);
	if (r == -EOPNOTSUPP)
		return ctl_say(CTL_NO, "this xackctl was built without the journal; use: journalctl -u xackd "
				       "-o cat | xackctl report -");
	if (r < 0)
		return ctl_say(CTL_NO, "the journal cannot be read: %s", strerror(-r));
	in->feed->source.name = folder ? folder : "the journal";
	return 0;
}

static int open_file(struct report_input *in)
{
	struct stat st;
	in->fd = in->path ? open(in->path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (in->fd < 0 || fstat(in->fd, &st) < 0)
		return ctl_say(CTL_NO, "%s: %s", in->path ? in->path : "standard input", strerror(errno));
	if (S_ISREG(st.st_mode))
		in->total_bytes = st.st_size;
	in->space = malloc(PIECE);
	in->feed->source.name = in->path ? in->path : "standard input";
	return in->space ? 0 : ctl_say(CTL_NO, "out of memory");
}

int report_input_open(struct report_input *in, struct feed *feed, const struct args *args)
{
	const char *name = args->rest_count ? args->rest[0] : NULL;
	struct stat st;
	*in = (struct report_input){ .feed = feed, .fd = -1, .total_bytes = -1 };
	if (args_given(args, OPTION_JOURNAL))
		return name ? ctl_say(CTL_USAGE, "either --journal or a file") : open_journal(in, NULL, args);
	if (!name && isatty(STDIN_FILENO))
		return ctl_say(CTL_USAGE, "which log? A file, - for standard input, or --journal");
	if (name && stat(name, &st) == 0 && S_ISDIR(st.st_mode))
		return open_journal(in, name, args);
	in->path = name && strcmp(name, "-") != 0 ? name : NULL;
	return open_file(in);
}

void report_input_close(struct report_input *in)
{
	report_journal_close(in->journal);
	if (in->path && in->fd >= 0)
		(void)close(in->fd);
	free(in->space);
}

int report_input_read(struct report_input *in)
{
	if (in->journal)
		return report_journal_read(in->journal, in->feed);
	ssize_t n = read(in->fd, in->space, PIECE);
	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	feed_bytes(in->feed, (struct bytes){ in->space, (size_t)n });
	in->done_bytes += n;
	return n > 0;
}

/* Another file stands at the path: that one, from its beginning. Cut short: from its beginning again. */
void report_input_look_again(struct report_input *in)
{
	struct stat here, there;
	if (!in->path || fstat(in->fd, &here) < 0 || stat(in->path, &there) < 0)
		return;
	if (here.st_dev != there.st_dev || here.st_ino != there.st_ino) {
		int fd = open(in->path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return;
		(void)close(in->fd);
		in->fd = fd;
	} else if (!S_ISREG(here.st_mode) || lseek(in->fd, 0, SEEK_CUR) <= here.st_size) {
		return;
	} else {
		(void)lseek(in->fd, 0, SEEK_SET);
	}
	feed_end(in->feed);
	in->done_bytes = 0;
}

/* ---- how far it is ---- */

enum { SAY_EVERY_MS = 200, BAR = 30 };

static void add_size(struct buf *out, int64_t bytes)
{
	const double kilo = 1000;
	double value = (double)bytes;
	size_t unit = 0;
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
	while (value >= kilo && unit + 1 < ARRAY_LEN(units)) {
		value /= kilo;
		unit++;
	}
	buf_addf(out, "%.*f %s", unit > 1 && value < 100 ? 1 : 0, value, units[unit]);
}

static void add_bar(struct buf *out, double part)
{
	int full = (int)(part * BAR);
	buf_addf(out, "%3.0f %% [", part * 100);
	for (int i = 0; i < BAR; i++)
		buf_add_char(out, i < full ? '=' : i == full ? '>' : ' ');
	buf_add_text(out, "] ");
}

void report_progress_say(struct report_progress *p, const struct report_input *in)
{
	int64_t now_ms = clock_mono_ms();
	if (p->began_ms == 0)
		p->began_ms = p->said_ms = now_ms;
	if (now_ms - p->said_ms < SAY_EVERY_MS || !isatty(STDERR_FILENO))
		return;
	AUTO_BUF text = { 0 };
	int64_t ms = now_ms - p->began_ms;
	buf_add_text(&text, "\r\033[K");
	if (in->total_bytes > 0 && in->done_bytes <= in->total_bytes)
		add_bar(&text, (double)in->done_bytes / (double)in->total_bytes);
	add_size(&text, (int64_t)in->feed->source.bytes);
	buf_addf(&text, ", %llu events", (unsigned long long)in->feed->digest->taken);
	if (in->total_bytes > 0 && in->done_bytes > 0 && in->done_bytes < in->total_bytes)
		buf_addf(&text, ", %lld s left",
			 (long long)((double)(in->total_bytes - in->done_bytes) * (double)ms /
				     (double)in->done_bytes / 1000));
	if (!text.failed)
		(void)fputs(text.p, stderr);
	p->said_ms = now_ms;
	p->shown = true;
}

void report_progress_end(struct report_progress *p)
{
	if (p->shown)
		(void)fputs("\r\033[K", stderr);
	p->shown = false;
}
