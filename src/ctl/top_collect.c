/* One frame: what the daemon of this host and Redis say now. It costs Redis two scripts a queue, a third
 * where something is parked, each of them bounded, however much waits. What rates are made of (the counts of
 * the frame before), and what need not be asked again (dead letters, the job of a parked entry), is kept
 * between frames. */
#include "ctl/top_collect.h"

#include <errno.h>
#include <inttypes.h>

#include "base/clock.h"
#include "ctl/figures.h"
#include "ipc/control.h"

enum { DAEMON_WAIT_MS = 3000, REDIS_WAIT_MS = 3000 };

struct top_collector *top_collector_new(struct ctl *ctl, int64_t interval_ms)
{
	struct top_collector *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->ctl = ctl;
	c->interval_ms = interval_ms;
	c->queues = calloc(ctl->config->queue_count + 1, sizeof(*c->queues));
	if (!c->queues) {
		free(c);
		return NULL;
	}
	return c;
}

void top_collector_free(struct top_collector *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->ctl->config->queue_count; i++)
		top_memory_done(&c->queues[i]);
	free(c->queues);
	free(c);
}

/* Thousandths a second; -1 while nothing can be said: no count now or before, or one that went back. */
static int64_t rate(struct top_tally *t, int64_t count, int64_t now_ms)
{
	int64_t result = -1;
	if (count >= 0 && t->count >= 0 && t->at_ms > 0 && now_ms > t->at_ms && count >= t->count)
		result = (count - t->count) * 1000000 / (now_ms - t->at_ms);
	t->count = count;
	t->at_ms = now_ms;
	return result;
}

/* ---- the daemon ---- */

static json_t *ask_daemon(struct top_collector *c, struct top_frame *f, const char *verb)
{
	AUTO_JSON *request = json_pack("{s:s}", "verb", verb);
	json_t *answer = NULL;
	struct fault fault = { 0 };
	if (f->daemon_error)
		return NULL;
	int r = request ? control_call(c->ctl->config->control_socket, request, DAEMON_WAIT_MS, &answer,
				       &fault)
			: -ENOMEM;
	if (r == 0)
		return answer;
	if (r == -ENOENT || r == -ECONNREFUSED)
		f->daemon_error = top_keepf(f, "the daemon does not run (nobody answers at %s)",
					    c->ctl->config->control_socket);
	else
		f->daemon_error = top_keepf(f, "the daemon cannot be asked: %s",
					    fault.text[0] ? fault.text : "no memory");
	return NULL;
}

static int64_t number(json_t *object, const char *name)
{
	json_t *value = json_object_get(object, name);
	return json_is_integer(value) ? json_integer_value(value) : -1;
}

/* NULL when it is not there. */
static const char *text(struct top_frame *f, json_t *object, const char *name)
{
	json_t *value = json_object_get(object, name);
	if (!json_is_string(value))
		return NULL;
	return top_keep(f, (struct bytes){ json_string_value(value), json_string_length(value) });
}

static const char *text_or(struct top_frame *f, json_t *object, const char *name, const char *otherwise)
{
	const char *found = text(f, object, name);
	return found ? found : otherwise;
}

static void read_status(struct top_collector *c, struct top_frame *f)
{
	AUTO_JSON *answer = ask_daemon(c, f, "status");
	json_t *daemon = json_object_get(answer, "daemon");
	json_t *workers = json_object_get(answer, "workers");
	if (!answer)
		return;
	f->daemon_state = text_or(f, daemon, "state", "?");
	f->daemon_version = text_or(f, daemon, "version", "?");
	f->daemon_pid = number(daemon, "pid");
	f->daemon_uptime_ms = number(daemon, "uptime_ms");
	f->daemon_has_redis = json_is_true(json_object_get(json_object_get(daemon, "redis"), "connected"));
	f->total = number(workers, "total");
	f->busy = number(workers, "busy");
	f->idle = number(workers, "idle");
	f->starting = number(workers, "starting");
}

static int find_queue(const struct config *config, const char *stream, const char *group)
{
	for (size_t i = 0; stream && group && i < config->queue_count; i++) {
		if (strcmp(config->queues[i].stream, stream) == 0 &&
		    strcmp(config->queues[i].group, group) == 0)
			return (int)i;
	}
	return TOP_NO_QUEUE;
}

static void read_worker(const struct top_collector *c, struct top_frame *f, json_t *row, struct top_worker *w)
{
	*w = (struct top_worker){
		.name = top_keepf(f, "%s/%" PRId64, text_or(f, row, "pool", "?"), number(row, "slot")),
		.state = text_or(f, row, "state", "?"),
		.job = text(f, row, "job"),
		.id = text(f, row, "id"),
		.stream = text(f, row, "stream"),
		.group = text(f, row, "group"),
		.status = text(f, row, "status"),
		.pid = number(row, "pid"),
		.handler_pid = number(row, "handler_pid"),
		.attempt = number(row, "attempt"),
		.running_ms = number(row, "running_ms"),
		.progress = number(row, "progress"),
		.done = number(row, "done"),
		.failed = number(row, "failed"),
	};
	w->queue = find_queue(c->ctl->config, w->stream, w->group);
}

/* What runs longest comes first, then by the name as numbers go. */
static int compare_workers(const void *left, const void *right)
{
	const struct top_worker *a = left, *b = right;
	if (a->running_ms != b->running_ms)
		return (a->running_ms < b->running_ms) - (a->running_ms > b->running_ms);
	return strverscmp(a->name, b->name);
}

static void read_workers(struct top_collector *c, struct top_frame *f)
{
	AUTO_JSON *answer = ask_daemon(c, f, "workers");
	json_t *rows = json_object_get(answer, "workers");
	int64_t done = 0, failed = 0;
	f->workers = calloc(json_array_size(rows) + 1, sizeof(*f->workers));
	f->failed = f->failed || !f->workers;
	size_t i;
	json_t *row;
	json_array_foreach (rows, i, row) {
		if (!f->workers)
			break;
		struct top_worker *w = &f->workers[f->worker_count++];
		read_worker(c, f, row, w);
		done += w->done > 0 ? w->done : 0;
		failed += w->failed > 0 ? w->failed : 0;
	}
	if (f->workers)
		qsort(f->workers, f->worker_count, sizeof(*f->workers), compare_workers);
	f->done_milli_per_s = rate(&c->done, rows ? done : -1, f->mono_ms);
	f->failed_milli_per_s = rate(&c->failed, rows ? failed : -1, f->mono_ms);
}

/* ---- queues ---- */

/* Only where the group is not the usual one it is worth a place. */
static const char *shown_name(struct top_frame *f, const struct config *config, const struct queue *queue)
{
	if (config->group && strcmp(queue->group, config->group) == 0)
		return queue->stream;
	return top_keepf(f, "%s/%s", queue->stream, queue->group);
}

/* What the daemon knows of queues; NULL = it does not say. */
struct daemon_view {
	json_t *suspended; /* [{job, …}] */
	json_t *counts;    /* [{job, stream, group, failed, …}] */
};

/* Attempts that failed on this host; -1 = nobody says. */
static int64_t failed_count(const struct queue *queue, json_t *counts)
{
	int64_t sum = counts ? 0 : -1;
	size_t i;
	json_t *row;
	json_array_foreach (counts, i, row) {
		const char *stream = json_string_value(json_object_get(row, "stream"));
		const char *group = json_string_value(json_object_get(row, "group"));
		int64_t failed = number(row, "failed");
		if (stream && group && failed > 0 && strcmp(stream, queue->stream) == 0 &&
		    strcmp(group, queue->group) == 0)
			sum += failed;
	}
	return sum;
}

static void name_queue(struct top_collector *c, struct top_frame *f, size_t index,
		       const struct daemon_view *view, struct top_queue *q)
{
	const struct queue *queue = &c->ctl->config->queues[index];
	AUTO_BUF json = { 0 }, words = { 0 }, suspended_json = { 0 }, suspended_words = { 0 };
	ctl_add_queue_jobs(queue, &json, &words);
	*q = (struct top_queue){
		.index = (int)index,
		.stream = queue->stream,
		.group = queue->group,
		.shown = shown_name(f, c->ctl->config, queue),
		.jobs = top_keep(f, buf_bytes(&words)),
		.jobs_json = top_keep(f, buf_bytes(&json)),
		.waiting = -1,
		.oldest_waiting_ms = -1,
		.done_milli_per_s = -1,
		.failed_milli_per_s = -1,
	};
	q->failed_milli_per_s = rate(&c->queues[index].failed, failed_count(queue, view->counts), f->mono_ms);
	if (!view->suspended)
		return;
	figures_suspended(queue, view->suspended, &suspended_json, &suspended_words);
	q->suspended = top_keep(f, buf_bytes(&suspended_words));
	q->suspended_json = top_keep(f, buf_bytes(&suspended_json));
}

bool top_redis_failed(struct top_collector *c, struct top_frame *f, struct top_queue *q, int r,
		      const struct redis_error *error)
{
	AUTO_BUF why = { 0 };
	if (r >= 0)
		return false;
	int code = ctl_redis_why(c->ctl, (size_t)q->index, r, error, &why);
	const char *words = top_keep(f, buf_bytes(&why));
	if (code == CTL_UNAVAILABLE)
		f->redis_error = words;
	else
		q->refused = words;
	return true;
}

static void read_queue(struct top_collector *c, struct top_frame *f, struct connection *connection,
		       struct top_queue *q)
{
	struct ctl *ctl = c->ctl;
	struct top_memory *memory = &c->queues[q->index];
	struct redis_error error = { 0 };
	int r = admin_gauges(connection, &ctl->keys[q->index], /* count_suspended: */ false, &q->gauges,
			     &error);
	if (!top_redis_failed(c, f, q, r, &error)) {
		q->known = true;
		q->waiting = figures_waiting(&ctl->config->queues[q->index], &q->gauges);
		q->oldest_waiting_ms = figures_age_ms(q->gauges.oldest_waiting, q->gauges.redis_now_ms);
		top_collect_failures(c, f, connection, q);
	}
	q->done_milli_per_s = rate(&memory->done, q->known && !q->refused ? memory->done_count : -1,
				   q->gauges.redis_now_ms);
}

static void read_queues(struct top_collector *c, struct top_frame *f)
{
	struct ctl *ctl = c->ctl;
	struct connection *connection = NULL;
	AUTO_BUF why = { 0 };
	AUTO_JSON *suspended = ask_daemon(c, f, "suspended"), *counts = ask_daemon(c, f, "counts");
	const struct daemon_view view = { json_object_get(suspended, "suspended"),
					  json_object_get(counts, "counts") };
	f->queues = calloc(ctl->config->queue_count + 1, sizeof(*f->queues));
	if (!f->queues) {
		f->failed = true;
		return;
	}
	if (ctl_redis_try(ctl, &connection, &why) != 0)
		f->redis_error = top_keep(f, buf_bytes(&why));
	else
		connection_limit_waits(connection, REDIS_WAIT_MS);
	for (size_t i = 0; i < ctl->config->queue_count; i++) {
		if (!ctl_chooses_queue(ctl, i))
			continue;
		struct top_queue *q = &f->queues[f->queue_count++];
		name_queue(c, f, i, &view, q);
		if (!f->redis_error)
			read_queue(c, f, connection, q);
	}
}

struct top_frame *top_collect(struct top_collector *c)
{
	struct top_frame *f = top_frame_new();
	if (!f)
		return NULL;
	AUTO_FREE char *url = redis_target_text(&c->ctl->config->redis);
	f->host = c->ctl->config->name;
	f->wall_ms = clock_wall_ms();
	f->mono_ms = clock_mono_ms();
	f->interval_ms = c->interval_ms;
	f->redis_url = top_keep(f, bytes_of(url ? url : "?"));
	c->lookups = 0;
	read_status(c, f);
	read_workers(c, f);
	read_queues(c, f);
	top_sort_failures(f);
	if (!f->failed)
		return f;
	top_frame_free(f);
	return NULL;
}
