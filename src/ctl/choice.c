/* Which queues and jobs a command line means, and what belongs to whom. */
#include "ctl/ctl.h"

#include "base/num.h"

bool ctl_queue_named(const char *stream, const char *group, const char *name)
{
	size_t n = strlen(stream);
	if (strcmp(stream, name) == 0)
		return true;
	return strncmp(stream, name, n) == 0 && name[n] == '/' && strcmp(name + n + 1, group) == 0;
}

int ctl_named_job(const struct ctl *ctl, const struct job **ret_job)
{
	const struct args *args = ctl->args;
	*ret_job = NULL;
	if (args->rest_count == 0)
		return 0;
	*ret_job = config_job(ctl->config, args->rest[0]);
	return *ret_job ? 0 : ctl_say(CTL_NO, "there is no job %s in %s", args->rest[0], ctl->config->file);
}

int ctl_check_choice(const struct ctl *ctl)
{
	const struct args *args = ctl->args;
	if (args->job && !config_job(ctl->config, args->job))
		return ctl_say(CTL_NO, "there is no job %s in %s", args->job, ctl->config->file);
	return ctl_check_queue(ctl);
}

int ctl_check_queue(const struct ctl *ctl)
{
	const struct args *args = ctl->args;
	if (!args->queue)
		return 0;
	for (size_t i = 0; i < ctl->config->queue_count; i++) {
		if (ctl_queue_named(ctl->config->queues[i].stream, ctl->config->queues[i].group, args->queue))
			return 0;
	}
	return ctl_say(CTL_NO, "no job in %s has the queue %s (STREAM or STREAM/GROUP)", ctl->config->file,
		       args->queue);
}

bool ctl_chooses_queue(const struct ctl *ctl, size_t queue)
{
	const struct args *args = ctl->args;
	const struct queue *q = &ctl->config->queues[queue];
	if (args->queue && !ctl_queue_named(q->stream, q->group, args->queue))
		return false;
	const struct job *job = args->job ? config_job(ctl->config, args->job) : NULL;
	return !job || job->queue == queue;
}

void ctl_add_queue_jobs(const struct queue *queue, struct buf *json, struct buf *words)
{
	buf_add_char(json, '[');
	for (size_t i = 0; i < queue->job_count; i++) {
		if (i > 0) {
			buf_add_char(json, ',');
			buf_add_text(words, ", ");
		}
		json_add_text(json, bytes_of(queue->jobs[i]->name));
		buf_add_text(words, queue->jobs[i]->name);
	}
	buf_add_char(json, ']');
}

bool ctl_single_job(const struct queue *queue)
{
	return queue->job_count == 1 && queue->jobs[0]->match_count == 0;
}

bool ctl_consumer_parts(const char *consumer, struct bytes *ret_host, struct bytes *ret_worker)
{
	const char *pool = strchr(consumer, '/');
	const char *slot = pool ? strchr(pool + 1, '/') : NULL;
	const char *incarnation = slot ? strchr(slot + 1, '/') : NULL;
	if (!incarnation || strchr(incarnation + 1, '/'))
		return false;
	uint64_t number;
	if (num_u64((struct bytes){ slot + 1, (size_t)(incarnation - slot - 1) }, &number) < 0)
		return false;
	*ret_host = (struct bytes){ consumer, (size_t)(pool - consumer) };
	*ret_worker = (struct bytes){ pool + 1, (size_t)(incarnation - pool - 1) };
	return true;
}
