/* Jobs with limits over all hosts (concurrency, rate). An entry of one starts only after the script admit has
 * let it in; else the script has parked it, and it waits without a due time until somebody leaves, or the
 * reaper finds that it may start. A queue that is such a job's alone is not read while the job is at its
 * limit: how long, all workers of the host know from the scoreboard, and when the time is over one of them
 * asks for all. The slot is the worker's, not the entry's: a window's process has one for all that it works
 * on, and it is given back when nothing of the job is in this worker's hands any more. Who dies with one
 * gives nothing back: whoever recovers the entry does. */
#include "worker/state.h"

#include <errno.h>

#include "base/clock.h"
#include "base/killpoint.h"
#include "worker/worker.h"

enum {
	LOOK_AGAIN_MS = 1000, /* somebody of another host may have left */
};

static struct job_state *state_of(struct worker *w, const struct job *job)
{
	return board_job(w->board, job->index);
}

/* ---- what the host knows ---- */

bool limits_job_closed(struct worker *w, const struct job *job, int64_t now_mono_ms)
{
	const struct job_state *s = state_of(w, job);
	bool mine = w->slot_of.job == job;

	return job_limited(job) && ((atomic_load(&s->full_until_mono_ms) > now_mono_ms && !mine) ||
				    atomic_load(&s->early_until_mono_ms) > now_mono_ms);
}

/* When a closed job of these queues is looked at again, INT64_MAX: none is closed. */
int64_t limits_open_mono_ms(struct worker *w, int64_t now_mono_ms)
{
	int64_t first = INT64_MAX;

	for (size_t i = 0; i < w->queue_count; i++) {
		const struct queue *def = w->queues[i].def;
		for (size_t j = 0; def->limited && j < def->job_count; j++) {
			if (!limits_job_closed(w, def->jobs[j], now_mono_ms))
				continue;
			const struct job_state *s = state_of(w, def->jobs[j]);
			int64_t full = atomic_load(&s->full_until_mono_ms),
				early = atomic_load(&s->early_until_mono_ms);
			int64_t at = full > early ? full : early;
			first = at < first ? at : first;
		}
	}
	return first;
}

static void learn(struct worker *w, const struct job *job, const struct admit_answer *a)
{
	struct job_state *s = state_of(w, job);
	int64_t now = clock_mono_ms();
	int64_t wait = a->wait_ms < LOOK_AGAIN_MS ? a->wait_ms : LOOK_AGAIN_MS;

	atomic_store(&s->full_until_mono_ms, a->free == 0 ? now + LOOK_AGAIN_MS : 0);
	atomic_store(&s->early_until_mono_ms, wait > 0 ? now + wait : 0);
}

/* It was closed, and the time is over: one of this host's workers asks. False: another one does. */
static bool claim(_Atomic int64_t *until_mono_ms, int64_t now_mono_ms)
{
	int64_t until = atomic_load(until_mono_ms);

	return until == 0 ||
	       (until <= now_mono_ms &&
		atomic_compare_exchange_strong(until_mono_ms, &until, now_mono_ms + LOOK_AGAIN_MS));
}

/* ---- the slot ---- */

const char *limits_running_key(const struct worker *w, const struct run *r)
{
	return w->slot_of.job && w->slot_of.job == r->job ? w->limits[r->job->index].running : NULL;
}

static void take_slot(struct worker *w, struct work_queue *q, const struct job *job)
{
	if (job->concurrency == 0)
		return;
	w->slot_of.job = job;
	w->slot_of.queue = q;
}

static void on_left(void *user, struct redisReply *reply)
{
	struct worker *w = user;
	struct work_queue *q = w->slot_of.queue;
	struct job_state *s = state_of(w, w->slot_of.job);
	struct redis_error error;
	int64_t made_due = 0;

	if (!link_answered(w, reply))
		return;
	if (queue_parse_count(reply, &made_due, &error) < 0) {
		if (error.reaction == REACT_OPERATOR) {
			link_refuse_queue(w, &error, q);
			w->slot_of.job =
				NULL; /* whoever mends the key finds it without us, or our lease over */
		} else {
			link_refused(w, &error, q);
		}
		worker_step(w);
		return;
	}
	KILL_POINT("leave.after");
	link_good(w);
	w->slot_of.job = NULL;
	bool was_full = atomic_exchange(&s->full_until_mono_ms, 0) != 0;
	/* We look for more at once. Where that may be something else, or nothing, the reaper wakes somebody.
	 */
	if (made_due > 0 || (was_full && (w->stopping || w->queue_count > 1)))
		fetch_tell_due(w, q, 0);
	worker_step(w);
}

bool limits_leave(struct worker *w)
{
	const struct job *job = w->slot_of.job;

	if (!job || window_busy(w) || w->run->stage != RUN_NONE)
		return false;
	bool early = atomic_load(&state_of(w, job)->early_until_mono_ms) > clock_mono_ms();
	KILL_POINT("leave.before");
	limit_build_leave(&w->cmd, &w->slot_of.queue->keys, &w->limits[job->index], w->consumer,
			  early ? 0 : 1);
	link_ask(w, CONNECTION_DEFAULT_TIMEOUT, true, on_left, w);
	return true;
}

/* ---- an entry that we hold ---- */

bool limits_must_ask(const struct worker *w, const struct run *r)
{
	return r->job && job_limited(r->job) && !r->entry.admitted &&
	       (w->slot_of.job != r->job || r->job->rate.count > 0);
}

static void speak_held(struct worker *w, const struct run *r, enum admission code)
{
	struct event_about about = speak_about(w, r);

	event_at(w->log, JOB_RELEASED, EVENT_DEBUG, &about,
		 F_TEXT("why", code == ADMIT_FULL ? "as many of its job run as may (concurrency)"
						  : "as many of its job were started as may (rate)"));
}

static void admitted(struct worker *w, struct run *r, const struct admit_answer *a)
{
	switch (a->code) {
	case ADMITTED:
		learn(w, r->job, a);
		take_slot(w, r->queue, r->job);
		run_admitted(w);
		return;
	case ADMIT_FULL:
	case ADMIT_EARLY:
		learn(w, r->job, a);
		speak_held(w, r, a->code);
		if (a->code == ADMIT_EARLY) /* the reaper looks then, at the latest */
			fetch_tell_due(w, r->queue, a->wait_ms);
		atomic_fetch_add(&w->slot->counters.released, 1);
		run_clear(w);
		return;
	case ADMIT_PAYLOAD_GONE:
		run_give_back(w, 0); /* which finds that there is nothing to park: a dead letter */
		return;
	case ADMIT_GONE:
		if (!r->put_back_tried && put_back_send(w, r->queue))
			return; /* asked again */
		break;
	case ADMIT_STALE:
	case ADMIT_PAUSED:
		break;
	}
	run_clear(w); /* another has it: it never started here */
}

static void on_admit(void *user, struct redisReply *reply)
{
	struct worker *w = user;
	struct run *r = w->run;
	struct admit_answer a;
	struct redis_error error;

	if (!link_answered(w, reply))
		return;
	if (limit_parse_admit(w->conn, reply, &r->queue->keys, &a, &error) < 0) {
		if (error.reaction == REACT_OPERATOR) {
			link_refuse_queue(w, &error, r->queue);
			run_give_back(w, SUSPEND_PARK_MS);
		} else {
			link_refused(w, &error, r->queue);
		}
		worker_step(w);
		return;
	}
	KILL_POINT_IF(a.code == ADMITTED, "admit.after");
	link_good(w);
	connection_set_redis_now(w->conn, a.redis_now_ms);
	admitted(w, r, &a);
	worker_step(w);
}

void limits_admit(struct worker *w)
{
	struct run *r = w->run;

	KILL_POINT("admit.before");
	limit_build_admit(&w->cmd, &r->queue->keys, &w->limits[r->job->index], w->consumer, r->entry.id,
			  r->entry.delivery);
	link_ask(w, CONNECTION_DEFAULT_TIMEOUT, true, on_admit, w);
}

/* ---- new ones ---- */

/* Reads of a queue that is a limited job's alone go by the script, which reads what may start. */
bool limits_read_wanted(const struct worker *w, const struct work_queue *q)
{
	const struct job *job = q->def->jobs[0];
	return q->def->job_count == 1 && job_limited(job) && (w->slot_of.job != job || job->rate.count > 0);
}

/* False: another worker of this host asks already. */
bool limits_claim(struct worker *w, const struct work_queue *q, int64_t now_mono_ms)
{
	struct job_state *s = state_of(w, q->def->jobs[0]);

	return claim(&s->full_until_mono_ms, now_mono_ms) && claim(&s->early_until_mono_ms, now_mono_ms);
}

void limits_build_read(struct worker *w, const struct work_queue *q, int64_t count)
{
	limit_build_read(&w->cmd, &q->keys, &w->limits[q->def->jobs[0]->index], w->consumer, count);
}

int limits_parse_read(struct worker *w, struct work_queue *q, struct redisReply *reply,
		      struct entry_list *ret_list, bool *ret_empty, struct redis_error *ret_error)
{
	const struct job *job = q->def->jobs[0];
	struct admit_answer a;

	*ret_list = (struct entry_list){ 0 };
	int r = limit_parse_admit(w->conn, reply, &q->keys, &a, ret_error);
	if (r < 0)
		return r;
	connection_set_redis_now(w->conn, a.redis_now_ms);
	*ret_empty = a.code == ADMITTED && a.list.count == 0;
	if (a.code == ADMIT_PAUSED) {
		q->paused_until_mono_ms = clock_mono_ms() + LOOK_AGAIN_MS;
		return 0;
	}
	learn(w, job, &a);
	if (a.list.count > 0)
		take_slot(w, q, job);
	*ret_list = a.list;
	return 0;
}

int limits_init(struct worker *w)
{
	for (size_t i = 0; i < w->queue_count; i++) {
		const struct queue *def = w->queues[i].def;
		for (size_t j = 0; def->limited && j < def->job_count; j++) {
			if (!w->limits && !(w->limits = calloc(w->config->job_count, sizeof(*w->limits))))
				return -ENOMEM;
			int r = limit_init(&w->limits[def->jobs[j]->index], def, def->jobs[j]);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

void limits_done(struct worker *w)
{
	for (size_t i = 0; w->limits && i < w->config->job_count; i++)
		limit_done(&w->limits[i]);
	free(w->limits);
}
