/* `top`: a live view of it all. Here: the command line, and --batch, which prints frames instead of drawing
 * them. The full screen is in top_live.c. */
#include "ctl/top.h"

#include <poll.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/num.h"
#include "ctl/verb.h"

enum { USUAL_INTERVAL_MS = 2000, LEAST_INTERVAL_MS = 100, LONGEST_INTERVAL_MS = 24 * 3600 * 1000 };

/* A pipe gets lines as long as they are, unless COLUMNS says otherwise. */
static size_t batch_width(const struct output *o)
{
	uint64_t columns = 0;
	const char *text = getenv("COLUMNS");
	if (o->terminal)
		return o->width;
	if (!text || num_u64(bytes_of(text), &columns) < 0 || columns > UINT16_MAX)
		return 0;
	return (size_t)columns;
}

static void print_lines(struct output *o, const struct top_frame *f)
{
	struct top_lines lines = { .width = batch_width(o), .unicode = o->unicode };
	AUTO_BUF text = { 0 };
	top_view_all(f, &lines);
	for (size_t i = 0; i < lines.count; i++) {
		struct bytes line = buf_bytes(&lines.lines[i].text);
		while (line.n > 0 && line.p[line.n - 1] == ' ')
			line.n--;
		buf_add_bytes(&text, line);
		buf_add_char(&text, '\n');
	}
	output_write(o, buf_bytes(&text));
	top_lines_done(&lines);
}

static void print_frame(struct output *o, const struct top_frame *f, bool first)
{
	if (o->format == OUTPUT_TABLE) {
		output_write(o, bytes_of(first ? "" : "\n"));
		print_lines(o, f);
		return;
	}
	AUTO_BUF json = { 0 };
	top_frame_json(f, &json);
	output_json(o, buf_bytes(&json));
}

/* Frames begin at even distances, however long they take to collect; what is missed is left out. */
static void wait_for(int64_t *next_ms, int64_t interval_ms)
{
	int64_t now = clock_mono_ms();
	*next_ms += interval_ms;
	if (*next_ms < now)
		*next_ms = now;
	while ((now = clock_mono_ms()) < *next_ms)
		(void)poll(NULL, 0, (int)(*next_ms - now));
}

static int batch(struct ctl *ctl, int64_t interval_ms)
{
	struct output *o = &ctl->out;
	struct top_collector *collector = top_collector_new(ctl, interval_ms);
	int code = collector ? CTL_DONE : ctl_say(CTL_NO, "out of memory");
	int64_t next_ms = clock_mono_ms(), limit = ctl->args->limit;
	for (int64_t n = 0; collector && !o->failed && (limit < 0 || n < limit); n++) {
		if (n > 0)
			wait_for(&next_ms, interval_ms);
		struct top_frame *frame = top_collect(collector);
		if (!frame) {
			code = ctl_say(CTL_NO, "out of memory");
			break;
		}
		print_frame(o, frame, n == 0);
		code = frame->redis_error ? CTL_UNAVAILABLE : CTL_DONE;
		top_frame_free(frame);
		if (fflush(stdout) != 0)
			(void)output_finish(o);
	}
	top_collector_free(collector);
	return code;
}

int verb_top(struct ctl *ctl)
{
	const struct args *args = ctl->args;
	bool only_print = args_given(args, OPTION_BATCH);
	int64_t interval_ms = args_given(args, OPTION_INTERVAL) ? args->interval_ms : USUAL_INTERVAL_MS;
	int r = ctl_check_choice(ctl);
	if (r != 0)
		return r;
	if (interval_ms < LEAST_INTERVAL_MS || interval_ms > LONGEST_INTERVAL_MS)
		return ctl_say(CTL_USAGE, "--interval is from 100ms to 24h");
	if (only_print)
		return batch(ctl, interval_ms);
	if (ctl->out.format != OUTPUT_TABLE)
		return ctl_say(CTL_USAGE, "JSON wants --batch: xackctl top --batch -o jsonl");
	if (args_given(args, OPTION_LIMIT))
		return ctl_say(CTL_USAGE, "--limit is the number of frames of --batch");
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return ctl_say(CTL_USAGE, "top wants a terminal; for a file or a pipe: xackctl top --batch");
	return top_live(ctl, interval_ms);
}
