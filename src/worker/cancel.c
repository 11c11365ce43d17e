/* An operator wants an entry ended (SIGUSR2; the request stands in the slot). What is ended is the delivery that was named or nothing: by
 * the time the signal is heard, another may be in our hands. A handler is told to end like any other that must; the entry's end is the
 * same settling call as ever, so that a crash in between leaves it pending, as any crash does. */
#include "worker/state.h"

#include <errno.h>
#include <signal.h>

static bool is_meant(const struct run *r, const struct cancel_request *c)
{
	return r->entry.delivery == c->delivery && strcmp(r->entry.id, c->id) == 0 &&
	       strncmp(r->queue->def->stream, c->stream, sizeof(c->stream) - 1) == 0 &&
	       strncmp(r->queue->def->group, c->group, sizeof(c->group) - 1) == 0;
}

static enum end_kind kind_of(const struct cancel_request *c)
{
	return c->retry ? END_CANCELLED_RETRY : END_CANCELLED;
}

static void decide(struct run *r, const struct cancel_request *c)
{
	const struct run_end end = { .kind = kind_of(c), .code = -1 };
	outcome_decide(r->job, &end, NULL, r->attempt, worker_random(), &r->outcome);
}

/* It runs alone, or has not started. */
static enum cancel_result end_run(struct worker *w, struct run *r, const struct cancel_request *c)
{
	switch (r->stage) {
	case RUN_CHECKING:
	case RUN_WAITING:
		decide(r, c);
		settle_decide(w, r);
		return CANCEL_ENDING;
	case RUN_HANDLER:
		handler_stop(w->handler, kind_of(c), r->job->kill_grace_ms);
		return CANCEL_ENDING;
	case RUN_ADMITTING: /* asks whether it may start: if not, it is parked in a moment */
	case RUN_NONE:
	case RUN_SETTLING:
		break;
	}
	return CANCEL_NOT_HELD; /* it has ended: how, is about to be settled */
}

static struct run *find_in_window(struct worker *w, const struct cancel_request *c)
{
	for (size_t i = 0; i < w->window.count; i++) {
		struct run *r = &w->window.runs[i];
		if (!r->answered && is_meant(r, c))
			return r;
	}
	return NULL;
}

static enum cancel_result end_in_window(struct worker *w, struct run *r, const struct cancel_request *c, uint32_t *ret_others)
{
	size_t unanswered = window_unanswered(w);

	if (!handler_running(w->window.process)) { /* a batch that is still gathered */
		decide(r, c);
		window_decided(w, r);
		return CANCEL_ENDING;
	}
	if (unanswered > 1 && !c->force) {
		*ret_others = (uint32_t)unanswered - 1;
		return CANCEL_WITH_OTHERS;
	}
	process_cancel(w, r, kind_of(c));
	return CANCEL_ENDING;
}

static void on_usr2(struct ev_loop *loop, ev_signal *signal_watcher, int events)
{
	struct worker *w = signal_watcher->data;
	struct cancel_request request;
	uint32_t others = 0;
	enum cancel_result result = CANCEL_NOT_HELD;
	(void)loop;
	(void)events;

	if (!cancel_read(&w->slot->cancel, &request))
		return;
	struct run *r = find_in_window(w, &request);
	if (r)
		result = end_in_window(w, r, &request, &others);
	else if (w->run->stage != RUN_NONE && is_meant(w->run, &request))
		result = end_run(w, w->run, &request);
	cancel_reply(&w->slot->cancel, result, others);
	worker_step(w);
}

int cancel_init(struct worker *w)
{
	sigset_t heard;

	ev_signal_init(&w->sig_usr2, on_usr2, SIGUSR2);
	w->sig_usr2.data = w;
	ev_signal_start(w->loop, &w->sig_usr2);
	sigemptyset(&heard);
	sigaddset(&heard, SIGUSR2);
	return sigprocmask(SIG_UNBLOCK, &heard, NULL) < 0 ? -errno : 0;
}
