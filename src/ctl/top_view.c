/* A frame and the reader's place in it, as lines. It asks nobody and knows no terminal: the same lines go to
 * the screen, to standard output, and into the tests. */
#include "ctl/top.h"

#include <inttypes.h>

#include "ctl/text.h"

enum {
	HEAD_LINES = 3,
	FOOT_LINES = 1,
	LEAST_WIDTH = 20,
	LEAST_HEIGHT = 6,
	SILENCE_MS = 3000, /* beyond the interval: then it is said that there is no news */
};

/* ---- the head ---- */

static void add_duration(struct top_lines *out, struct top_line *line, const char *before, int64_t ms)
{
	AUTO_BUF text = { 0 };
	text_add_duration(&text, ms);
	top_line_textf(out, line, "%s%s", before, text.p ? text.p : "");
}

static void head_daemon(const struct top_frame *f, struct top_lines *out)
{
	struct top_line *line = top_line_add(out);
	AUTO_BUF now = { 0 };
	text_add_time(&now, f->wall_ms);
	top_line_style(line, TOP_BOLD);
	top_line_textf(out, line, "xackd %s", f->host);
	top_line_style(line, TOP_PLAIN);
	top_line_textf(out, line, "  %s  ", now.p ? now.p : "");
	if (f->daemon_error) {
		top_line_style(line, TOP_BAD);
		top_line_textf(out, line, "%s", f->daemon_error);
		return;
	}
	top_line_style(line, strcmp(f->daemon_state, "running") == 0 ? TOP_GOOD : TOP_WARN);
	top_line_text(out, line, bytes_of(f->daemon_state));
	top_line_style(line, TOP_PLAIN);
	add_duration(out, line, ", up for ", f->daemon_uptime_ms);
	top_line_textf(out, line, ", version %s", f->daemon_version);
}

static void add_rate(struct top_lines *out, struct top_line *line, int64_t milli_per_s, const char *what)
{
	int64_t tenths = (milli_per_s + 50) / 100;
	if (milli_per_s < 0)
		top_line_textf(out, line, ", - %s/s", what);
	else
		top_line_textf(out, line, ", %" PRId64 ".%" PRId64 " %s/s", tenths / 10, tenths % 10, what);
}

static void head_workers(const struct top_frame *f, struct top_lines *out)
{
	struct top_line *line = top_line_add(out);
	top_line_text(out, line, bytes_of("workers "));
	if (f->daemon_error) {
		top_line_text(out, line, bytes_of("not to be told without the daemon"));
		return;
	}
	top_line_style(line, TOP_BOLD);
	top_line_textf(out, line, "%" PRId64 "/%" PRId64 " busy", f->busy, f->total);
	top_line_style(line, TOP_PLAIN);
	if (f->starting > 0)
		top_line_textf(out, line, ", %" PRId64 " starting", f->starting);
	add_rate(out, line, f->done_milli_per_s, "done");
	add_rate(out, line, f->failed_milli_per_s, "failed");
	top_line_text(out, line, bytes_of(" on this host"));
}

static void head_redis(const struct top_frame *f, int64_t silent_ms, struct top_lines *out)
{
	struct top_line *line = top_line_add(out);
	if (silent_ms > f->interval_ms + SILENCE_MS) {
		top_line_style(line, TOP_BAD);
		add_duration(out, line, "NO NEWS for ", silent_ms);
		top_line_text(out, line, bytes_of(": the daemon or Redis does not answer"));
	} else if (f->redis_error) {
		top_line_style(line, TOP_BAD);
		top_line_textf(out, line, "%s", f->redis_error);
	} else {
		top_line_textf(out, line, "Redis %s", f->redis_url);
		top_line_style(line, TOP_BAD);
		if (!f->daemon_error && !f->daemon_has_redis)
			top_line_text(out, line, bytes_of("  the daemon is NOT connected to it"));
	}
}

static void add_head(const struct top_frame *f, int64_t silent_ms, struct top_lines *out)
{
	head_daemon(f, out);
	head_workers(f, out);
	head_redis(f, silent_ms, out);
}

/* ---- panes ---- */

static const char *empty_text(const struct top_frame *f, const char *filter, enum top_pane pane)
{
	if (pane == TOP_WORKERS && f->daemon_error)
		return "the daemon does not answer: its workers are not known";
	if (pane == TOP_FAILURES && f->redis_error)
		return "Redis does not answer: failures are not known";
	if (*filter && top_count(f, pane) > 0)
		return "nothing fits the filter";
	return pane == TOP_QUEUES ? "no queues" : pane == TOP_WORKERS ? "no workers" : "no failures";
}

/* One row to each in turn, two to the pane that is worked in, as long as somebody needs it. */
static void share(size_t room, const size_t counts[TOP_PANES], enum top_pane active,
		  size_t ret_rows[TOP_PANES])
{
	for (int i = 0; i < TOP_PANES; i++) {
		ret_rows[i] = 1;
		room = room > 2 ? room - 2 : 0; /* its title, and a row or what is said instead */
	}
	for (bool given = true; given && room > 0;) {
		given = false;
		for (int i = 0; i < TOP_PANES; i++) {
			for (int turn = i == (int)active ? 2 : 1;
			     turn > 0 && room > 0 && ret_rows[i] < counts[i]; turn--) {
				ret_rows[i]++;
				room--;
				given = true;
			}
		}
	}
}

static void scroll(struct top_place *p, size_t count, size_t rows)
{
	p->rows = rows;
	if (p->cursor < p->first)
		p->first = p->cursor;
	if (p->cursor >= p->first + rows)
		p->first = p->cursor - rows + 1;
	if (p->first + rows > count)
		p->first = count > rows ? count - rows : 0;
}

static void add_pane(const struct top_frame *f, struct top_state *s, enum top_pane pane, const size_t *order,
		     size_t count, size_t rows, struct top_lines *out)
{
	struct top_place *p = &s->places[pane];
	bool active = pane == s->pane;
	scroll(p, count, rows);
	const struct top_grid grid = {
		.pane = pane,
		.order = order,
		.count = count,
		.first = p->first,
		.limit = rows,
		.selected = active ? p->cursor : count,
		.title = active ? TOP_TITLE : TOP_BOLD,
		.numbered = true,
		.sort = p->sort,
		.reversed = p->reversed,
	};
	top_grid(f, &grid, out);
	if (count == 0)
		top_line_text(out, top_line_add(out), bytes_of(empty_text(f, s->filter, pane)));
}

static void add_panes(const struct top_frame *f, struct top_state *s, size_t room, struct top_lines *out)
{
	size_t *orders[TOP_PANES], counts[TOP_PANES], rows[TOP_PANES];
	for (int i = 0; i < TOP_PANES; i++) {
		orders[i] = top_order(f, s, (enum top_pane)i, &counts[i]);
		out->failed = out->failed || !orders[i];
		if (orders[i])
			top_follow(f, &s->places[i], (enum top_pane)i, orders[i], counts[i]);
	}
	bool all = room >= (size_t)2 * TOP_PANES;
	share(room, counts, s->pane, rows);
	for (int i = 0; i < TOP_PANES; i++) {
		if (orders[i] && (all || i == (int)s->pane))
			add_pane(f, s, (enum top_pane)i, orders[i], counts[i], all ? rows[i] : room - 1, out);
		free(orders[i]);
	}
}

/* ---- the foot ---- */

static void ask(const struct top_frame *f, const struct top_request *asked, struct top_lines *out,
		struct top_line *line)
{
	const char *queue = "?";
	for (size_t i = 0; f && i < f->queue_count; i++) {
		if (f->queues[i].index == asked->queue)
			queue = f->queues[i].shown;
	}
	top_line_style(line, TOP_BOLD);
	if (asked->kind == TOP_RETRY)
		top_line_textf(out, line, "Retry %s now? (y/n)", asked->id);
	else
		top_line_textf(out, line, "%s queue %s, on all hosts? (y/n)",
			       asked->kind == TOP_PAUSE ? "Pause" : "Resume", queue);
}

static void add_place(const struct top_frame *f, const struct top_state *s, struct top_lines *out,
		      struct top_line *line)
{
	size_t count = 0;
	size_t *order = f ? top_order(f, s, s->pane, &count) : NULL;
	free(order);
	if (*s->filter)
		top_line_textf(out, line, "filter \"%s\"  ", s->filter);
	if (count > s->places[s->pane].rows)
		top_line_textf(out, line, "row %zu of %zu  ", s->places[s->pane].cursor + 1, count);
}

static void add_foot(const struct top_frame *f, const struct top_state *s, int64_t now_mono_ms,
		     struct top_lines *out)
{
	struct top_line *line = top_line_add(out);
	if (s->mode == TOP_FILTER) {
		top_line_style(line, TOP_BOLD);
		top_line_textf(out, line, "/%s_", s->filter);
		top_line_style(line, TOP_PLAIN);
		top_line_text(out, line, bytes_of("   Enter keeps it, Esc leaves it"));
	} else if (s->mode == TOP_CONFIRM) {
		ask(f, &s->asked, out, line);
	} else if (*s->message && now_mono_ms < s->message_until_ms) {
		top_line_style(line, s->message_bad ? TOP_BAD : TOP_GOOD);
		top_line_text(out, line, bytes_of(s->message));
	} else if (s->mode == TOP_LOOKING) {
		top_line_text(out, line, bytes_of("q back  up/down scroll  r retry  p pause/resume"));
	} else if (s->mode == TOP_HELP) {
		top_line_text(out, line, bytes_of("any key: back"));
	} else {
		add_place(f, s, out, line);
		top_line_text(
			out, line,
			bytes_of("q quit  ? help  Tab pane  s sort  / filter  Enter look  r retry  p pause"));
	}
}

/* ---- texts ---- */

static const char *const help[] = {
	"Keys",
	"",
	"Tab, 1, 2, 3      the next pane; queues, workers, failures",
	"up, down, j, k    another row; PgUp, PgDn, Home, End (g, G) too",
	"Enter             look at the entry of this row: state, fields, last failure",
	"s, S              sort by the next column; the other way round",
	"/                 only rows with this text, in all panes; Esc: all again",
	"r                 let the parked entry of this row run now",
	"p                 pause the queue of this row on all hosts, or resume it",
	"Ctrl-L            draw the screen anew",
	"q                 back, or quit",
	"",
	"FAILURES has of each queue the next retries and the newest dead letters,",
	"the latest failure first. DONE/S counts what all hosts are done with; FAILED/S",
	"counts attempts on this host.",
};

static void add_help(size_t room, struct top_lines *out)
{
	for (size_t i = 0; i < ARRAY_LEN(help) && i < room; i++) {
		struct top_line *line = top_line_add(out);
		top_line_style(line, i == 0 ? TOP_BOLD : TOP_PLAIN);
		top_line_text(out, line, bytes_of(help[i]));
	}
}

/* Long lines go on in the next; the text is fit for a terminal. */
static void add_look(struct top_state *s, size_t room, struct top_lines *out)
{
	size_t at = 0, skipped = 0, total = 0, added = 0;
	struct bytes text = buf_bytes(&s->look);
	for (int pass = 0; pass < 2; pass++) {
		for (at = 0, skipped = 0; at < text.n;) {
			const char *end = memchr(text.p + at, '\n', text.n - at);
			size_t length = end ? (size_t)(end - text.p) - at : text.n - at;
			size_t n = out->width
					   ? text_fitting((struct bytes){ text.p + at, length }, out->width)
					   : length;
			if (pass == 0)
				total++;
			else if (skipped++ >= s->look_first && added++ < room)
				top_line_shown(out, top_line_add(out), (struct bytes){ text.p + at, n });
			at += n + (n == length ? 1 : 0);
		}
		if (s->look_first + room > total)
			s->look_first = total > room ? total - room : 0;
	}
	s->look_rows = room;
}

/* ---- the whole ---- */

void top_view(const struct top_frame *f, struct top_state *s, int64_t now_mono_ms, size_t height,
	      struct top_lines *out)
{
	if (height < LEAST_HEIGHT || out->width < LEAST_WIDTH) {
		top_line_text(out, top_line_add(out), bytes_of("too small"));
		while (out->count < height && top_line_add(out))
			;
		return;
	}
	size_t room = height - HEAD_LINES - FOOT_LINES;
	if (f)
		add_head(f, now_mono_ms - f->mono_ms, out);
	else
		top_line_text(out, top_line_add(out), bytes_of("Asking the daemon and Redis ..."));
	while (out->count < HEAD_LINES && top_line_add(out))
		;
	if (s->mode == TOP_HELP)
		add_help(room, out);
	else if (s->mode == TOP_LOOKING || (s->mode == TOP_CONFIRM && s->look.n > 0))
		add_look(s, room, out);
	else if (f)
		add_panes(f, s, room, out);
	while (out->count < height - FOOT_LINES && top_line_add(out))
		;
	add_foot(f, s, now_mono_ms, out);
}

void top_view_all(const struct top_frame *f, struct top_lines *out)
{
	struct top_state s;
	top_state_init(&s);
	add_head(f, 0, out);
	for (int i = 0; i < TOP_PANES; i++) {
		size_t count = 0;
		size_t *order = top_order(f, &s, (enum top_pane)i, &count);
		const struct top_grid grid = {
			.pane = (enum top_pane)i,
			.order = order,
			.count = count,
			.limit = SIZE_MAX,
			.selected = count,
			.title = TOP_BOLD,
			.sort = -1,
		};
		(void)top_line_add(out);
		if (order && count > 0)
			top_grid(f, &grid, out);
		else
			top_line_text(out, top_line_add(out), bytes_of(empty_text(f, "", (enum top_pane)i)));
		out->failed = out->failed || !order;
		free(order);
	}
	top_state_done(&s);
}
