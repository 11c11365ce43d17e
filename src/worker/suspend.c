/* Suspended jobs: a command that cannot be executed is a deployment error, not the entry's. The job is set aside on this host, in the job table
 * that all its workers share, and probed with another entry after 1 s, 2 s … 15 s. Claiming a probe is one compare-and-exchange on its time. */
#include "worker/state.h"

#include <unistd.h>

#include "base/clock.h"
#include "worker/worker.h"

enum {
	PROBE_FIRST_MS = 1000,
	PROBE_LAST_MS = 15 * 1000,
	PROBE_CLAIM_MS = 15 * 1000, /* if the worker that claimed it dies, the next may try */
	MISSING_TOOL_ENTRIES = 3,
};

static bool suspended(struct worker *w, const struct job *job)
{
	return atomic_load(&board_job(w->board, job->index)->suspended) != SUSPENDED_NOT;
}

/* A queue all of whose jobs are suspended, or at a limit, is not read until a probe is due. */
bool suspend_queue_blocked(struct worker *w, const struct work_queue *q, int64_t now_mono_ms)
{
	for (size_t i = 0; i < q->def->job_count; i++) {
		const struct job_state *s = board_job(w->board, q->def->jobs[i]->index);
		bool set_aside = atomic_load(&s->suspended) != SUSPENDED_NOT && atomic_load(&s->probe_mono_ms) > now_mono_ms;
		if (!set_aside && !limits_job_closed(w, q->def->jobs[i], now_mono_ms))
			return false;
	}
	return true;
}

bool suspend_job_blocked(struct worker *w, const struct job *job)
{
	return suspended(w, job) && atomic_load(&board_job(w->board, job->index)->probe_mono_ms) > clock_mono_ms();
}

void suspend_claim(struct worker *w, const struct job *job, bool *ret_probe)
{
	struct job_state *s = board_job(w->board, job->index);
	*ret_probe = false;
	if (!suspended(w, job))
		return;
	int64_t now = clock_mono_ms();
	int64_t due = atomic_load(&s->probe_mono_ms);
	*ret_probe = due <= now && atomic_compare_exchange_strong(&s->probe_mono_ms, &due, now + PROBE_CLAIM_MS);
}

static void resume(struct worker *w, const struct run *r)
{
	struct job_state *s = board_job(w->board, r->job->index);
	struct event_about about = speak_about(w, r);

	if (atomic_exchange(&s->suspended, SUSPENDED_NOT) == SUSPENDED_NOT)
		return;
	atomic_store(&s->probe_delay_ms, 0);
	atomic_store(&s->missing_count, 0);
	atomic_store(&s->resumed, 1);
	const uint64_t one = 1;
	(void)!write(WORKER_FD_BELL, &one, sizeof(one));
	event(w->log, JOB_RESUMED, &about, F_TEXT("why", "a probe succeeded"));
}

static void suspend(struct worker *w, const struct run *r, enum suspension kind)
{
	struct job_state *s = board_job(w->board, r->job->index);
	struct event_about about = speak_about(w, r);
	uint32_t was = SUSPENDED_NOT;
	bool first = atomic_compare_exchange_strong(&s->suspended, &was, kind);

	if (!first && !r->probe)
		return; /* it ran when the first one failed already: nothing new */
	int64_t delay = first ? PROBE_FIRST_MS : 2 * atomic_load(&s->probe_delay_ms);
	delay = delay < PROBE_FIRST_MS ? PROBE_FIRST_MS : delay > PROBE_LAST_MS ? PROBE_LAST_MS : delay;
	atomic_store(&s->probe_delay_ms, delay);
	atomic_store(&s->probe_mono_ms, clock_mono_ms() + delay);
	event(w->log, JOB_SUSPENDED, &about, F_TEXT("reason", reason_name(r->outcome.reason)), F_TEXT("detail", r->outcome.detail),
	      F_I64("next_probe_ms", delay));
}

/* The handler was started: that alone proves the job when nothing but that was missing. */
void suspend_started(struct worker *w, struct run *r)
{
	if (r->probe && atomic_load(&board_job(w->board, r->job->index)->suspended) == SUSPENDED_CANNOT_EXEC) {
		resume(w, r);
		r->probe = false;
	}
}

static uint64_t hash_id(const char *id)
{
	uint64_t h = 14695981039346656037u;
	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * 1099511628211u;
	return h ? h : 1;
}

/* True when this is the third different entry in a row. */
static bool count_missing(struct job_state *s, const char *id)
{
	uint64_t hash = hash_id(id);
	uint32_t n = atomic_load(&s->missing_count);

	for (uint32_t i = 0; i < n && i < MISSING_TOOL_ENTRIES; i++) {
		if (atomic_load(&s->missing_id[i]) == hash)
			return false;
	}
	if (n >= MISSING_TOOL_ENTRIES)
		return true;
	atomic_store(&s->missing_id[n], hash);
	return atomic_fetch_add(&s->missing_count, 1) + 1 >= MISSING_TOOL_ENTRIES;
}

void suspend_ended(struct worker *w, struct run *r)
{
	struct job_state *s = board_job(w->board, r->job->index);

	if (r->outcome.verdict == VERDICT_SUSPEND) {
		suspend(w, r, SUSPENDED_CANNOT_EXEC);
		r->outcome.delay_ms = SUSPEND_PARK_MS; /* the next probe takes another entry */
		return;
	}
	if (r->outcome.missing_tool) {
		bool third = count_missing(s, r->entry.id);
		if (r->probe) { /* a probe costs no attempt */
			r->outcome.verdict = VERDICT_RELEASE;
			r->outcome.delay_ms = SUSPEND_PARK_MS;
			r->outcome.reason = REASON_SPAWN;
		}
		if (third || r->probe)
			suspend(w, r, SUSPENDED_MISSING_TOOL);
		return;
	}
	if (r->outcome.verdict == VERDICT_ACK && atomic_load(&s->missing_count) > 0)
		atomic_store(&s->missing_count, 0);
	bool proved = r->outcome.verdict == VERDICT_ACK || r->outcome.reason == REASON_EXIT || r->outcome.reason == REASON_SIGNAL ||
		      r->outcome.reason == REASON_TIMEOUT;
	if (r->probe && proved)
		resume(w, r);
}
