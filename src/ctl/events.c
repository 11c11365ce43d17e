/* `events`: the log, filtered and in words. It reads a file or standard input line by line, needs neither
 * Redis nor the daemon nor the configuration, and no more memory for a log of gigabytes than for one line.
 * What is no event (a line of another program in the journal, one longer than a megabyte) is left out. */
#include "ctl/events.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>

#include "ctl/verb.h"

enum {
	LONGEST_LINE = 1 << 20,
	READ_SIZE = 1 << 16,
	LOOK_AGAIN_MS = 200,
};

struct source {
	struct ctl *ctl;
	const char *path; /* NULL = standard input */
	int fd;
	bool follow;
	struct buf line;
	bool overlong; /* what comes up to the next newline belongs to a line that is too long */
};

static void give_line(struct source *s)
{
	struct output *o = &s->ctl->out;
	AUTO_JSON *event = json_parse(buf_bytes(&s->line));
	if (!json_is_object(event) || !event_wanted(s->ctl->args, event))
		return;
	if (o->format != OUTPUT_TABLE) {
		output_json(o, buf_bytes(&s->line));
		return;
	}
	AUTO_BUF text = { 0 };
	event_add_text(&text, event, o->unicode, o->colour);
	buf_add_char(&text, '\n');
	output_write(o, buf_bytes(&text));
}

static void end_line(struct source *s)
{
	if (!s->overlong && s->line.n > 0)
		give_line(s);
	buf_clear(&s->line);
	s->overlong = false;
}

static void take(struct source *s, struct bytes text)
{
	while (text.n > 0 && !s->ctl->out.failed) {
		const char *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) : text.n;
		s->overlong = s->overlong || s->line.n + n > LONGEST_LINE;
		if (!s->overlong)
			buf_add(&s->line, text.p, n);
		if (end)
			end_line(s);
		n += end ? 1 : 0;
		text = (struct bytes){ text.p + n, text.n - n };
	}
}

/* The file was replaced (rotated): what stands at the path now, -1 = it is the same or not there yet. Cut
 * short: from its beginning again. */
static int reopen(const struct source *s)
{
	struct stat here, there;
	if (fstat(s->fd, &here) < 0 || stat(s->path, &there) < 0)
		return -1;
	if (here.st_dev != there.st_dev || here.st_ino != there.st_ino)
		return open(s->path, O_RDONLY | O_CLOEXEC);
	if (S_ISREG(here.st_mode) && lseek(s->fd, 0, SEEK_CUR) > here.st_size)
		(void)lseek(s->fd, 0, SEEK_SET);
	return -1;
}

/* At the end of what is there: wait for more. False: there will be none. */
static bool wait_for_more(struct source *s)
{
	if (!s->follow || !s->path)
		return false;
	(void)poll(NULL, 0, LOOK_AGAIN_MS);
	int fd = reopen(s);
	if (fd >= 0) {
		end_line(s);
		(void)close(s->fd);
		s->fd = fd;
	}
	return true;
}

static int read_all(struct source *s)
{
	char *text = malloc(READ_SIZE);
	int code = text ? 0 : ctl_say(CTL_NO, "out of memory");
	while (text && !s->ctl->out.failed) {
		ssize_t n = read(s->fd, text, READ_SIZE);
		if (n > 0)
			take(s, (struct bytes){ text, (size_t)n });
		else if (n < 0 && errno != EINTR)
			code = ctl_say(CTL_NO, "%s: %s", s->path ? s->path : "standard input",
				       strerror(errno));
		/* What was found is shown before anything is waited for. */
		if (n < READ_SIZE && fflush(stdout) != 0)
			break;
		if (code != 0 || (n == 0 && !wait_for_more(s)))
			break;
	}
	end_line(s);
	free(text);
	return code;
}

int verb_events(struct ctl *ctl)
{
	const char *path =
		ctl->args->rest_count && strcmp(ctl->args->rest[0], "-") != 0 ? ctl->args->rest[0] : NULL;
	struct source s = {
		.ctl = ctl, .path = path, .fd = STDIN_FILENO, .follow = args_given(ctl->args, OPTION_FOLLOW)
	};
	if (!path && isatty(STDIN_FILENO))
		return ctl_say(CTL_USAGE,
			       "which log? A file, or: journalctl -u xackd -o cat | xackctl events");
	if (path)
		s.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (s.fd < 0)
		return ctl_say(CTL_NO, "%s: %s", path, strerror(errno));
	int code = read_all(&s);
	buf_done(&s.line);
	if (path)
		(void)close(s.fd);
	return code;
}
