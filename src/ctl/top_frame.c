/* Frames as data: what they own, their rows as cells, and the whole as JSON. */
#include "ctl/top.h"

#include <inttypes.h>
#include <stdio.h>

struct top_frame *top_frame_new(void)
{
	return calloc(1, sizeof(struct top_frame));
}

void top_frame_free(struct top_frame *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->text_count; i++)
		free(f->texts[i]);
	free(f->texts);
	free(f->queues);
	free(f->workers);
	free(f->failures);
	free(f);
}

static const char *keep(struct top_frame *f, char *text)
{
	if (text && f->text_count == f->text_room) {
		size_t room = f->text_room ? 2 * f->text_room : 64;
		char **grown = reallocarray(f->texts, room, sizeof(*grown));
		if (grown) {
			f->texts = grown;
			f->text_room = room;
		} else {
			free(text);
			text = NULL;
		}
	}
	if (!text) {
		f->failed = true;
		return "";
	}
	f->texts[f->text_count++] = text;
	return text;
}

const char *top_keep(struct top_frame *f, struct bytes text)
{
	char *copy = malloc(text.n + 1);
	if (copy) {
		if (text.n > 0)
			memcpy(copy, text.p, text.n);
		copy[text.n] = '\0';
	}
	return keep(f, copy);
}

const char *top_keepf(struct top_frame *f, const char *format, ...)
{
	char *text = NULL;
	va_list arguments;
	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	return keep(f, text);
}

/* ---- columns ---- */

enum {
	QUEUE_STREAM,
	QUEUE_GROUP,
	QUEUE_JOBS,
	QUEUE_WAITING,
	QUEUE_RUNNING,
	QUEUE_PARKED,
	QUEUE_LATER,
	QUEUE_DEAD,
	QUEUE_OLDEST,
	QUEUE_DONE,
	QUEUE_FAILED,
	QUEUE_STATE,
	QUEUE_PAUSED,
	QUEUE_SUSPENDED,
};
static const struct column queue_columns[TOP_QUEUE_COLUMNS] = {
	[QUEUE_STREAM] = { .key = "stream", .title = "QUEUE", .elastic = true },
	[QUEUE_GROUP] = { .key = "group" },
	[QUEUE_JOBS] = { .key = "jobs" },
	[QUEUE_WAITING] = { .key = "waiting", .title = "WAITING" },
	[QUEUE_RUNNING] = { .key = "running", .title = "RUNNING" },
	[QUEUE_PARKED] = { .key = "parked", .title = "PARKED" },
	[QUEUE_LATER] = { .key = "later" },
	[QUEUE_DEAD] = { .key = "dead", .title = "DEAD" },
	[QUEUE_OLDEST] = { .key = "oldest_waiting_ms", .title = "OLDEST", .show = SHOW_DURATION },
	[QUEUE_DONE] = { .key = "done_per_s", .title = "DONE/S" },
	[QUEUE_FAILED] = { .key = "failed_per_s", .title = "FAILED/S" },
	[QUEUE_STATE] = { .key = "state", .title = "STATE", .elastic = true },
	[QUEUE_PAUSED] = { .key = "paused" },
	[QUEUE_SUSPENDED] = { .key = "suspended" },
};

enum {
	WORKER_NAME,
	WORKER_STATE,
	WORKER_JOB,
	WORKER_ID,
	WORKER_STREAM,
	WORKER_GROUP,
	WORKER_ATTEMPT,
	WORKER_RUNNING,
	WORKER_PROGRESS,
	WORKER_STATUS,
	WORKER_PID,
	WORKER_HANDLER_PID,
	WORKER_DONE,
	WORKER_FAILED,
};
static const struct column worker_columns[TOP_WORKER_COLUMNS] = {
	[WORKER_NAME] = { .key = "worker", .title = "WORKER", .elastic = true },
	[WORKER_STATE] = { .key = "state", .title = "STATE" },
	[WORKER_JOB] = { .key = "job", .title = "JOB", .elastic = true },
	[WORKER_ID] = { .key = "id", .title = "ID" },
	[WORKER_STREAM] = { .key = "stream" },
	[WORKER_GROUP] = { .key = "group" },
	[WORKER_ATTEMPT] = { .key = "attempt", .title = "ATT" },
	[WORKER_RUNNING] = { .key = "running_ms", .title = "RUNNING", .show = SHOW_DURATION },
	[WORKER_PROGRESS] = { .key = "progress", .title = "%" },
	[WORKER_STATUS] = { .key = "status", .title = "STATUS", .elastic = true },
	[WORKER_PID] = { .key = "pid" },
	[WORKER_HANDLER_PID] = { .key = "handler_pid" },
	[WORKER_DONE] = { .key = "done", .title = "DONE" },
	[WORKER_FAILED] = { .key = "failed", .title = "FAILED" },
};

enum {
	FAILURE_AGO,
	FAILURE_JOB,
	FAILURE_ID,
	FAILURE_DEAD_ID,
	FAILURE_STREAM,
	FAILURE_GROUP,
	FAILURE_STATE,
	FAILURE_ATTEMPTS,
	FAILURE_DUE_IN,
	FAILURE_REASON,
	FAILURE_DETAIL,
	FAILURE_AT,
	FAILURE_IS_DEAD,
};
static const struct column failure_columns[TOP_FAILURE_COLUMNS] = {
	[FAILURE_AGO] = { .key = "ago_ms", .title = "AGO", .show = SHOW_DURATION },
	[FAILURE_JOB] = { .key = "job", .title = "JOB", .elastic = true },
	[FAILURE_ID] = { .key = "id", .title = "ID" },
	[FAILURE_DEAD_ID] = { .key = "dead_id" },
	[FAILURE_STREAM] = { .key = "stream" },
	[FAILURE_GROUP] = { .key = "group" },
	[FAILURE_STATE] = { .key = "state", .title = "STATE" },
	[FAILURE_ATTEMPTS] = { .key = "attempts", .title = "ATT" },
	[FAILURE_DUE_IN] = { .key = "due_in_ms", .title = "DUE IN", .show = SHOW_DURATION },
	[FAILURE_REASON] = { .key = "reason" },
	[FAILURE_DETAIL] = { .key = "detail", .title = "FAILURE", .elastic = true },
	[FAILURE_AT] = { .key = "at_ms" },
	[FAILURE_IS_DEAD] = { .key = "dead" },
};

#define RIGHT(column) (1U << (column))

const struct top_columns *top_columns(enum top_pane pane)
{
	static const struct top_columns panes[TOP_PANES] = {
		[TOP_QUEUES] = { "queues", queue_columns, TOP_QUEUE_COLUMNS,
				 RIGHT(QUEUE_WAITING) | RIGHT(QUEUE_RUNNING) | RIGHT(QUEUE_PARKED) |
					 RIGHT(QUEUE_DEAD) | RIGHT(QUEUE_OLDEST) | RIGHT(QUEUE_DONE) |
					 RIGHT(QUEUE_FAILED) },
		[TOP_WORKERS] = { "workers", worker_columns, TOP_WORKER_COLUMNS,
				  RIGHT(WORKER_ATTEMPT) | RIGHT(WORKER_RUNNING) | RIGHT(WORKER_PROGRESS) |
					  RIGHT(WORKER_DONE) | RIGHT(WORKER_FAILED) },
		[TOP_FAILURES] = { "failures", failure_columns, TOP_FAILURE_COLUMNS,
				   RIGHT(FAILURE_AGO) | RIGHT(FAILURE_ATTEMPTS) | RIGHT(FAILURE_DUE_IN) },
	};
	return &panes[pane];
}

size_t top_count(const struct top_frame *f, enum top_pane pane)
{
	return pane == TOP_QUEUES ? f->queue_count : pane == TOP_WORKERS ? f->worker_count : f->failure_count;
}

/* ---- cells ---- */

void top_scratch_done(struct top_scratch *s)
{
	for (size_t i = 0; i < ARRAY_LEN(s->texts); i++)
		buf_done(&s->texts[i]);
}

/* "12.3" of 12345; the number stays, to sort by. */
static struct cell rate_cell(int64_t milli_per_s, struct buf *text)
{
	if (milli_per_s < 0)
		return cell_null();
	int64_t tenths = (milli_per_s + 50) / 100;
	buf_clear(text);
	buf_addf(text, "%" PRId64 ".%" PRId64, tenths / 10, tenths % 10);
	struct cell cell = cell_json(buf_bytes(text), buf_bytes(text));
	cell.number = milli_per_s;
	return cell;
}

/* A JSON text of its own beside what people read. */
static struct cell two_texts(const char *text, const char *shown, struct buf *json)
{
	buf_clear(json);
	json_add_text(json, bytes_of(text));
	return cell_json(buf_bytes(json), bytes_of(shown));
}

static struct cell state_cell(const struct top_queue *q, struct top_scratch *scratch)
{
	struct buf *words = &scratch->texts[4];
	if (q->refused)
		return cell_toned(two_texts("refused", "refused", &scratch->texts[3]), TONE_BAD);
	if (q->known && q->gauges.paused)
		return cell_toned(two_texts("paused", "paused", &scratch->texts[3]), TONE_WARN);
	if (q->suspended && *q->suspended) {
		buf_clear(words);
		buf_addf(words, "suspended: %s", q->suspended);
		return cell_toned(two_texts("suspended", words->p ? words->p : "", &scratch->texts[3]),
				  TONE_BAD);
	}
	return q->known ? two_texts("ok", "", &scratch->texts[3]) : cell_null();
}

static void queue_cells(const struct top_queue *q, struct top_scratch *scratch, struct cell *cells)
{
	const struct queue_gauges *g = &q->gauges;
	cells[QUEUE_STREAM] = two_texts(q->stream, q->shown, &scratch->texts[0]);
	cells[QUEUE_GROUP] = cell_text(q->group);
	cells[QUEUE_JOBS] = cell_json(bytes_of(q->jobs_json), bytes_of(q->jobs));
	if (q->known) {
		cells[QUEUE_WAITING] = cell_number_unless(q->waiting, -1);
		cells[QUEUE_RUNNING] = cell_number(g->pending > g->parked ? g->pending - g->parked : 0);
		cells[QUEUE_PARKED] = cell_number(g->parked);
		cells[QUEUE_LATER] = cell_number_unless(g->later, -1);
		cells[QUEUE_DEAD] = cell_toned(cell_number(g->dead), g->dead ? TONE_BAD : TONE_PLAIN);
		cells[QUEUE_OLDEST] = cell_number_unless(q->oldest_waiting_ms, -1);
		cells[QUEUE_PAUSED] = cell_flag(g->paused);
	}
	cells[QUEUE_DONE] = rate_cell(q->done_milli_per_s, &scratch->texts[1]);
	cells[QUEUE_FAILED] = rate_cell(q->failed_milli_per_s, &scratch->texts[2]);
	if (q->failed_milli_per_s > 0)
		cells[QUEUE_FAILED].tone = TONE_BAD;
	cells[QUEUE_STATE] = state_cell(q, scratch);
	if (q->suspended)
		cells[QUEUE_SUSPENDED] = cell_json(bytes_of(q->suspended_json), bytes_of(q->suspended));
}

static enum tone worker_tone(const char *state)
{
	return strcmp(state, "busy") == 0     ? TONE_GOOD
	       : strcmp(state, "idle") == 0   ? TONE_PLAIN
	       : strcmp(state, "paused") == 0 ? TONE_PLAIN
					      : TONE_WARN;
}

static void worker_cells(const struct top_worker *w, struct cell *cells)
{
	cells[WORKER_NAME] = cell_text(w->name);
	cells[WORKER_STATE] = cell_toned(cell_text(w->state), worker_tone(w->state));
	cells[WORKER_JOB] = cell_text(w->job);
	cells[WORKER_ID] = cell_text(w->id);
	cells[WORKER_STREAM] = cell_text(w->stream);
	cells[WORKER_GROUP] = cell_text(w->group);
	cells[WORKER_ATTEMPT] = cell_number_unless(w->attempt, -1);
	cells[WORKER_RUNNING] = cell_number_unless(w->running_ms, -1);
	cells[WORKER_PROGRESS] = cell_number_unless(w->progress, -1);
	cells[WORKER_STATUS] = cell_text(w->status);
	cells[WORKER_PID] = cell_number_unless(w->pid, -1);
	cells[WORKER_HANDLER_PID] = cell_number_unless(w->handler_pid, -1);
	cells[WORKER_DONE] = cell_number_unless(w->done, -1);
	cells[WORKER_FAILED] = cell_number_unless(w->failed, -1);
}

static void failure_cells(const struct top_failure *x, struct top_scratch *scratch, struct cell *cells)
{
	cells[FAILURE_AGO] = cell_number_unless(x->ago_ms, -1);
	cells[FAILURE_JOB] = cell_text(x->job);
	cells[FAILURE_ID] = cell_text(x->id);
	cells[FAILURE_DEAD_ID] = cell_text(x->dead_id);
	cells[FAILURE_STREAM] = cell_text(x->stream);
	cells[FAILURE_GROUP] = cell_text(x->group);
	cells[FAILURE_STATE] =
		cell_toned(cell_text(x->dead ? "dead" : "parked"), x->dead ? TONE_BAD : TONE_WARN);
	cells[FAILURE_ATTEMPTS] = cell_number_unless(x->attempts, -1);
	cells[FAILURE_DUE_IN] = x->dead ? cell_null() : cell_number(x->due_in_ms);
	cells[FAILURE_REASON] = cell_text(x->reason);
	/* For people the words, or at least the reason; in JSON each by itself. */
	const char *shown = x->detail ? x->detail : x->reason;
	cells[FAILURE_DETAIL] =
		!shown ? cell_null() : two_texts(x->detail ? x->detail : "", shown, &scratch->texts[0]);
	if (shown && !x->detail)
		cells[FAILURE_DETAIL].text = bytes_of("null");
	cells[FAILURE_AT] = cell_number_unless(x->at_ms, -1);
	cells[FAILURE_IS_DEAD] = cell_flag(x->dead);
}

void top_cells(const struct top_frame *f, enum top_pane pane, size_t row, struct top_scratch *scratch,
	       struct cell cells[TOP_MOST_COLUMNS])
{
	memset(cells, 0, TOP_MOST_COLUMNS * sizeof(*cells));
	switch (pane) {
	case TOP_QUEUES:
		queue_cells(&f->queues[row], scratch, cells);
		return;
	case TOP_WORKERS:
		worker_cells(&f->workers[row], cells);
		return;
	case TOP_FAILURES:
	case TOP_PANES:
		failure_cells(&f->failures[row], scratch, cells);
		return;
	}
}

void top_row_key(const struct top_frame *f, enum top_pane pane, size_t row, struct buf *key)
{
	buf_clear(key);
	if (pane == TOP_QUEUES)
		buf_addf(key, "%s/%s", f->queues[row].stream, f->queues[row].group);
	else if (pane == TOP_WORKERS)
		buf_add_text(key, f->workers[row].name);
	else
		buf_addf(key, "%d %s %s", f->failures[row].queue, f->failures[row].dead ? "dead" : "parked",
			 f->failures[row].id);
}

/* ---- JSON ---- */

static void add_text(struct buf *out, const char *name, const char *text)
{
	json_add_name(out, name);
	if (text)
		json_add_text(out, bytes_of(text));
	else
		buf_add_text(out, "null");
}

static void add_number(struct buf *out, const char *name, int64_t number)
{
	json_add_name(out, name);
	if (number < 0)
		buf_add_text(out, "null");
	else
		json_add_i64(out, number);
}

static void add_rate(struct buf *out, const char *name, int64_t milli_per_s)
{
	AUTO_BUF text = { 0 };
	struct cell cell = rate_cell(milli_per_s, &text);
	json_add_name(out, name);
	if (cell.kind == CELL_NULL)
		buf_add_text(out, "null");
	else
		buf_add_bytes(out, cell.text);
}

static void add_daemon(struct buf *out, const struct top_frame *f)
{
	json_add_name(out, "daemon");
	if (f->daemon_error) {
		buf_add_text(out, "null");
		add_text(out, "daemon_error", f->daemon_error);
		return;
	}
	buf_add_char(out, '{');
	add_text(out, "state", f->daemon_state);
	add_text(out, "version", f->daemon_version);
	add_number(out, "pid", f->daemon_pid);
	add_number(out, "uptime_ms", f->daemon_uptime_ms);
	json_add_name(out, "redis_connected");
	buf_add_text(out, f->daemon_has_redis ? "true" : "false");
	add_number(out, "total", f->total);
	add_number(out, "busy", f->busy);
	add_number(out, "idle", f->idle);
	add_number(out, "starting", f->starting);
	add_rate(out, "done_per_s", f->done_milli_per_s);
	add_rate(out, "failed_per_s", f->failed_milli_per_s);
	buf_add_char(out, '}');
	add_text(out, "daemon_error", NULL);
}

void top_frame_json(const struct top_frame *f, struct buf *out)
{
	buf_add_char(out, '{');
	add_number(out, "at_ms", f->wall_ms);
	add_text(out, "host", f->host);
	add_daemon(out, f);
	add_text(out, "redis_url", f->redis_url);
	add_text(out, "redis_error", f->redis_error);
	for (int pane = 0; pane < TOP_PANES; pane++) {
		const struct top_columns *c = top_columns((enum top_pane)pane);
		json_add_name(out, c->name);
		buf_add_char(out, '[');
		for (size_t i = 0; i < top_count(f, (enum top_pane)pane); i++) {
			AUTO_TOP_SCRATCH scratch = { 0 };
			struct cell cells[TOP_MOST_COLUMNS];
			top_cells(f, (enum top_pane)pane, i, &scratch, cells);
			buf_add_text(out, i ? "," : "");
			output_object(out, c->columns, cells, c->n);
		}
		buf_add_char(out, ']');
	}
	buf_add_char(out, '}');
}
