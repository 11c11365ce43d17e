/* One entry's life in a worker: route it, start its handler, keep the lease while it runs, and turn its end into an outcome. */
#include "worker/state.h"

#include <errno.h>

#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/killpoint.h"
#include "domain/route.h"

void run_idle(struct worker *w)
{
	if (w->run->stage != RUN_NONE || w->acks.count > 0 || window_busy(w))
		return;
	slot_set_run(w->slot, NULL);
	if (w->window.process && handler_running(w->window.process))
		slot_set_handler(w->slot, handler_pid(w->window.process), handler_pid_start(w->window.process));
	link_hold(w, false);
}

void run_take_result(struct run *r, struct result *result)
{
	result_done(&r->result);
	if (r->outcome.verdict == VERDICT_ACK && r->job->result_ttl_ms > 0)
		r->result = result_take(result);
}

void run_clear(struct worker *w)
{
	entry_done(&w->run->entry);
	result_done(&w->run->result);
	memset(w->run, 0, sizeof(*w->run));
	ev_timer_stop(w->loop, &w->renew);
	w->renew_due = false;
	run_idle(w);
}

/* The names are written when they change: this is done for each entry of a window. */
static void show_names(struct slot_run *s, const struct run *r)
{
	int32_t queue = (int32_t)r->queue->index, job = r->job ? (int32_t)r->job->index : -1;

	if (s->stream[0] && s->queue == queue && s->job == job)
		return;
	s->queue = queue;
	s->job = job;
	snprintf(s->stream, sizeof(s->stream), "%s", r->queue->def->stream);
	snprintf(s->group, sizeof(s->group), "%s", r->queue->def->group);
	snprintf(s->job_name, sizeof(s->job_name), "%s", r->job ? r->job->name : "");
}

void run_show(struct worker *w, const struct run *r)
{
	struct slot_run *s = &w->shown;

	show_names(s, r);
	s->delivery = r->entry.delivery;
	s->attempt = r->attempt;
	s->started_mono_ms = r->began_mono_ms;
	s->progress = -1;
	_Static_assert(sizeof(s->id) == sizeof(r->entry.id), "an ID fits");
	memcpy(s->id, r->entry.id, sizeof(s->id));
	slot_set_run(w->slot, s);
}

/* ---- ends that need no handler ---- */

static void settle_without_run(struct worker *w, struct run *r, enum verdict verdict, enum reason reason, const char *detail)
{
	int64_t delay_ms = verdict == VERDICT_RELEASE ? SUSPEND_PARK_MS : 0;
	r->outcome = (struct outcome){ .verdict = verdict, .reason = reason, .code = -1, .delay_ms = delay_ms };
	snprintf(r->outcome.detail, sizeof(r->outcome.detail), "%s", detail);
	settle_decide(w, r);
}

bool run_last_was_lost(const struct entry *e)
{
	AUTO_JSON *note = e->note ? json_parse(bytes_of(e->note)) : NULL;
	const char *reason = json_string_value(json_object_get(note, "reason"));
	return reason && strcmp(reason, reason_name(REASON_WORKER_LOST)) == 0;
}

/* More deliveries than attempts: buried only if the note proves that the last run was lost; else hints were deleted or deliveries were not
 * runs, and it runs once more. */
static bool attempts_used_up(struct worker *w, struct run *r)
{
	int64_t max = r->job->retry.max_attempts;
	char detail[160];

	if (max == 0 || r->attempt <= max)
		return false;
	if (run_last_was_lost(&r->entry)) {
		r->attempt--;
		snprintf(detail, sizeof(detail), "the worker, its host or its daemon died during attempt %lld of %lld", (long long)r->attempt,
			 (long long)max);
		settle_without_run(w, r, VERDICT_DEAD, REASON_WORKER_LOST, detail);
		return true;
	}
	r->attempt = max;
	return false;
}

static bool settled_at_once(struct worker *w, struct run *r)
{
	if (r->entry.payload_gone) {
		settle_without_run(w, r, VERDICT_DEAD, REASON_PAYLOAD_GONE, "the entry was deleted or trimmed before it ran");
		return true;
	}
	if (!r->job) {
		if (w->config->unmatched == UNMATCHED_ACK)
			settle_without_run(w, r, VERDICT_ACK, REASON_NO_JOB, "matches no job");
		else
			settle_without_run(w, r, VERDICT_DEAD, REASON_NO_JOB, "matches no job of this queue");
		return true;
	}
	if (attempts_used_up(w, r))
		return true;
	if (suspend_job_blocked(w, r->job)) {
		settle_without_run(w, r, VERDICT_RELEASE, REASON_SPAWN, "its job is suspended on this host");
		return true;
	}
	return false;
}

void run_give_back(struct worker *w, int64_t delay_ms)
{
	w->run->outcome = (struct outcome){ .verdict = VERDICT_RELEASE, .code = -1, .delay_ms = delay_ms };
	settle_decide(w, w->run);
}

/* ---- the run ---- */

static void start_handler(struct worker *w, struct run *r)
{
	if (r->job->mode != MODE_EXEC) {
		window_begin(w);
		return;
	}
	struct run_facts facts = {
		.job = r->job,
		.entry = &r->entry,
		.attempt = r->attempt,
		.enqueued_ms = entry_id_time_ms(r->entry.id, connection_redis_now_ms(w->conn)),
	};
	r->stage = RUN_HANDLER;
	r->began_mono_ms = clock_mono_ms();
	r->wait_ms = entry_wait_ms(&r->entry, connection_redis_now_ms(w->conn));
	run_renewed_timer(w);
	KILL_POINT("spawn.before");
	handler_start(w->handler, &facts); /* may end at once, from inside */
	KILL_POINT("spawn.unsaid");
	if (!handler_running(w->handler))
		return;
	r->handler_pid = handler_pid(w->handler);
	slot_set_handler(w->slot, r->handler_pid, handler_pid_start(w->handler));
	KILL_POINT("spawn.after");
	ahead_watch(w);
	suspend_started(w, r);
	speak_started(w, r);
}

static bool was_frozen(struct worker *w)
{
	int64_t gap = w->turn_boot_ms - w->turn_mono_ms;
	bool suspended = gap - w->boot_minus_mono_ms > 500;
	bool frozen = w->thawed || suspended;
	w->boot_minus_mono_ms = gap;
	w->thawed = false;
	return frozen;
}

void run_begin(struct worker *w, struct work_queue *q, struct entry *entry, int64_t delivered_boot_ms)
{
	struct run *r = w->run;

	w->starved = false;
	r->entry = *entry;
	*entry = (struct entry){ 0 };
	r->queue = q;
	r->stage = RUN_CHECKING;
	r->link_epoch = w->link_epoch;
	r->lease_boot_ms = delivered_boot_ms;
	r->began_mono_us = clock_mono_us();
	r->began_mono_ms = r->began_mono_us / 1000;
	w->stderr_n = 0;
	r->wait_ms = -1;
	r->attempt = entry_attempt(&r->entry);
	r->job = r->entry.payload_gone ? NULL : route_job(q->def, &r->entry);
	run_show(w, r); /* the ID stands in the slot before anything else is done with the entry */
	link_hold(w, true);
	worker_set_state(w, WORKER_BUSY);
	if (settled_at_once(w, r))
		return;
	if (limits_must_ask(w, r))
		r->stage = RUN_ADMITTING; /* the next step asks */
	else
		run_admitted(w);
}

void run_admitted(struct worker *w)
{
	struct run *r = w->run;

	r->stage = RUN_CHECKING;
	suspend_claim(w, r->job, &r->probe);
	if (was_frozen(w))
		return; /* stays CHECKING: the next step asks whether the lease is still ours */
	start_handler(w, r);
}

/* ---- the lease ---- */

static void on_renew_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct worker *w = timer->data;
	(void)loop;
	(void)events;
	w->renew_due = true;
	worker_step(w);
}

void run_renewed_timer(struct worker *w)
{
	int64_t third = w->run->queue->def->lease_ms / 3;
	ev_timer_stop(w->loop, &w->renew);
	ev_now_update(w->loop);
	ev_timer_set(&w->renew, (double)third / 1000.0, 0.);
	ev_timer_start(w->loop, &w->renew);
	w->renew_due = false;
}

static void lease_is_lost(struct worker *w, struct run *r)
{
	if (r->lease_lost)
		return;
	r->lease_lost = true;
	speak_lease_lost(w, r, NULL, 0);
	if (r->stage == RUN_ADMITTING || r->stage == RUN_CHECKING || r->stage == RUN_WAITING) {
		run_clear(w); /* another has it: it never started here */
		return;
	}
	if (r->job->lease_lost == LEASE_LOST_KILL)
		handler_stop(w->handler, END_LEASE_LOST, r->job->kill_grace_ms);
}

static void on_renew(void *user, struct redisReply *reply)
{
	struct worker *w = user;
	struct run *r = w->run;
	struct redis_error error;
	enum renew_result result = RENEWED;
	bool gone = false;

	if (!link_answered(w, reply))
		return;
	if (queue_parse_renew(reply, &result, &gone, &error) < 0) {
		w->renew_due = true;
		link_refused(w, &error, r->queue);
		worker_step(w);
		return;
	}
	KILL_POINT("renew.after");
	link_good(w);
	atomic_fetch_add(&w->slot->counters.renewals, 1);
	if (r->stage != RUN_HANDLER && r->stage != RUN_CHECKING && r->stage != RUN_WAITING) {
		worker_step(w);
		return;
	}
	r->payload_gone = r->payload_gone || gone;
	if (result == RENEW_GONE && !r->put_back_tried) {
		(void)put_back_send(w, r->queue);
	} else if (result != RENEWED) {
		lease_is_lost(w, r);
	} else {
		r->lease_boot_ms = w->renew_boot_ms; /* from before the command was sent */
		r->put_back_tried = false;
		if (r->stage == RUN_CHECKING)
			start_handler(w, r);
		else
			run_renewed_timer(w);
	}
	worker_step(w);
}

void run_check_lease(struct worker *w)
{
	struct run *r = w->run;

	w->renew_due = false;
	if (r->lease_lost) {
		ev_timer_stop(w->loop, &w->renew);
		return;
	}
	w->boot_minus_mono_ms = clock_boot_ms() - clock_mono_ms();
	KILL_POINT("renew.before");
	w->renew_boot_ms = clock_boot_ms();
	queue_build_renew(&w->cmd, &r->queue->keys, w->consumer, r->entry.id, r->entry.delivery, r->queue->def->lease_ms,
				  limits_running_key(w, r));
	link_ask(w, CONNECTION_DEFAULT_TIMEOUT, true, on_renew, w);
}

/* ---- what the handler says, and its end ---- */

static void on_line(void *user, int fd, struct bytes line, bool cut)
{
	struct worker *w = user;
	struct event_about about = speak_about(w, w->run);
	event(w->log, JOB_OUTPUT, &about, F_I64("fd", fd), F_BYTES("line", line), F_BOOL("cut", cut));
}

static void on_dropped(void *user, int64_t lines, int64_t bytes)
{
	struct worker *w = user;
	struct event_about about = speak_about(w, w->run);
	tally_add(&board_header(w->board)->output_dropped, (uint64_t)lines);
	event(w->log, LOG_DROPPED, &about, F_I64("count", lines), F_I64("bytes", bytes), F_TEXT("why", "the handler writes too fast"));
}

static void on_progress(void *user, int64_t progress, struct bytes status)
{
	struct worker *w = user;
	struct event_about about = speak_about(w, w->run);
	slot_set_progress(w->slot, progress, status);
	struct event_field fields[2] = { F_I64_UNLESS("progress", progress, -1), F_SKIP() };
	if (status.n > 0)
		fields[1] = (struct event_field)F_BYTES("status", status);
	event_emit(w->log, JOB_PROGRESS, event_level(JOB_PROGRESS), &about, fields, ARRAY_LEN(fields));
}

static void on_undying(void *user, const char *why)
{
	struct worker *w = user;
	struct event_about about = speak_about(w, w->run);
	speak_undying(w, &about, why);
}

static void keep_stderr(struct worker *w, struct bytes tail)
{
	size_t n = tail.n < sizeof(w->stderr_tail) ? tail.n : sizeof(w->stderr_tail);
	memcpy(w->stderr_tail, tail.p + (tail.n - n), n);
	w->stderr_n = n;
}

static void on_ended(void *user, const struct run_end *end, struct said *said, struct bytes stderr_tail, const struct handler_usage *usage)
{
	struct worker *w = user;
	struct run *r = w->run;

	KILL_POINT("end.before");
	slot_set_handler(w->slot, 0, 0);
	r->usage = *usage;
	r->ended = true;
	if (stderr_tail.n > 0)
		keep_stderr(w, stderr_tail);
	ahead_note(w, r, end);
	outcome_decide(r->job, end, said, r->attempt, worker_random(), &r->outcome);
	run_take_result(r, &said->result);
	suspend_ended(w, r);
	settle_decide(w, r);
	KILL_POINT("end.after");
	worker_step(w);
}

static void on_cont(struct ev_loop *loop, ev_signal *signal_watcher, int events)
{
	struct worker *w = signal_watcher->data;
	(void)loop;
	(void)events;
	w->thawed = true;
	w->window.renew_due = window_busy(w);
	if (w->run->stage == RUN_HANDLER)
		w->renew_due = true;
	worker_step(w);
}

int run_init(struct worker *w)
{
	static const struct handler_callbacks callbacks = {
		.line = on_line,
		.dropped = on_dropped,
		.progress = on_progress,
		.ended = on_ended,
		.undying = on_undying,
	};
	w->handler = handler_new(w->loop, &callbacks, w, environ);
	if (!w->handler)
		return -ENOMEM;
	handler_use_group(w->handler, &w->group_home, "handler");
	handler_use_home(w->handler, &w->cpu_home);
	ev_init(&w->renew, on_renew_timer);
	w->renew.data = w;
	ev_signal_init(&w->sig_cont, on_cont, SIGCONT);
	w->sig_cont.data = w;
	ev_signal_start(w->loop, &w->sig_cont);
	ev_unref(w->loop);
	w->boot_minus_mono_ms = clock_boot_ms() - clock_mono_ms();
	return 0;
}
