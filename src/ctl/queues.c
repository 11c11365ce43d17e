/* `queues`: what Redis knows of each queue in one script, joined with what the daemon of this host knows
 * (which jobs are suspended, since when something runs). Without a daemon its part is null. */
#include "ctl/figures.h"
#include "ctl/verb.h"
#include "redis/admin.h"

const struct column figure_columns[FIGURE_COLUMNS] = {
	[FIGURE_STREAM] = { .key = "stream", .title = "STREAM", .elastic = true },
	[FIGURE_GROUP] = { .key = "group", .title = "GROUP", .elastic = true },
	[FIGURE_JOBS] = { .key = "jobs", .title = "JOBS", .elastic = true },
	[FIGURE_LENGTH] = { .key = "length", .title = "LENGTH" },
	[FIGURE_WAITING] = { .key = "waiting", .title = "WAITING" },
	[FIGURE_RUNNING] = { .key = "running", .title = "RUNNING" },
	[FIGURE_PARKED] = { .key = "parked", .title = "PARKED" },
	[FIGURE_HELD] = { .key = "held" },
	[FIGURE_LATER] = { .key = "later", .title = "LATER" },
	[FIGURE_DEAD] = { .key = "dead", .title = "DEAD" },
	[FIGURE_OLDEST_WAITING] = { .key = "oldest_waiting_ms",
				    .title = "OLDEST WAITING",
				    .show = SHOW_DURATION },
	[FIGURE_OLDEST_RUNNING] = { .key = "oldest_running_ms",
				    .title = "OLDEST RUNNING",
				    .show = SHOW_DURATION },
	[FIGURE_PAUSED] = { .key = "paused", .title = "PAUSED" },
	[FIGURE_SUSPENDED] = { .key = "suspended", .title = "SUSPENDED", .elastic = true },
};

/* What the daemon adds; NULL = it is not there. */
struct daemon_view {
	json_t *suspended; /* [{job, …}] */
	json_t *running;   /* [{stream, group, running_ms, …}] */
};

static bool member_is(json_t *object, const char *name, const char *text)
{
	const char *value = json_string_value(json_object_get(object, name));
	return value && strcmp(value, text) == 0;
}

static bool is_suspended(json_t *suspended, const char *job)
{
	size_t i;
	json_t *row;
	json_array_foreach (suspended, i, row) {
		if (member_is(row, "job", job) ||
		    (json_is_string(row) && strcmp(json_string_value(row), job) == 0))
			return true;
	}
	return false;
}

void figures_suspended(const struct queue *queue, json_t *suspended, struct buf *json, struct buf *words)
{
	buf_add_char(json, '[');
	for (size_t i = 0; i < queue->job_count; i++) {
		if (!is_suspended(suspended, queue->jobs[i]->name))
			continue;
		if (json->n > 1) {
			buf_add_char(json, ',');
			buf_add_text(words, ", ");
		}
		json_add_text(json, bytes_of(queue->jobs[i]->name));
		buf_add_text(words, queue->jobs[i]->name);
	}
	buf_add_char(json, ']');
}

/* The longest run, known only when all that run do so on this host; -1 = not known. */
static int64_t oldest_running(const struct queue *queue, json_t *running, int64_t running_count)
{
	int64_t oldest = -1, seen = 0;
	size_t i;
	json_t *row;
	json_array_foreach (running, i, row) {
		if (!member_is(row, "stream", queue->stream) || !member_is(row, "group", queue->group))
			continue;
		json_t *ms = json_object_get(row, "running_ms");
		seen++;
		if (json_is_integer(ms) && json_integer_value(ms) > oldest)
			oldest = json_integer_value(ms);
	}
	return seen >= running_count && running_count > 0 ? oldest : -1;
}

int64_t figures_age_ms(const char *id, int64_t now_ms)
{
	int64_t at = *id ? entry_id_time_ms(id, now_ms) : -1;
	return at < 0 ? -1 : now_ms > at ? now_ms - at : 0;
}

/* The texts that a row's cells point into. */
struct row_texts {
	struct buf jobs, jobs_words, suspended, suspended_words;
};

static void row_texts_done(struct row_texts *t)
{
	buf_done(&t->jobs);
	buf_done(&t->jobs_words);
	buf_done(&t->suspended);
	buf_done(&t->suspended_words);
}

/* What the configuration knows; all figures null. */
static void fill_names(const struct queue *queue, struct row_texts *texts, struct cell cells[FIGURE_COLUMNS])
{
	ctl_add_queue_jobs(queue, &texts->jobs, &texts->jobs_words);
	memset(cells, 0, FIGURE_COLUMNS * sizeof(*cells));
	cells[FIGURE_STREAM] = cell_text(queue->stream);
	cells[FIGURE_GROUP] = cell_text(queue->group);
	cells[FIGURE_JOBS] = cell_json(buf_bytes(&texts->jobs), buf_bytes(&texts->jobs_words));
}

int64_t figures_waiting(const struct queue *queue, const struct queue_gauges *g)
{
	if (g->length == 0)
		return 0;
	return !g->exists && queue->start == START_BEGIN ? g->length : g->waiting;
}

static void fill_figures(const struct queue *queue, const struct queue_gauges *g,
			 const struct daemon_view *view, struct cell cells[FIGURE_COLUMNS])
{
	int64_t running = g->pending > g->parked ? g->pending - g->parked : 0;
	cells[FIGURE_LENGTH] = cell_number(g->length);
	cells[FIGURE_WAITING] = cell_number_unless(figures_waiting(queue, g), -1);
	cells[FIGURE_RUNNING] = cell_number(running);
	cells[FIGURE_PARKED] = cell_number(g->parked);
	cells[FIGURE_HELD] = cell_number(g->held);
	cells[FIGURE_LATER] = cell_number_unless(g->later, -1);
	cells[FIGURE_DEAD] = cell_toned(cell_number(g->dead), g->dead ? TONE_BAD : TONE_PLAIN);
	cells[FIGURE_OLDEST_WAITING] =
		cell_number_unless(figures_age_ms(g->oldest_waiting, g->redis_now_ms), -1);
	cells[FIGURE_OLDEST_RUNNING] = cell_number_unless(oldest_running(queue, view->running, running), -1);
	cells[FIGURE_PAUSED] = cell_toned(cell_flag(g->paused), g->paused ? TONE_WARN : TONE_PLAIN);
}

static void fill_suspended(const struct queue *queue, json_t *suspended, struct row_texts *texts,
			   struct cell cells[FIGURE_COLUMNS])
{
	if (!suspended)
		return;
	figures_suspended(queue, suspended, &texts->suspended, &texts->suspended_words);
	cells[FIGURE_SUSPENDED] = cell_toned(
		cell_json(buf_bytes(&texts->suspended), buf_bytes(&texts->suspended_words)), TONE_BAD);
}

typedef void figure_fn(void *user, const struct cell cells[FIGURE_COLUMNS]);

/* One row. A queue that Redis refuses to look into still has its names; CTL_NO then. */
static int one_queue(struct ctl *ctl, size_t index, struct connection *connection,
		     const struct daemon_view *view, figure_fn *fn, void *user)
{
	const struct queue *queue = &ctl->config->queues[index];
	struct queue_gauges gauges = { 0 };
	struct redis_error error = { 0 };
	struct row_texts texts = { 0 };
	struct cell cells[FIGURE_COLUMNS];
	int code = 0,
	    r = admin_gauges(connection, &ctl->keys[index], /* count_suspended: */ false, &gauges, &error);
	if (r < 0)
		code = ctl_redis_failed(ctl, index, r, &error);
	if (code == CTL_UNAVAILABLE)
		return code;
	fill_names(queue, &texts, cells);
	if (code == 0)
		fill_figures(queue, &gauges, view, cells);
	fill_suspended(queue, view->suspended, &texts, cells);
	fn(user, cells);
	row_texts_done(&texts);
	return code;
}

static int each_queue(struct ctl *ctl, const struct daemon_view *view, figure_fn *fn, void *user)
{
	struct connection *connection;
	int result = ctl_redis(ctl, &connection);
	for (size_t i = 0; result != CTL_UNAVAILABLE && i < ctl->config->queue_count && !ctl->out.failed;
	     i++) {
		int code = ctl_chooses_queue(ctl, i) ? one_queue(ctl, i, connection, view, fn, user) : 0;
		result = code ? code : result;
	}
	return result;
}

static int with_daemon_view(struct ctl *ctl, figure_fn *fn, void *user)
{
	AUTO_JSON *suspended = ctl_daemon_list_quietly(ctl, "suspended");
	AUTO_JSON *running = suspended ? ctl_daemon_list_quietly(ctl, "running") : NULL;
	const struct daemon_view view = { suspended, running };
	return each_queue(ctl, &view, fn, user);
}

static void give_row(void *user, const struct cell cells[FIGURE_COLUMNS])
{
	(void)list_row(user, cells);
}

int figures_list(struct ctl *ctl, struct list *list)
{
	return with_daemon_view(ctl, give_row, list);
}

static void give_json(void *user, const struct cell cells[FIGURE_COLUMNS])
{
	struct buf *out = user;
	if (out->n > 0 && out->p[out->n - 1] == '}')
		buf_add_char(out, ',');
	output_object(out, figure_columns, cells, FIGURE_COLUMNS);
}

int figures_json(struct ctl *ctl, struct buf *out)
{
	AUTO_BUF rows = { 0 };
	int r = with_daemon_view(ctl, give_json, &rows);
	if (r == CTL_UNAVAILABLE)
		return r;
	buf_add_char(out, '[');
	buf_add_bytes(out, buf_bytes(&rows));
	buf_add_char(out, ']');
	return r;
}

int verb_queues(struct ctl *ctl)
{
	struct connection *connection;
	int r = ctl_check_choice(ctl);
	if (r == 0)
		r = ctl_redis(ctl, &connection);
	if (r != 0)
		return r;
	struct list list;
	if (list_begin(&list, &ctl->out, figure_columns, FIGURE_COLUMNS) < 0)
		return ctl_say(CTL_NO, "out of memory");
	r = figures_list(ctl, &list);
	list_end(&list, r == 0 ? "No queues." : NULL);
	return r;
}
