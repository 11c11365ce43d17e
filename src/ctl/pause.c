/* `pause`, `resume`: the queue's `paused` key, which every host respects. `resume` also asks this host's
 * daemon to try its suspended jobs again at once; without a daemon there is nothing suspended to ask about.
 */
#include <errno.h>

#include "ctl/ctl.h"
#include "ctl/verb.h"
#include "redis/desk.h"

static const struct column pause_columns[] = {
	{ .key = "stream", .title = "STREAM", .elastic = true },
	{ .key = "group", .title = "GROUP", .elastic = true },
	{ .key = "jobs", .title = "JOBS", .elastic = true },
	{ .key = "paused", .title = "PAUSED" },
	{ .key = "changed", .title = "CHANGED" },
};

static int check_shared(const struct ctl *ctl, const struct job *job, bool pause)
{
	const struct queue *queue = &ctl->config->queues[job->queue];
	if (!pause || queue->job_count == 1 || ctl->args->queue)
		return 0;
	return ctl_say(CTL_NO,
		       "job %s shares its queue with %zu other%s, which would be paused too: say --queue "
		       "%s/%s to do that",
		       job->name, queue->job_count - 1, queue->job_count == 2 ? "" : "s", queue->stream,
		       queue->group);
}

static int set_queue_paused(struct ctl *ctl, struct connection *connection, size_t index, bool pause,
			    struct list *list)
{
	const struct queue *queue = &ctl->config->queues[index];
	struct redis_error error = { 0 };
	bool changed = false;
	int r = desk_pause(connection, &ctl->keys[index], pause, &changed, &error);
	if (r < 0)
		return ctl_redis_failed(ctl, index, r, &error);
	AUTO_BUF jobs = { 0 }, words = { 0 };
	ctl_add_queue_jobs(queue, &jobs, &words);
	const struct cell cells[] = {
		cell_text(queue->stream),
		cell_text(queue->group),
		cell_json(buf_bytes(&jobs), buf_bytes(&words)),
		cell_flag(pause),
		cell_flag(changed),
	};
	(void)list_row(list, cells);
	return 0;
}

/* Best effort: the key in Redis is what counts, and a daemon that is not there has nothing suspended. */
static int resume_suspended(const struct ctl *ctl, const char *job)
{
	AUTO_JSON *answer = NULL;
	struct fault fault;
	int r = ctl_daemon(ctl, json_pack("{s:s, s:s*}", "verb", "resume", "job", job), &answer, &fault);
	if (r < 0 && r != -ECONNREFUSED)
		(void)ctl_say(CTL_UNAVAILABLE, "the daemon cannot be asked to try suspended jobs again: %s",
			      fault.text);
	return r > 0 ? r : 0;
}

static int resume_chosen(const struct ctl *ctl, const struct job *job)
{
	if (job)
		return resume_suspended(ctl, job->name);
	if (!ctl->args->queue)
		return resume_suspended(ctl, NULL);
	int result = 0;
	for (size_t i = 0; i < ctl->config->job_count; i++) {
		if (ctl_chooses_queue(ctl, ctl->config->jobs[i].queue)) {
			int r = resume_suspended(ctl, ctl->config->jobs[i].name);
			result = r ? r : result;
		}
	}
	return result;
}

static int set_paused(struct ctl *ctl, bool pause)
{
	const struct job *job;
	struct connection *connection;
	int r = ctl_check_choice(ctl);
	if (r == 0)
		r = ctl_named_job(ctl, &job);
	if (r == 0 && job)
		r = check_shared(ctl, job, pause);
	if (r == 0)
		r = ctl_redis(ctl, &connection);
	if (r != 0)
		return r;
	struct list list;
	if (list_begin(&list, &ctl->out, pause_columns, ARRAY_LEN(pause_columns)) < 0)
		return ctl_say(CTL_NO, "out of memory");
	for (size_t i = 0; r == 0 && i < ctl->config->queue_count; i++) {
		if (ctl_chooses_queue(ctl, i) && (!job || job->queue == i))
			r = set_queue_paused(ctl, connection, i, pause, &list);
	}
	list_end(&list, NULL);
	if (r == 0 && list.rows == 0)
		return ctl_say(CTL_NO, "job %s is not of queue %s", job ? job->name : "?",
			       ctl->args->queue ? ctl->args->queue : "?");
	if (r == 0 && !pause)
		r = resume_chosen(ctl, job);
	ctl_daemon_look(ctl);
	return r;
}

int verb_pause(struct ctl *ctl)
{
	return set_paused(ctl, true);
}

int verb_resume(struct ctl *ctl)
{
	return set_paused(ctl, false);
}
