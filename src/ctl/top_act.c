/* What keys ask for, done: by the desk's calls, as the verbs `explain`, `retry`, `pause` and `resume` do it,
 * but with words for a status line instead of stderr. */
#include <inttypes.h>

#include "ctl/explain.h"
#include "ctl/figures.h"
#include "ctl/table.h"
#include "ctl/top.h"

/* r of a call: false, with the words, when it is an error. */
static bool good(const struct ctl *ctl, const struct top_request *request, int r,
		 const struct redis_error *error, struct buf *words)
{
	if (r < 0)
		(void)ctl_redis_why(ctl, (size_t)request->queue, r, error, words);
	return r >= 0;
}

static bool retry(struct ctl *ctl, const struct top_request *request, struct connection *connection,
		  struct buf *words)
{
	struct redis_error error = { 0 };
	int r = desk_retry(connection, &ctl->keys[request->queue], request->id, &error);
	if (!good(ctl, request, r, &error, words))
		return false;
	buf_addf(words, r > 0 ? "%s is not parked any more" : "%s may run now", request->id);
	if (r == 0)
		ctl_daemon_look(ctl);
	return r == 0;
}

static bool set_paused(struct ctl *ctl, const struct top_request *request, struct connection *connection,
		       struct buf *words)
{
	const struct queue *queue = &ctl->config->queues[request->queue];
	bool pause = request->kind == TOP_PAUSE, changed = false;
	struct redis_error error = { 0 };
	int r = desk_pause(connection, &ctl->keys[request->queue], pause, &changed, &error);
	if (!good(ctl, request, r, &error, words))
		return false;
	/* Suspended jobs are this host's, and are tried again at once. */
	for (size_t i = 0; !pause && i < queue->job_count; i++)
		ctl_daemon_resume_quietly(ctl, queue->jobs[i]->name);
	ctl_daemon_look(ctl);
	buf_addf(words, "queue %s/%s %s", queue->stream, queue->group,
		 pause ? (changed ? "is paused, on all hosts" : "was paused already") : "goes on");
	return true;
}

static bool look_at_entry(struct ctl *ctl, const struct top_request *request, struct connection *connection,
			  struct buf *words, struct buf *text)
{
	struct sighting s;
	struct redis_error error = { 0 };
	int r = sighting_look(ctl, connection, (size_t)request->queue, request->id, &s, &error);
	if (!good(ctl, request, r, &error, words))
		return false;
	sighting_add_text(ctl, &s, text);
	sighting_done(&s);
	return true;
}

/* What a line of the pane has no room for. */
static bool look_at_queue(struct ctl *ctl, const struct top_request *request, struct connection *connection,
			  struct buf *words, struct buf *text)
{
	static const struct column columns[] = {
		{ .title = "Stream" },
		{ .title = "Group" },
		{ .title = "Jobs" },
		{ .title = "Paused" },
		{ .title = "Entries in the stream" },
		{ .title = "Waiting" },
		{ .title = "Oldest waiting", .show = SHOW_DURATION },
		{ .title = "Running" },
		{ .title = "Of these foreign" },
		{ .title = "Parked" },
		{ .title = "Due already" },
		{ .title = "Next due in", .show = SHOW_DURATION },
		{ .title = "Later" },
		{ .title = "Dead letters" },
		{ .title = "Lease", .show = SHOW_DURATION },
		{ .title = "Redis's time", .show = SHOW_TIME },
	};
	const struct queue *queue = &ctl->config->queues[request->queue];
	struct queue_gauges g = { 0 };
	struct redis_error error = { 0 };
	int r = admin_gauges(connection, &ctl->keys[request->queue], /* count_suspended: */ false, &g,
			     &error);
	if (!good(ctl, request, r, &error, words))
		return false;
	AUTO_BUF json = { 0 }, jobs = { 0 };
	ctl_add_queue_jobs(queue, &json, &jobs);
	const struct cell cells[] = {
		cell_text(queue->stream),
		cell_text(queue->group),
		cell_bytes(buf_bytes(&jobs)),
		cell_flag(g.paused),
		cell_number(g.length),
		cell_number_unless(figures_waiting(queue, &g), -1),
		cell_number_unless(figures_age_ms(g.oldest_waiting, g.redis_now_ms), -1),
		cell_number(g.pending > g.parked ? g.pending - g.parked : 0),
		cell_number_unless(g.foreign, 0),
		cell_number(g.parked),
		cell_number(g.due_now),
		cell_number_unless(g.next_due_in_ms, -1),
		g.later > 0 ? cell_number(g.later) : cell_null(),
		cell_number(g.dead),
		cell_number(queue->lease_ms),
		cell_number(g.redis_now_ms),
	};
	table_record(text, &(struct output){ .unicode = ctl->out.unicode }, columns, cells, ARRAY_LEN(cells));
	return true;
}

bool top_act(struct ctl *ctl, const struct top_request *request, struct buf *words, struct buf *text)
{
	struct connection *connection = NULL;
	if (request->queue < 0 || (size_t)request->queue >= ctl->config->queue_count) {
		buf_add_text(words, "there is no such queue");
		return false;
	}
	if (ctl_redis_try(ctl, &connection, words) != 0)
		return false;
	switch (request->kind) {
	case TOP_NOTHING:
		return true;
	case TOP_RETRY:
		return retry(ctl, request, connection, words);
	case TOP_PAUSE:
	case TOP_RESUME:
		return set_paused(ctl, request, connection, words);
	case TOP_LOOK:
		return request->id[0] ? look_at_entry(ctl, request, connection, words, text)
				      : look_at_queue(ctl, request, connection, words, text);
	}
	return false;
}
