/* `explain`: where one entry is now and why, from three sources: the queue's keys in Redis (the truth), the
 * dead letter when it is one, and the daemon of this host for what only a process can know (which handler,
 * since when).
 *
 * An ID says nothing about its queue, so every queue is asked. Those that hold a trace of it are candidates;
 * `gone` is the weakest (any ID below the last delivered one looks so) and gives way to every other. */
#include <errno.h>
#include <stdio.h>

#include "ctl/ctl.h"
#include "ctl/explain.h"
#include "ctl/note.h"
#include "ctl/table.h"
#include "ctl/verb.h"
#include "domain/route.h"

void sighting_done(struct sighting *s)
{
	explanation_done(&s->found);
	dead_letter_done(&s->letter);
	result_done(&s->result);
}

void sightings_done(struct sightings *s)
{
	for (size_t i = 0; i < s->count; i++)
		sighting_done(&s->rows[i]);
	free(s->rows);
	*s = (struct sightings){ 0 };
}

/* The ID may be that of a dead letter: what is meant is then its entry. */
static int follow_letter(struct connection *connection, const struct queue_keys *keys, struct sighting *s,
			 struct redis_error *error)
{
	int r = desk_dead_find(connection, keys, s->id, &s->letter, error);
	if (r != 0)
		return r < 0 ? r : 0;
	s->has_letter = true;
	if (s->letter.id[0]) {
		struct explanation of_entry = { 0 };
		r = desk_explain(connection, keys, s->letter.id, &of_entry, error);
		if (r < 0)
			return r;
		explanation_done(&s->found);
		s->found = of_entry;
		memcpy(s->id, s->letter.id, sizeof(s->id));
	}
	s->found.state = EXPLAIN_DEAD;
	memcpy(s->found.dead_id, s->letter.dead_id, sizeof(s->found.dead_id));
	return 0;
}

static int read_letter(struct connection *connection, const struct queue_keys *keys, struct sighting *s,
		       struct redis_error *error)
{
	if (s->found.state == EXPLAIN_UNKNOWN || s->found.state == EXPLAIN_GONE)
		return follow_letter(connection, keys, s, error);
	if (s->found.state != EXPLAIN_DEAD || !s->found.dead_id[0])
		return 0;
	int r = desk_dead_find(connection, keys, s->found.dead_id, &s->letter, error);
	s->has_letter = r == 0;
	return r < 0 ? r : 0;
}

/* That it cannot be read is no reason to hide the rest. */
static int read_result(struct connection *connection, const struct queue_keys *keys, struct sighting *s,
		       struct redis_error *error)
{
	struct redis_error ignored = { 0 };
	if (s->found.state != EXPLAIN_ACKNOWLEDGED && s->found.state != EXPLAIN_GONE)
		return 0;
	int r = desk_result(connection, keys, s->id, &s->result, &ignored);
	if (r == -EIO)
		*error = ignored;
	return r == -EIO ? r : 0;
}

static const struct job *job_of(const struct ctl *ctl, const struct sighting *s)
{
	const struct queue *queue = &ctl->config->queues[s->queue];
	if (s->has_letter)
		return s->letter.job ? config_job(ctl->config, s->letter.job) : NULL;
	if (s->found.entry.pair_count > 0)
		return route_job(queue, &s->found.entry);
	return ctl_single_job(queue) ? queue->jobs[0] : NULL;
}

/* What was never delivered says nothing itself: is its job at a limit now? Not told when Redis does not say. */
static void look_at_limits(const struct ctl *ctl, struct connection *connection, struct sighting *s)
{
	struct limit limit;
	struct limit_figures figures = { 0 };
	struct redis_error error;
	int64_t due, wait;

	if (s->found.state != EXPLAIN_WAITING || !s->job || !job_limited(s->job) ||
	    limit_init(&limit, &ctl->config->queues[s->queue], s->job) < 0)
		return;
	if (limit_tend(connection, &ctl->keys[s->queue], &limit, 1, "", 0, &due, &wait, &figures, &error) == 0) {
		if (limit.concurrency > 0 && figures.free == 0)
			s->found.held = HELD_BY_CONCURRENCY;
		else if (limit.starts_max > 0 && figures.started >= limit.starts_max)
			s->found.held = HELD_BY_RATE;
	}
	limit_done(&limit);
}

int sighting_look(struct ctl *ctl, struct connection *connection, size_t queue, const char *id,
		  struct sighting *ret, struct redis_error *ret_error)
{
	struct sighting s = { .queue = queue };
	(void)snprintf(s.id, sizeof(s.id), "%s", id);
	int r = desk_explain(connection, &ctl->keys[queue], id, &s.found, ret_error);
	if (r == 0 && s.found.entry_id[0]) {
		memcpy(s.later_id, s.id, sizeof(s.later_id));
		memcpy(s.id, s.found.entry_id, sizeof(s.id));
	}
	if (r == 0)
		r = read_letter(connection, &ctl->keys[queue], &s, ret_error);
	if (r == 0)
		r = read_result(connection, &ctl->keys[queue], &s, ret_error);
	if (r < 0) {
		sighting_done(&s);
		return r;
	}
	s.job = job_of(ctl, &s);
	look_at_limits(ctl, connection, &s);
	*ret = s;
	return 0;
}

static int sight(struct ctl *ctl, struct connection *connection, size_t queue, const char *id,
		 struct sightings *all)
{
	struct sighting s;
	struct redis_error error = { 0 };
	int r = sighting_look(ctl, connection, queue, id, &s, &error);
	if (r < 0)
		return ctl_redis_failed(ctl, queue, r, &error);
	if (s.found.state == EXPLAIN_UNKNOWN)
		sighting_done(&s);
	else
		all->rows[all->count++] = s;
	return 0;
}

/* Keep those that `keep` likes, unless it likes none. */
static void prefer(struct sightings *all, bool (*keep)(const struct ctl *, const struct sighting *),
		   const struct ctl *ctl)
{
	size_t liked = 0, n = 0;
	for (size_t i = 0; i < all->count; i++)
		liked += keep(ctl, &all->rows[i]);
	if (liked == 0)
		return;
	for (size_t i = 0; i < all->count; i++) {
		if (keep(ctl, &all->rows[i]))
			all->rows[n++] = all->rows[i];
		else
			sighting_done(&all->rows[i]);
	}
	all->count = n;
}

static bool is_more_than_gone(const struct ctl *ctl, const struct sighting *s)
{
	(void)ctl;
	return s->found.state != EXPLAIN_GONE;
}

int sightings_find(struct ctl *ctl, const char *id, struct sightings *ret)
{
	uint64_t ms, seq;
	struct connection *connection;
	*ret = (struct sightings){ 0 };
	if (entry_id_parse(bytes_of(id), &ms, &seq) < 0)
		return ctl_say(CTL_USAGE, "\"%s\" is not an ID (like 1700000000000-0)", id);
	int r = ctl_redis(ctl, &connection);
	if (r != 0)
		return r;
	ret->rows = calloc(ctl->config->queue_count + 1, sizeof(*ret->rows));
	if (!ret->rows)
		return ctl_say(CTL_NO, "out of memory");
	/* A queue that cannot be looked at does not hide what is in another. */
	for (size_t i = 0; r != CTL_UNAVAILABLE && i < ctl->config->queue_count; i++) {
		int failed = ctl_chooses_queue(ctl, i) ? sight(ctl, connection, i, id, ret) : 0;
		r = failed ? failed : r;
	}
	prefer(ret, is_more_than_gone, ctl);
	return r == CTL_NO && ret->count > 0 ? 0 : r;
}

int sightings_list(struct ctl *ctl, const char *id, const struct sightings *all)
{
	static const struct column columns[] = {
		{ .key = "id", .title = "ID" },       { .key = "stream", .title = "STREAM" },
		{ .key = "group", .title = "GROUP" }, { .key = "jobs", .title = "JOBS" },
		{ .key = "state", .title = "STATE" },
	};
	struct list list;
	if (list_begin(&list, &ctl->out, columns, ARRAY_LEN(columns)) < 0)
		return ctl_say(CTL_NO, "out of memory");
	for (size_t i = 0; i < all->count; i++) {
		const struct queue *queue = &ctl->config->queues[all->rows[i].queue];
		AUTO_BUF jobs = { 0 }, words = { 0 };
		ctl_add_queue_jobs(queue, &jobs, &words);
		const struct cell cells[] = {
			cell_text(all->rows[i].id),
			cell_text(queue->stream),
			cell_text(queue->group),
			cell_json(buf_bytes(&jobs), buf_bytes(&words)),
			cell_text(explain_state_name(all->rows[i].found.state)),
		};
		if (!list_row(&list, cells))
			break;
	}
	list_end(&list, NULL);
	if (all->rows[0].found.state == EXPLAIN_GONE)
		return ctl_say(CTL_NO,
			       "%s is in no queue any more; if it ever was, then in one of these: say which "
			       "with --job or --queue",
			       id);
	return ctl_say(CTL_NO, "%s is in %zu queues: say which with --job or --queue", id, all->count);
}

enum {
	COL_ID,
	COL_STREAM,
	COL_GROUP,
	COL_JOB,
	COL_STATE,
	COL_PAUSED,
	COL_CONSUMER,
	COL_HOST,
	COL_WORKER,
	COL_PID,
	COL_ATTEMPT,
	COL_MAX_ATTEMPTS,
	COL_DELIVERY,
	COL_RUNNING,
	COL_IDLE,
	COL_DUE,
	COL_DUE_IN,
	COL_LATER_ID,
	COL_HELD_BY,
	COL_REASON,
	COL_DETAIL,
	COL_LAST_FAILURE,
	COL_DEAD_ID,
	COL_STDERR,
	COL_RESULT,
	COL_FIELDS,
	COL_COUNT,
};
static const struct column explain_columns[COL_COUNT] = {
	[COL_ID] = { .key = "id", .title = "ID" },
	[COL_STREAM] = { .key = "stream", .title = "Stream" },
	[COL_GROUP] = { .key = "group", .title = "Group" },
	[COL_JOB] = { .key = "job", .title = "Job" },
	[COL_STATE] = { .key = "state", .title = "State" },
	[COL_PAUSED] = { .key = "paused", .title = "Queue paused" },
	[COL_CONSUMER] = { .key = "consumer", .title = "Consumer" },
	[COL_HOST] = { .key = "host", .title = "Host" },
	[COL_WORKER] = { .key = "worker", .title = "Worker" },
	[COL_PID] = { .key = "pid", .title = "Handler's pid" },
	[COL_ATTEMPT] = { .key = "attempt", .title = "Attempt" },
	[COL_MAX_ATTEMPTS] = { .key = "max_attempts", .title = "Attempts at most" },
	[COL_DELIVERY] = { .key = "delivery" },
	[COL_RUNNING] = { .key = "running_ms", .title = "Running for", .show = SHOW_DURATION },
	[COL_IDLE] = { .key = "idle_ms", .title = "Last sign of life before", .show = SHOW_DURATION },
	[COL_DUE] = { .key = "due_ms", .title = "Due at", .show = SHOW_TIME },
	[COL_DUE_IN] = { .key = "due_in_ms", .title = "Due in", .show = SHOW_DURATION },
	[COL_LATER_ID] = { .key = "later_id", .title = "ID until it was due" },
	[COL_HELD_BY] = { .key = "held_by", .title = "Held by" },
	[COL_REASON] = { .key = "reason", .title = "Last failure" },
	[COL_DETAIL] = { .key = "detail", .title = "In words" },
	[COL_LAST_FAILURE] = { .key = "last_failure" },
	[COL_DEAD_ID] = { .key = "dead_id", .title = "Dead letter" },
	[COL_STDERR] = { .key = "stderr", .title = "Its stderr" },
	[COL_RESULT] = { .key = "result", .title = "Result" },
	[COL_FIELDS] = { .key = "fields", .title = "Fields" },
};

/* Which handler, since when: only the daemon of the host that runs it can tell. Borrowed from workers. */
static json_t *find_worker(json_t *workers, const struct sighting *s)
{
	size_t i;
	json_t *row;
	json_array_foreach (workers, i, row) {
		const char *id = json_string_value(json_object_get(row, "id"));
		const char *consumer = json_string_value(json_object_get(row, "consumer"));
		if (id && consumer && strcmp(id, s->id) == 0 && strcmp(consumer, s->found.consumer) == 0)
			return row;
	}
	return NULL;
}

static void add_holder(const struct sighting *s, json_t *workers, struct cell *cells)
{
	struct bytes host, worker;
	cells[COL_CONSUMER] = cell_text(s->found.consumer);
	cells[COL_IDLE] = cell_number_unless(s->found.idle_ms, -1);
	if (!ctl_consumer_parts(s->found.consumer, &host, &worker))
		return;
	cells[COL_HOST] = cell_bytes(host);
	cells[COL_WORKER] = cell_bytes(worker);
	json_t *row = find_worker(workers, s);
	if (!row)
		return;
	cells[COL_PID] = cell_member(row, "handler_pid");
	cells[COL_RUNNING] = cell_member(row, "running_ms");
}

/* Attempts so far, the one that runs included. */
static struct cell attempt_cell(const struct sighting *s)
{
	if (s->has_letter)
		return cell_number_unless(s->letter.attempts, -1);
	if (s->found.delivery == 0)
		return cell_null();
	int64_t counted = s->found.delivery - s->found.given;
	int64_t least = s->found.state == EXPLAIN_RUNNING ? 1 : 0;
	return cell_number(counted > least ? counted : least);
}

static void add_failure(const struct sighting *s, const struct note *note, struct cell *cells)
{
	cells[COL_REASON] = cell_text(s->has_letter ? s->letter.reason : note->reason);
	cells[COL_DETAIL] = cell_text(s->has_letter ? s->letter.detail : note->detail);
	if (note->text)
		cells[COL_LAST_FAILURE] = cell_json(bytes_of(note->text), bytes_of(""));
	json_t *tail = json_object_get(note->object, "stderr");
	if (s->has_letter && s->letter.stderr_tail.n > 0)
		cells[COL_STDERR] = cell_bytes(s->letter.stderr_tail);
	else if (json_is_string(tail))
		cells[COL_STDERR] =
			cell_bytes((struct bytes){ json_string_value(tail), json_string_length(tail) });
}

static enum tone state_tone(enum explain_state state)
{
	return state == EXPLAIN_DEAD ? TONE_BAD : state == EXPLAIN_ACKNOWLEDGED ? TONE_GOOD : TONE_PLAIN;
}

/* text NULL: print it; else add it there, for people. */
static void tell_sighting(struct ctl *ctl, const struct sighting *s, struct buf *text)
{
	const struct queue *queue = &ctl->config->queues[s->queue];
	const struct explanation *e = &s->found;
	struct cell cells[COL_COUNT] = { 0 };
	AUTO_NOTE note;
	note_read(&note, e->note);
	cells[COL_ID] = cell_text(s->id);
	cells[COL_STREAM] = cell_text(queue->stream);
	cells[COL_GROUP] = cell_text(queue->group);
	cells[COL_JOB] = s->has_letter ? cell_text(s->letter.job) : cell_text(s->job ? s->job->name : NULL);
	cells[COL_STATE] = cell_toned(cell_text(explain_state_name(e->state)), state_tone(e->state));
	cells[COL_PAUSED] = cell_flag(e->paused);
	AUTO_JSON *workers = NULL;
	if (e->state == EXPLAIN_RUNNING) {
		workers = ctl_daemon_list_quietly(ctl, "workers");
		add_holder(s, workers, cells);
	}
	cells[COL_ATTEMPT] = attempt_cell(s);
	cells[COL_MAX_ATTEMPTS] =
		s->job && s->job->retry.max_attempts ? cell_number(s->job->retry.max_attempts) : cell_null();
	cells[COL_DELIVERY] = cell_number_unless(e->delivery, 0);
	if (e->due_ms >= 0) {
		cells[COL_DUE] = cell_number(e->due_ms);
		cells[COL_DUE_IN] = cell_number(e->due_ms - e->redis_now_ms);
	}
	cells[COL_LATER_ID] = cell_text(s->later_id);
	cells[COL_HELD_BY] = cell_text(held_by_name(e->held));
	add_failure(s, &note, cells);
	cells[COL_DEAD_ID] = cell_text(e->dead_id);
	if (s->result.state == RESULT_GIVEN)
		cells[COL_RESULT] = cell_exact(result_bytes(&s->result));
	if (e->in_stream || e->entry.pair_count > 0)
		cells[COL_FIELDS] = cell_pairs(&e->entry);
	else if (s->has_letter)
		cells[COL_FIELDS] = cell_pairs(&s->letter.entry);
	if (text)
		table_record(text, &(struct output){ .unicode = ctl->out.unicode }, explain_columns, cells,
			     COL_COUNT);
	else
		output_record(&ctl->out, explain_columns, cells, COL_COUNT);
}

void sighting_add_text(struct ctl *ctl, const struct sighting *s, struct buf *text)
{
	tell_sighting(ctl, s, text);
}

static int print_unknown(struct ctl *ctl, const char *id)
{
	const struct job *job = ctl->args->job ? config_job(ctl->config, ctl->args->job) : NULL;
	struct cell cells[COL_COUNT] = { 0 };
	cells[COL_ID] = cell_text(id);
	cells[COL_STREAM] = cell_text(job ? job->stream : NULL);
	cells[COL_GROUP] = cell_text(job ? job->group : NULL);
	cells[COL_JOB] = cell_text(job ? job->name : NULL);
	cells[COL_STATE] = cell_text(explain_state_name(EXPLAIN_UNKNOWN));
	output_record(&ctl->out, explain_columns, cells, COL_COUNT);
	return CTL_NO;
}

int verb_explain(struct ctl *ctl)
{
	const char *id = ctl->args->rest[0];
	int r = ctl_check_choice(ctl);
	if (r != 0)
		return r;
	AUTO_SIGHTINGS all = { 0 };
	r = sightings_find(ctl, id, &all);
	if (r != 0)
		return r;
	if (all.count == 0)
		return print_unknown(ctl, id);
	if (all.count > 1)
		return sightings_list(ctl, id, &all);
	tell_sighting(ctl, &all.rows[0], NULL);
	return CTL_DONE;
}
