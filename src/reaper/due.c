/* Due entries: the reaper knows when the next one is due, tells the workers through the scoreboard, and wakes idle ones by CLIENT UNBLOCK, again every
 * 50 ms until the work is taken (the first may arrive before the worker blocks). Who is woken looks for more by itself. */
#include "reaper/state.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/killpoint.h"

enum { WAKE_EVERY_MS = 50 };

static _Atomic int64_t *due_of(const struct reaped_queue *q)
{
	return &q->state->due_mono_ms;
}

/* Publish a newer figure, unless a worker parked something earlier meanwhile. */
static void publish(const struct reaped_queue *q, int64_t seen, int64_t due)
{
	_Atomic int64_t *shared = due_of(q);

	while (!atomic_compare_exchange_weak(shared, &seen, due)) {
		if (seen <= due)
			return;
	}
}

static void tell_paused(struct reaped_queue *q, bool paused)
{
	struct queue_state *s = q->state;
	uint32_t was = atomic_exchange(&s->paused, paused ? 1 : 0);
	if (paused && !was)
		q->wake_mono_ms = 0; /* workers that wait in a read of it must leave it */
}

/* The group is another one: what workers of this host run is put back at once, each under its own name and delivery. */
void reaper_put_back(struct reaper *r, struct reaped_queue *q)
{
	size_t slots = atomic_load(&board_header(r->board)->slot_count);
	AUTO_COMMAND cmd = { 0 };

	atomic_fetch_add(&q->state->remakes, 1);
	atomic_fetch_add(&board_header(r->board)->remakes, 1);
	for (size_t i = 0; i < slots && reaper_ready(r); i++) {
		const struct slot *slot = board_slot(r->board, i);
		struct slot_identity id;
		struct slot_run run;
		struct redis_error error;
		struct redisReply *reply = NULL;
		slot_read(slot, &id, &run);
		if (!reaper_same_queue(&run, q) || !run.id[0])
			continue;
		queue_build_put_back(&cmd, &q->keys, id.consumer, false);
		queue_add_put_back(&cmd, run.id, run.delivery);
		KILL_POINT("host_put_back.before");
		if (connection_call(r->conn, &cmd, CONNECTION_DEFAULT_TIMEOUT, &reply, &error) < 0)
			return; /* the worker itself finds out when it renews or settles */
		connection_free_reply(reply);
		KILL_POINT("host_put_back.after");
	}
	/* Again: whoever acknowledged meanwhile what its slot still named has it pending now. */
	atomic_fetch_add(&q->state->remakes, 1);
	atomic_fetch_add(&board_header(r->board)->remakes, 1);
}

static void rebuild(struct reaper *r, struct reaped_queue *q)
{
	struct redis_error error;
	int64_t added = 0;

	if (q->gauges.due_count >= q->gauges.parked)
		return;
	KILL_POINT("rebuild.before");
	if (admin_rebuild_due(r->conn, &q->keys, q->rebuild_cursor, &added, &error) < 0)
		(void)reaper_failed(r, q, &error);
	else if (added > 0)
		reaper_due_now(q);
	KILL_POINT_IF(added > 0, "rebuild.after");
}

void reaper_note_refused(struct reaper *r, struct reaped_queue *q, const struct redis_error *error)
{
	pthread_mutex_lock(&r->lock);
	q->gauges.refused = error->reaction == REACT_OPERATOR;
	pthread_mutex_unlock(&r->lock);
	r->o.notify(r->o.user);
}

void reaper_look_at(struct reaper *r, struct reaped_queue *q, int64_t now)
{
	struct queue_gauges g = { 0 };
	struct redis_error error;
	int64_t seen = atomic_load(due_of(q));

	if (admin_gauges(r->conn, &q->keys, reaper_watched(r), &g, &error) < 0) {
		reaper_note_refused(r, q, &error);
		(void)reaper_failed(r, q, &error);
		return;
	}
	reaper_worked(r, q);
	reaper_note_now(r, g.redis_now_ms);
	pthread_mutex_lock(&r->lock);
	q->gauges = g;
	q->looked_mono_ms = clock_mono_ms();
	pthread_mutex_unlock(&r->lock);
	r->o.notify(r->o.user);
	tell_paused(q, g.paused);
	if (g.exists && strcmp(q->delivered_told, g.last_delivered) != 0) {
		snprintf(q->delivered_told, sizeof(q->delivered_told), "%s", g.last_delivered);
		q->renew_mono_ms = 0; /* the host's row says where a group that is made again has to begin */
	}
	reaper_note_later(r, q);
	publish(q, seen, g.next_due_in_ms < 0 ? INT64_MAX : now + g.next_due_in_ms);
	if (!g.exists) { /* the stream or the group is gone: made again where it had got to */
		struct redis_error gone = { .reaction = REACT_GROUP, .text = "NOGROUP" };
		(void)reaper_failed(r, q, &gone);
		return;
	}
	rebuild(r, q);
}

void reaper_due_now(struct reaped_queue *q)
{
	int64_t now = clock_mono_ms();
	int64_t seen = atomic_load(due_of(q));

	publish(q, seen, now);
	q->wake_mono_ms = 0;
	q->look_mono_ms = 0;
	if (q->gauges.pending == 0)
		q->gauges.pending = 1; /* so that the tick is the short one until the next look */
}

/* Suspended, or at a limit: whoever was woken would not look. */
static bool all_set_aside(const struct reaped_queue *q, int64_t now)
{
	for (size_t i = 0; i < q->def->job_count; i++) {
		const struct job_state *s = q->jobs[i];
		bool set_aside = atomic_load(&s->suspended) != SUSPENDED_NOT && atomic_load(&s->probe_mono_ms) > now;
		if (!set_aside && atomic_load(&s->full_until_mono_ms) <= now && atomic_load(&s->early_until_mono_ms) <= now)
			return false;
	}
	return true;
}

/* Wake up to count idle workers of the queue's pool. Returns how many idle ones there were. */
static unsigned wake_idle(struct reaper *r, struct reaped_queue *q, unsigned count)
{
	size_t slots = atomic_load(&board_header(r->board)->slot_count);
	unsigned idle = 0;

	for (size_t i = 0; i < slots && reaper_ready(r); i++) {
		const struct slot *slot = board_slot(r->board, i);
		struct slot_identity id;
		struct slot_run run;
		struct redis_error error;
		bool done = false;

		if (atomic_load(&slot->state) != WORKER_IDLE)
			continue;
		slot_read(slot, &id, &run);
		if (strcmp(id.pool, q->pool) != 0 || id.client_id <= 0 || strcmp(id.run_id, connection_facts(r->conn)->run_id) != 0)
			continue;
		if (idle++ >= count)
			break;
		KILL_POINT("wake.before");
		if (admin_unblock(r->conn, id.client_id, &done, &error) == -EPROTO && error.reaction == REACT_OPERATOR) {
			atomic_store(&board_header(r->board)->unblock_denied, 1);
			break;
		}
		KILL_POINT_IF(done, "wake.after");
	}
	return idle;
}

void reaper_wake_workers(struct reaper *r, struct reaped_queue *q, int64_t now)
{
	bool paused = atomic_load(&q->state->paused) != 0;
	int64_t due_mono_ms = atomic_load(due_of(q));
	bool due = due_mono_ms <= now;

	if (now < q->wake_mono_ms && (paused || due_mono_ms == q->wake_due_mono_ms))
		return;
	if (paused ? q->wake_mono_ms != 0 : !due || all_set_aside(q, now))
		return;
	/* As many as there are due entries; those that came due since the last look are for those who are woken to find. */
	unsigned wanted = paused ? UINT32_MAX : q->gauges.due_now > 1 ? (unsigned)q->gauges.due_now : 1;
	unsigned idle = wake_idle(r, q, wanted);
	q->wake_mono_ms = now + (idle > 0 ? WAKE_EVERY_MS : REAPER_TICK_MS);
	q->wake_due_mono_ms = due_mono_ms;
}

/* When this queue next needs a look because something is due; now or earlier: at once. */
int64_t reaper_due_wake(const struct reaped_queue *q, int64_t now)
{
	int64_t due = atomic_load(due_of(q));

	if (atomic_load(&q->state->paused))
		return INT64_MAX;
	if (due > now)
		return due;
	if (all_set_aside(q, now))
		return now + REAPER_TICK_MS;
	return q->wake_mono_ms > now && due == q->wake_due_mono_ms ? q->wake_mono_ms : now;
}

/* ---- what a suspended job had put back ---- */

static void resume_job(struct reaper *r, size_t job)
{
	struct reaped_queue *q = r->queues[r->o.config->jobs[job].queue];
	struct redis_error error;
	int64_t count = 0;
	bool more = true;

	while (more && reaper_ready(r)) {
		KILL_POINT("due_suspended.before");
		if (admin_due_suspended(r->conn, &q->keys, 20 * 1000, &count, &more, &error) < 0) {
			(void)reaper_failed(r, q, &error);
			return;
		}
	}
	KILL_POINT("due_suspended.after");
	reaper_due_now(q);
}

static bool job_resumed(struct reaper *r, size_t job)
{
	struct job_state *s = board_job(r->board, job);
	return s && atomic_exchange(&s->resumed, 0) != 0;
}

void reaper_resume_jobs(struct reaper *r)
{
	for (size_t i = 0; i < r->o.config->job_count && reaper_ready(r); i++) {
		if (job_resumed(r, i))
			resume_job(r, i);
	}
}
