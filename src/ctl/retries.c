/* `retries`: what is parked until its next attempt, page by page in due order. `retry`: let it run now, by
 * ID, or all that fit the filters: a row that is made due moves in front of the page being looked at, so
 * going on by offset misses none; workers that take rows meanwhile can, so the walk is repeated until it
 * finds nothing.
 *
 * A parked entry's job is known by its fields, which Redis keeps in the stream: they are read only where the
 * queue has several jobs or a filter asks for them. */
#include "ctl/ctl.h"
#include "ctl/explain.h"
#include "ctl/filter.h"
#include "ctl/note.h"
#include "ctl/verb.h"
#include "domain/route.h"

enum { PAGE_ROWS = 50 }; /* more would keep Redis from others for milliseconds */

enum {
	COL_ID,
	COL_STREAM,
	COL_GROUP,
	COL_JOB,
	COL_ATTEMPT,
	COL_DUE,
	COL_DUE_IN,
	COL_HELD_BY,
	COL_REASON,
	COL_DETAIL,
	COL_LAST_FAILURE,
	COL_COUNT,
};
static const struct column retry_columns[COL_COUNT] = {
	[COL_ID] = { .key = "id", .title = "ID" },
	[COL_STREAM] = { .key = "stream", .title = "STREAM", .elastic = true },
	[COL_GROUP] = { .key = "group" },
	[COL_JOB] = { .key = "job", .title = "JOB", .elastic = true },
	[COL_ATTEMPT] = { .key = "attempt", .title = "ATTEMPTS" },
	[COL_DUE] = { .key = "due_ms" },
	[COL_DUE_IN] = { .key = "due_in_ms", .title = "DUE IN", .show = SHOW_DURATION },
	[COL_HELD_BY] = { .key = "held_by" },
	[COL_REASON] = { .key = "reason", .title = "REASON" },
	[COL_DETAIL] = { .key = "detail", .title = "DETAIL", .elastic = true },
	[COL_LAST_FAILURE] = { .key = "last_failure" },
};

struct retries;
/* What is done with a row that fits. 0, or the exit code (said). */
typedef int retry_fn(struct retries *r, size_t queue, const struct parked_row *row, const struct job *job,
		     const struct note *note);
struct retries {
	struct ctl *ctl;
	struct connection *connection;
	const struct filter *filter;
	retry_fn *fn;
	struct list list;
	int64_t now_ms;
	int64_t taken; /* rows that fit, so far */
};

static bool limit_reached(const struct retries *r)
{
	return r->filter->limit >= 0 && r->taken >= r->filter->limit;
}

/* A queue of one job: all is known without the entries' fields, unless a filter asks for them. */
static bool wants_pairs(const struct retries *r, size_t queue)
{
	return r->filter->rule_count > 0 || !ctl_single_job(&r->ctl->config->queues[queue]);
}

/* The job by the entry's fields; by its queue, where there is but one, also when it was deleted. */
static const struct job *job_of(const struct retries *r, size_t queue, const struct parked_row *row)
{
	const struct queue *q = &r->ctl->config->queues[queue];
	if (row->entry.pair_count > 0)
		return route_job(q, &row->entry);
	return ctl_single_job(q) ? q->jobs[0] : NULL;
}

static int list_one(struct retries *r, size_t queue, const struct parked_row *row, const struct job *job,
		    const struct note *note)
{
	int64_t attempts = row->delivery - row->given;
	struct cell cells[COL_COUNT] = {
		[COL_ID] = cell_text(row->id),
		[COL_STREAM] = cell_text(r->ctl->config->queues[queue].stream),
		[COL_GROUP] = cell_text(r->ctl->config->queues[queue].group),
		[COL_JOB] = cell_text(job ? job->name : NULL),
		[COL_ATTEMPT] = row->delivery > 0 ? cell_number(attempts > 0 ? attempts : 0) : cell_null(),
		[COL_REASON] = cell_text(note->reason),
		[COL_DETAIL] = cell_text(note->detail),
	};
	if (row->due_ms >= 0) {
		cells[COL_DUE] = cell_number(row->due_ms);
		cells[COL_DUE_IN] = cell_number(row->due_ms - r->now_ms);
	}
	cells[COL_HELD_BY] = cell_text(held_by_name(row->held));
	if (note->text)
		cells[COL_LAST_FAILURE] = cell_json(bytes_of(note->text), bytes_of(""));
	r->taken++;
	(void)list_row(&r->list, cells);
	return 0;
}

static int look_at_row(struct retries *r, size_t queue, const struct parked_row *row)
{
	const struct filter *f = r->filter;
	AUTO_NOTE note;
	note_read(&note, row->note);
	if (!filter_text(f->reason, note.reason) ||
	    !filter_age(f, entry_id_time_ms(row->id, r->now_ms), r->now_ms))
		return 0;
	const struct job *job = job_of(r, queue, row);
	if (!filter_pairs(f, &row->entry) || !filter_text(f->job, job ? job->name : NULL))
		return 0;
	return r->fn(r, queue, row, job, &note);
}

static int walk_queue(struct retries *r, size_t queue)
{
	int64_t offset = 0;
	bool more = true;
	int result = 0;
	while (result == 0 && more) {
		struct parked_page page = { 0 };
		struct redis_error error = { 0 };
		int failed = desk_parked_page(r->connection, &r->ctl->keys[queue], offset, PAGE_ROWS,
					      wants_pairs(r, queue), &page, &error);
		if (failed < 0)
			return ctl_redis_failed(r->ctl, queue, failed, &error);
		r->now_ms = page.redis_now_ms;
		offset += (int64_t)page.count;
		more = page.more;
		for (size_t i = 0; result == 0 && i < page.count; i++) {
			if (r->ctl->out.failed || limit_reached(r))
				more = false;
			else
				result = look_at_row(r, queue, &page.rows[i]);
		}
		parked_page_done(&page);
	}
	return result;
}

static int walk(struct retries *r)
{
	int result = 0;
	for (size_t i = 0; result != CTL_UNAVAILABLE && i < r->ctl->config->queue_count; i++) {
		int failed = ctl_chooses_queue(r->ctl, i) && !limit_reached(r) ? walk_queue(r, i) : 0;
		result = failed ? failed : result;
	}
	return result;
}

static int begin(struct retries *r, struct filter *filter)
{
	int result = filter_init(filter, r->ctl->args);
	r->filter = filter;
	if (result == 0)
		result = ctl_check_choice(r->ctl);
	return result ? result : ctl_redis(r->ctl, &r->connection);
}

int verb_retries(struct ctl *ctl)
{
	if (args_given(ctl->args, OPTION_LATER))
		return verb_retries_later(ctl);
	AUTO_FILTER filter = { 0 };
	struct retries retries = { .ctl = ctl, .fn = list_one };
	int r = begin(&retries, &filter);
	if (r != 0)
		return r;
	if (list_begin(&retries.list, &ctl->out, retry_columns, COL_COUNT) < 0)
		return ctl_say(CTL_NO, "out of memory");
	filter_for_reader(&filter, &ctl->out);
	r = walk(&retries);
	list_end(&retries.list, r == 0 ? "Nothing waits for a retry." : NULL);
	filter_tell_reader(&filter, retries.list.rows);
	return r;
}

/* ---- retry ---- */

static void tell_retried(const struct ctl *ctl, struct list *list, size_t queue, const char *id)
{
	const struct cell cells[] = { cell_text(id), cell_text(ctl->config->queues[queue].stream),
				      cell_text(ctl->config->queues[queue].group) };
	(void)list_row(list, cells);
}

static int make_due(struct ctl *ctl, const char *id, struct list *list)
{
	static const char not_parked[] = "%s is not parked, so there is nothing to retry: xackctl explain %s";
	AUTO_SIGHTINGS all = { 0 };
	int r = sightings_find(ctl, id, &all);
	if (r != 0)
		return r;
	size_t parked = 0, where = 0;
	for (size_t i = 0; i < all.count; i++) {
		if (all.rows[i].found.state == EXPLAIN_PARKED) {
			parked++;
			where = all.rows[i].queue;
		}
	}
	if (parked > 1)
		return ctl_say(CTL_NO, "%s is parked in %zu queues: say which with --job or --queue", id,
			       parked);
	if (parked == 0)
		return ctl_say(CTL_NO, not_parked, id, id);
	struct connection *connection;
	struct redis_error error = { 0 };
	r = ctl_redis(ctl, &connection);
	if (r != 0)
		return r;
	bool only_list = args_given(ctl->args, OPTION_DRY_RUN);
	r = only_list ? 0 : desk_retry(connection, &ctl->keys[where], id, &error);
	if (r < 0)
		return ctl_redis_failed(ctl, where, r, &error);
	if (r > 0)
		return ctl_say(CTL_NO, not_parked, id, id);
	tell_retried(ctl, list, where, id);
	return 0;
}

/* What is due already will run anyway. */
static int count_one(struct retries *r, size_t queue, const struct parked_row *row, const struct job *job,
		     const struct note *note)
{
	(void)queue, (void)job, (void)note;
	r->taken += row->due_ms > r->now_ms;
	return 0;
}

static int retry_one(struct retries *r, size_t queue, const struct parked_row *row, const struct job *job,
		     const struct note *note)
{
	(void)job, (void)note;
	struct redis_error error = { 0 };
	if (row->due_ms <= r->now_ms)
		return 0;
	int result = desk_retry(r->connection, &r->ctl->keys[queue], row->id, &error);
	if (result < 0)
		return ctl_redis_failed(r->ctl, queue, result, &error);
	if (result > 0) /* a worker has taken it: that is what was wanted */
		return 0;
	r->taken++;
	tell_retried(r->ctl, &r->list, queue, row->id);
	return 0;
}

static int retry_by_filter(struct ctl *ctl, struct list *list)
{
	enum { MOST_WALKS = 10 };
	AUTO_FILTER filter = { 0 };
	struct retries all = { .ctl = ctl, .fn = count_one };
	int r = begin(&all, &filter);
	if (r == 0)
		r = walk(&all);
	if (r != 0 || all.taken == 0)
		return r;
	r = ctl_agree(ctl, all.taken, "parked entry", "parked entries", "retry now", "retried now");
	/* What fails again meanwhile is parked anew and would be found for ever: no more than were agreed to.
	 */
	filter.limit = all.taken;
	all.fn = retry_one;
	all.taken = 0;
	all.list = *list;
	for (int i = 0; r == 0 && i < MOST_WALKS && !limit_reached(&all); i++) {
		int64_t before = all.taken;
		r = walk(&all);
		if (all.taken == before)
			break;
	}
	*list = all.list;
	return r;
}

int verb_retry(struct ctl *ctl)
{
	static const struct column columns[] = {
		{ .key = "id", .title = "RETRIED NOW" },
		{ .key = "stream", .title = "STREAM", .elastic = true },
		{ .key = "group" },
	};
	int result = ctl_check_selection(ctl);
	if (result == 0)
		result = ctl_check_choice(ctl);
	if (result != 0)
		return result;
	if (args_given(ctl->args, OPTION_DRY_RUN) && ctl->args->rest_count == 0)
		return verb_retries(ctl);
	struct list list;
	if (list_begin(&list, &ctl->out, columns, ARRAY_LEN(columns)) < 0)
		return ctl_say(CTL_NO, "out of memory");
	if (ctl->args->rest_count == 0)
		result = retry_by_filter(ctl, &list);
	for (int i = 0; i < ctl->args->rest_count && result != CTL_UNAVAILABLE; i++) {
		int r = make_due(ctl, ctl->args->rest[i], &list);
		if (r != 0)
			result = r;
	}
	if (list.rows > 0 && !args_given(ctl->args, OPTION_DRY_RUN))
		ctl_daemon_look(ctl);
	list_end(&list, NULL);
	return result;
}
