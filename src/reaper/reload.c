/* Another configuration while the reaper runs. Queues are known by (stream, group): what is in both generations keeps everything that is known of it;
 * what is new is claimed and gets its group; what is gone lingers until no worker that read it is left, so that what such a worker still runs, or
 * leaves behind, is looked after to the end. */
#include "reaper/state.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"

/* ---- one queue ---- */

void reaper_queue_free(struct reaped_queue *q)
{
	if (!q)
		return;
	queue_keys_done(&q->keys);
	free(q->own.stream);
	free(q->own.group);
	free(q->pool);
	free(q->job);
	free(q->jobs);
	reaper_limits_free(q);
	free(q);
}

/* What the configuration says of it, copied; on failure nothing has changed. The board is bound to this configuration. */
static int describe(struct reaper *r, const struct config *c, size_t index, struct reaped_queue *q)
{
	const struct queue *def = &c->queues[index];
	AUTO_FREE char *pool = strdup(c->pools[def->pool].name);
	AUTO_FREE char *job = def->job_count == 1 ? strdup(def->jobs[0]->name) : NULL;
	struct job_state **jobs = calloc(def->job_count + 1, sizeof(struct job_state *));

	if (!pool || !jobs || (def->job_count == 1 && !job) || reaper_limits_init(q, def) < 0) {
		free(jobs);
		return -ENOMEM;
	}
	for (size_t i = 0; i < def->job_count; i++)
		jobs[i] = board_job(r->board, def->jobs[i]->index);
	free(q->pool);
	free(q->job);
	free(q->jobs);
	q->pool = TAKE(pool);
	q->job = TAKE(job);
	q->jobs = jobs;
	q->state = board_queue(r->board, index);
	q->own.jobs = NULL;
	q->own.job_count = def->job_count;
	q->own.weight = def->weight;
	q->own.foreign = def->foreign;
	q->own.start = def->start;
	q->own.retain = def->retain;
	q->trim_mono_ms = 0;
	q->trim_more = false;
	q->own.dead_maxlen = def->dead_maxlen;
	return 0;
}

int reaper_queue_new(struct reaper *r, const struct config *c, size_t index, struct reaped_queue **ret_queue)
{
	const struct queue *def = &c->queues[index];
	struct reaped_queue *q = calloc(1, sizeof(*q));
	int failed = q ? describe(r, c, index, q) : -ENOMEM;

	if (failed == 0) {
		q->def = &q->own;
		q->own.stream = strdup(def->stream);
		q->own.group = strdup(def->group);
		q->own.lease_ms = q->longest_lease_ms = def->lease_ms;
		snprintf(q->sweep_cursor, sizeof(q->sweep_cursor), "-");
		snprintf(q->rebuild_cursor, sizeof(q->rebuild_cursor), "-");
		q->later_mono_ms = INT64_MAX;
		atomic_store(&q->state->due_mono_ms, INT64_MAX);
		failed = q->own.stream && q->own.group ? queue_keys_init(&q->keys, q->own.stream, q->own.group) : -ENOMEM;
	}
	if (failed < 0) {
		reaper_queue_free(q);
		return failed;
	}
	*ret_queue = q;
	return 0;
}

/* Workers of the older generation renew by their lease: a shorter one counts once they are gone. */
static void change_lease(struct reaped_queue *q, int64_t lease_ms, uint64_t generation)
{
	q->lease_from = 0;
	if (lease_ms >= q->own.lease_ms) {
		q->own.lease_ms = lease_ms;
		if (q->longest_lease_ms < lease_ms)
			q->longest_lease_ms = lease_ms;
	} else {
		q->lease_next_ms = lease_ms;
		q->lease_from = generation;
	}
	q->renew_mono_ms = 0; /* the host's row says it to the other hosts */
}

static int keep(struct reaper *r, const struct config *c, size_t index, struct reaped_queue *q, uint64_t generation)
{
	int failed = describe(r, c, index, q);

	if (failed < 0)
		return failed;
	q->left_at = 0;
	q->look_mono_ms = 0;
	if (c->queues[index].lease_ms != q->own.lease_ms || q->lease_from)
		change_lease(q, c->queues[index].lease_ms, generation);
	return 0;
}

/* ---- all of them ---- */

static struct reaped_queue *find(struct reaper *r, const struct queue *def)
{
	for (size_t i = 0; i < r->queue_count; i++) {
		if (strcmp(r->queues[i]->own.stream, def->stream) == 0 && strcmp(r->queues[i]->own.group, def->group) == 0)
			return r->queues[i];
	}
	return NULL;
}

static bool among(struct reaped_queue *const *list, size_t count, const struct reaped_queue *q)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i] == q)
			return true;
	}
	return false;
}

/* The new list: the configuration's queues in their order, then those that linger. NULL: no memory, and nothing was lost. */
static struct reaped_queue **make_list(struct reaper *r, const struct config *c, uint64_t generation, size_t *ret_count)
{
	struct reaped_queue **list = calloc(c->queue_count + r->queue_count + 1, sizeof(struct reaped_queue *));
	size_t made = 0;

	for (; list && made < c->queue_count; made++) {
		struct reaped_queue *known = find(r, &c->queues[made]);
		int failed = known ? keep(r, c, made, known, generation) : reaper_queue_new(r, c, made, &list[made]);
		if (failed < 0)
			break;
		if (known)
			list[made] = known;
	}
	if (!list || made < c->queue_count) {
		for (size_t i = 0; i < made; i++) {
			if (!among(r->queues, r->queue_count, list[i]))
				reaper_queue_free(list[i]);
		}
		free(list);
		return NULL;
	}
	size_t lingering = 0;
	for (size_t i = 0; i < r->queue_count; i++) {
		struct reaped_queue *q = r->queues[i];
		if (among(list, c->queue_count, q))
			continue;
		q->left_at = q->left_at ? q->left_at : generation;
		list[c->queue_count + lingering++] = q;
	}
	atomic_store(&r->lingering, lingering);
	*ret_count = c->queue_count + lingering;
	return list;
}

static void change_target(struct reaper *r, const struct redis_target *target)
{
	char name[128];
	snprintf(name, sizeof(name), "%s/reaper", r->row.name);
	struct connection *fresh = connection_new(target, name, NULL, NULL);

	if (!fresh)
		return; /* the old one goes on */
	connection_free(r->conn);
	r->conn = fresh;
	r->o.target = target;
	for (size_t i = 0; i < r->schedule_count; i++)
		r->schedules[i].seen = false;
	r->connect_mono_ms = 0;
	r->failures = 0;
	atomic_store(&board_header(r->board)->redis_connected, 0);
}

void reaper_adopt(struct reaper *r)
{
	pthread_mutex_lock(&r->lock);
	const struct config *c = r->inbox.config;
	const struct redis_target *target = r->inbox.target;
	uint64_t generation = r->inbox.generation;
	pthread_mutex_unlock(&r->lock);
	size_t count = 0;

	if (!c || atomic_load(&r->phase) != REAPER_RUNNING ||
	    board_bind(r->board, &(struct board_rows){ c->jobs, c->job_count, c->queues, c->queue_count }) < 0)
		return;
	struct reaped_schedule *schedules = reaper_cron_room(c);
	struct reaped_queue **list = schedules ? make_list(r, c, generation, &count) : NULL;
	if (!list) {
		free(schedules);
		return; /* tried again */
	}
	reaper_cron_adopt(r, c, list, schedules);
	r->row.name = c->name;
	r->row.workers = (int64_t)c->slot_count;
	if (target)
		change_target(r, target);
	pthread_mutex_lock(&r->lock);
	struct reaped_queue **old = r->queues;
	r->queues = list;
	r->queue_count = count;
	r->o.config = c;
	if (r->inbox.generation == generation)
		r->inbox.config = NULL;
	pthread_mutex_unlock(&r->lock);
	free(old);
	atomic_store(&r->generation, generation);
	r->o.notify(r->o.user);
}

/* ---- later ---- */

/* Its workers are gone, and what they left behind is released. */
static void let_go(struct reaper *r, size_t at)
{
	struct reaped_queue *q = r->queues[at];
	struct redis_error error;

	if (q->mine && admin_host_leave(r->conn, &q->keys, &r->row, &error) < 0)
		(void)reaper_failed(r, q, &error); /* then the row goes with its lease */
	pthread_mutex_lock(&r->lock);
	memmove(r->queues + at, r->queues + at + 1, (r->queue_count - at - 1) * sizeof(struct reaped_queue *));
	r->queue_count--;
	pthread_mutex_unlock(&r->lock);
	reaper_queue_free(q);
	atomic_fetch_sub(&r->lingering, 1);
}

static void shorten_lease(struct reaped_queue *q)
{
	q->own.lease_ms = q->lease_next_ms;
	q->lease_from = 0;
	q->renew_mono_ms = 0;
}

void reaper_look_at_generations(struct reaper *r)
{
	bool prepared = true;

	for (size_t i = 0; i < r->queue_count && reaper_ready(r);) {
		struct reaped_queue *q = r->queues[i];
		if (q->left_at && q->left_at <= r->oldest_workers && reaper_all_released(r)) {
			let_go(r, i);
			continue;
		}
		if (q->lease_from && q->lease_from <= r->oldest_workers)
			shorten_lease(q);
		prepared = prepared && (q->prepared || q->left_at);
		i++;
	}
	uint64_t generation = atomic_load(&r->generation);
	if (prepared && atomic_exchange(&r->prepared_generation, generation) != generation)
		r->o.notify(r->o.user);
}
