/* Jobs with the same stream and group share a queue. What belongs to the queue they must agree on; what a job
 * before them takes whole, the later ones never see. Then every pool gets its queues and its slots. */
#include "config/load.h"

#include <errno.h>
#include <stdio.h>

#include "config/value.h"

/* What the jobs of a queue agree on. */
static const enum key_id shared_keys[] = { KEY_JOB_POOL, KEY_JOB_START, KEY_JOB_FOREIGN, KEY_DEAD_MAXLEN, KEY_JOB_RETAIN };

static int compare_by_queue(const void *left, const void *right)
{
	const struct job_load *a = *(struct job_load *const *)left;
	const struct job_load *b = *(struct job_load *const *)right;
	int order = strcmp(a->job->stream, b->job->stream);

	if (order == 0)
		order = strcmp(a->job->group, b->job->group);
	return order ? order : a < b ? -1 : a > b;
}

static bool same_queue(const struct job_load *a, const struct job_load *b)
{
	return strcmp(a->job->stream, b->job->stream) == 0 && strcmp(a->job->group, b->job->group) == 0;
}

/* The value of a shared key in words. */
static void value_words(const struct key *key, const struct job *job, char *text, size_t size)
{
	const void *field = (const char *)job + key->offset;
	int choice;

	if (key->type == KEY_NAME) {
		(void)snprintf(text, size, "%s", *(char *const *)field);
	} else if (key->type == KEY_RETAIN) {
		AUTO_BUF words = { 0 };
		retain_text(field, &words);
		(void)snprintf(text, size, "%s", words.p ? words.p : "");
	} else if (key->type == KEY_CHOICE) {
		memcpy(&choice, field, sizeof(choice));
		(void)snprintf(text, size, "%s", choice_name(key->choices, choice));
	} else {
		(void)snprintf(text, size, "%lld", (long long)*(const int64_t *)field);
	}
}

static void check_shared(struct loading *l, enum key_id id, const struct job_load *first, struct job_load *j)
{
	const struct key *key = &key_table[id];
	char mine[80], other[80];

	value_words(key, j->job, mine, sizeof(mine));
	value_words(key, first->job, other, sizeof(other));
	if (strcmp(mine, other) == 0)
		return;

	const struct key_path top = { NULL, "jobs", 0 }, job = { &top, j->job->name, 0 };
	const struct key_path outer = { &job, key->section == SECTION_DEAD ? "dead" : key->name, 0 };
	const struct key_path inner = { &outer, key->name, 0 };
	struct place at = job_place(first, id);

	report_add(l->loader.report, job_place(j, id), key->section == SECTION_DEAD ? &inner : &outer,
		   "is %s%s, but %s in job %s, which has the same stream and group (%s:%u:%u)", mine,
		   j->at[id] ? "" : " by default", other, first->job->name, l->source->texts[at.file].name,
		   at.line, at.column);
}

static void check_reachable(struct loading *l, const struct job_load *all, const struct job_load *j)
{
	const struct key_path top = { NULL, "jobs", 0 }, job = { &top, j->job->name, 0 };
	const struct place *at = &all->name->at;

	report_add(l->loader.report, j->name->at, &job,
		   "never gets an entry: job %s (%s:%u:%u) takes all of the same stream and group before it "
		   "(give that one a match:, or put it last)",
		   all->job->name, l->source->texts[at->file].name, at->line, at->column);
}

static void check_queue(struct loading *l, struct job_load *const *jobs, size_t count)
{
	const struct job_load *first = NULL, *all = NULL;

	for (size_t i = 0; i < count; i++) {
		if (jobs[i]->broken)
			continue;
		for (size_t k = 0; first && k < ARRAY_LEN(shared_keys); k++)
			check_shared(l, shared_keys[k], first, jobs[i]);
		if (all)
			check_reachable(l, all, jobs[i]);
		if (!first)
			first = jobs[i];
		if (!all && jobs[i]->job->match_count == 0)
			all = jobs[i];
	}
}

static void make_queue(struct config *c, struct job_load *const *jobs, size_t count, struct job **list)
{
	struct queue *q = &c->queues[c->queue_count];
	const struct job *first = jobs[0]->job;

	*q = (struct queue){
		.stream = first->stream,
		.group = first->group,
		.pool = jobs[0]->pool,
		.jobs = list,
		.job_count = count,
		.foreign = first->foreign,
		.start = first->start,
		.retain = first->retain,
		.dead_maxlen = first->dead_maxlen,
	};
	for (size_t i = 0; i < count; i++) {
		struct job *job = jobs[i]->job;

		job->queue = c->queue_count;
		q->limited = q->limited || job_limited(job);
		list[i] = job;
		if (job->lease_ms > q->lease_ms)
			q->lease_ms = job->lease_ms;
		if (job->weight > q->weight)
			q->weight = job->weight;
	}
	c->pools[q->pool].queue_count++;
	c->queue_count++;
}

/* Hand the queues to their pools, and number the slots. */
static int fill_pools(struct loading *l)
{
	struct config *c = l->config;
	size_t *lists = arena_array(l->loader.arena, c->queue_count, sizeof(*lists));

	if (!lists)
		return -ENOMEM;
	for (size_t i = 0; i < c->pool_count; i++) {
		struct pool *pool = &c->pools[i];

		pool->queues = lists;
		lists += pool->queue_count;
		if (pool->queue_count > 0)
			c->slot_count += pool->workers;
		pool->queue_count = 0;
	}
	for (size_t i = 0; i < c->queue_count; i++) {
		struct pool *pool = &c->pools[c->queues[i].pool];

		pool->queues[pool->queue_count++] = i;
	}
	return 0;
}

int resolve_queues(struct loading *l)
{
	struct job_load **sorted = arena_array(l->loader.scratch, l->job_count, sizeof(struct job_load *));
	struct job **lists = arena_array(l->loader.arena, l->job_count, sizeof(struct job *));
	size_t queues = 0;

	if (!sorted || !lists)
		return -ENOMEM;
	for (size_t i = 0; i < l->job_count; i++)
		sorted[i] = &l->jobs[i];
	qsort(sorted, l->job_count, sizeof(struct job_load *), compare_by_queue);
	for (size_t i = 0; i < l->job_count; i++)
		queues += i == 0 || !same_queue(sorted[i - 1], sorted[i]);
	l->config->queues = arena_array(l->loader.arena, queues, sizeof(struct queue));
	if (!l->config->queues)
		return -ENOMEM;

	for (size_t i = 0, end; i < l->job_count; i = end) {
		for (end = i + 1; end < l->job_count && same_queue(sorted[i], sorted[end]);)
			end++;
		check_queue(l, sorted + i, end - i);
		make_queue(l->config, sorted + i, end - i, lists + i);
	}
	return fill_pools(l);
}
