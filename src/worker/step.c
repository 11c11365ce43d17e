/* The heart: what is to be done next, given the link and the run. Level triggered: it may be called at any time, as often as one likes. */
#include "worker/state.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

/* Chance enough for jitter, without a system call: the nanoseconds of the clock, mixed (splitmix64). */
double worker_random(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	uint64_t n = ((uint64_t)t.tv_sec * 1000000007u + (uint64_t)t.tv_nsec) * UINT64_C(0x9e3779b97f4a7c15);
	n = (n ^ (n >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	n = (n ^ (n >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (double)((n ^ (n >> 31)) >> 11) / 9007199254740992.0;
}

void worker_set_state(struct worker *w, enum worker_state state)
{
	slot_set_state(w->slot, state, clock_mono_ms());
}

static enum worker_state state_now(const struct worker *w)
{
	if (w->run->stage != RUN_NONE || window_busy(w))
		return WORKER_BUSY;
	if (w->stopping)
		return WORKER_STOPPING;
	if (ev_is_active(&w->nap))
		return WORKER_PAUSED;
	return link_ready(w) ? WORKER_IDLE : WORKER_CONNECTING;
}

static void show_state(struct worker *w)
{
	enum worker_state state = state_now(w);
	if (atomic_load(&w->slot->state) != (uint32_t)state)
		worker_set_state(w, state);
}

static void step(struct worker *w)
{
	show_state(w);
	if (stop_finished(w) || w->requests > 0 || w->retry_wanted || !link_ready(w))
		return;
	if (!link_recover(w))
		return;
	if (w->group_wanted) {
		fetch_make_group(w);
		return;
	}
	if (put_back_again(w))
		return;
	if (w->surplus.count > 0) {
		fetch_give_back(w);
		return;
	}
	if (acks_again(w))
		return;
	if (w->window.renew_due) {
		window_renew(w);
		if (w->requests > 0)
			return;
	}
	switch (w->run->stage) {
	case RUN_WAITING:
		if (w->stopping) {
			w->run->outcome = (struct outcome){ .verdict = VERDICT_RELEASE, .code = -1 };
			settle_decide(w, w->run);
			w->step_again = true;
		} else if (w->renew_due) {
			run_check_lease(w);
		} else {
			if (!handler_running(w->window.process))
				window_begin(w);
		}
		return;
	case RUN_ADMITTING:
		if (w->stopping) {
			run_give_back(w, 0);
			w->step_again = true;
		} else {
			limits_admit(w);
		}
		return;
	case RUN_CHECKING:
		run_check_lease(w);
		return;
	case RUN_HANDLER:
		if (w->renew_due)
			run_check_lease(w);
		return;
	case RUN_SETTLING:
		settle_send(w, w->run);
		return;
	case RUN_NONE:
		break;
	}
	worker_next(w);
}

void worker_next(struct worker *w)
{
	if (window_settle(w))
		return;
	if (ahead_start(w))
		return;
	if (w->surplus.count > 0) {
		w->step_again = true;
		acks_send(w, true);
		return;
	}
	if (window_busy(w)) {
		window_next(w);
		return;
	}
	acks_send(w, w->stopping);
	if (limits_leave(w))
		return; /* behind the XACKs, in one write */
	if (!w->stopping && !acks_awaited(w))
		fetch_next(w); /* when there is nothing to fetch, the loop writes the XACKs as soon as it waits */
}

void worker_step(struct worker *w)
{
	/* What step() does may call back at once (a handler that cannot start, a connection that breaks): go round instead of down. */
	if (w->stepping) {
		w->step_again = true;
		return;
	}
	w->stepping = true;
	do {
		w->step_again = false;
		step(w);
	} while (w->step_again);
	w->stepping = false;
}
