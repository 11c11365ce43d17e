/* What xackctl asks over the control socket: one function a verb, one row a verb. Answers come from the scoreboard and from what the
 * supervisor knows; nothing here waits for anybody. */
#include "supervisor/state.h"

#include "base/clock.h"

static json_t *or_null(json_t *value, bool there)
{
	if (there)
		return value;
	json_decref(value);
	return json_null();
}

static json_t *text_or_null(const char *text)
{
	return *text ? json_text(bytes_of(text)) : json_null();
}

static json_t *error_answer(const char *what)
{
	return json_pack("{s:s}", "error", what);
}

/* ---- status ---- */

static json_t *redis_object(struct supervisor *s)
{
	const struct board_header *h = board_header(s->board);
	int64_t since = atomic_load(&h->redis_since_mono_ms);
	AUTO_FREE char *url = redis_target_text(&s->config->redis);
	int64_t now = clock_mono_ms();

	return json_pack("{s:b, s:o, s:s?}", "connected", (int)atomic_load(&h->redis_connected), "since_ms",
			 or_null(json_integer(now - since), since > 0), "url", url);
}

static const char *state_text(const struct supervisor *s)
{
	return s->stopping ? "stopping" : s->ready ? "running" : "starting";
}

static json_t *answer_status(struct supervisor *s, json_t *request)
{
	size_t starting = slots_count_state(s, WORKER_STARTING) + slots_count_state(s, WORKER_CONNECTING);
	(void)request;

	return json_pack("{s:{s:i, s:s, s:I, s:s, s:o}, s:{s:I, s:I, s:I, s:I}}", "daemon", "pid", (int)getpid(), "version", PACKAGE_VERSION,
			 "uptime_ms", (json_int_t)(clock_mono_ms() - s->started_mono_ms), "state", state_text(s), "redis", redis_object(s),
			 "workers", "total", (json_int_t)slots_count(s), "busy", (json_int_t)slots_count_state(s, WORKER_BUSY), "idle",
			 (json_int_t)(slots_count_state(s, WORKER_IDLE) + slots_count_state(s, WORKER_PAUSED)), "starting",
			 (json_int_t)starting);
}

/* ---- workers, running ---- */

static json_t *worker_row(struct supervisor *s, const struct worker_slot *w, bool *ret_runs)
{
	struct slot *slot = board_slot(s->board, w->index);
	struct slot_identity id;
	struct slot_run run;
	slot_read(slot, &id, &run);
	bool runs = run.queue >= 0 && run.id[0];
	bool handler = runs && run.handler_pid > 0;

	*ret_runs = runs;
	return json_pack("{s:s, s:i, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I}", "pool", w->pool->name,
			 "slot", w->number, "consumer", text_or_null(id.consumer), "pid", or_null(json_integer(w->pid), w->pid > 0), "state",
			 worker_state_name((enum worker_state)atomic_load(&slot->state)), "job", text_or_null(runs ? run.job_name : ""), "id",
			 text_or_null(runs ? run.id : ""), "stream", text_or_null(runs ? run.stream : ""), "group",
			 text_or_null(runs ? run.group : ""), "attempt", or_null(json_integer(run.attempt), runs), "running_ms",
			 or_null(json_integer(clock_mono_ms() - run.started_mono_ms), runs && run.started_mono_ms > 0), "handler_pid",
			 or_null(json_integer(run.handler_pid), handler), "progress", or_null(json_integer(run.progress), runs && run.progress >= 0),
			 "status", text_or_null(runs ? run.status : ""), "done", (json_int_t)atomic_load(&slot->counters.done), "failed",
			 (json_int_t)atomic_load(&slot->counters.failed));
}

static json_t *worker_rows(struct supervisor *s, bool running_only)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < s->slot_count; i++) {
		bool runs = false;
		json_t *row = worker_row(s, s->slots[i], &runs);
		if (runs || !running_only)
			(void)json_array_append_new(rows, row);
		else
			json_decref(row);
	}
	return rows;
}

static json_t *answer_workers(struct supervisor *s, json_t *request)
{
	(void)request;
	return json_pack("{s:o}", "workers", worker_rows(s, false));
}

static json_t *answer_running(struct supervisor *s, json_t *request)
{
	(void)request;
	return json_pack("{s:o}", "running", worker_rows(s, true));
}

/* ---- suspended, resume, look ---- */

static const char *suspension_text(uint32_t why)
{
	return why == SUSPENDED_MISSING_TOOL ? "three entries in a row ended with exit 126 or 127" : "the command cannot be executed";
}

static json_t *answer_suspended(struct supervisor *s, json_t *request)
{
	json_t *rows = json_array();
	(void)request;

	for (size_t i = 0; i < s->config->job_count; i++) {
		struct job_state *state = board_job(s->board, i);
		uint32_t why = atomic_load(&state->suspended);
		int64_t probe_in = atomic_load(&state->probe_mono_ms) - clock_mono_ms();
		if (why == SUSPENDED_NOT)
			continue;
		(void)json_array_append_new(rows, json_pack("{s:s, s:s, s:I}", "job", s->config->jobs[i].name, "why", suspension_text(why),
							    "next_probe_ms", (json_int_t)(probe_in > 0 ? probe_in : 0)));
	}
	return json_pack("{s:o}", "suspended", rows);
}

static bool resume_job(struct supervisor *s, size_t index, const char *why)
{
	struct job_state *state = board_job(s->board, index);
	const struct job *job = &s->config->jobs[index];

	atomic_store(&state->missing_count, 0);
	if (atomic_exchange(&state->suspended, SUSPENDED_NOT) == SUSPENDED_NOT)
		return false;
	atomic_store(&state->probe_delay_ms, 0);
	reaper_job_resumed(s->reaper, index);
	event(s->log, JOB_RESUMED, (&(struct event_about){ .job = job->name, .stream = job->stream, .group = job->group }), F_TEXT("why", why));
	return true;
}

size_t admin_resume(struct supervisor *s, const char *job, const char *why, json_t *ret_names)
{
	size_t resumed = 0;

	for (size_t i = 0; i < s->config->job_count; i++) {
		const char *name = s->config->jobs[i].name;
		if ((job && strcmp(job, name) != 0) || !resume_job(s, i, why))
			continue;
		resumed++;
		if (ret_names)
			(void)json_array_append_new(ret_names, json_string(name));
	}
	atomic_fetch_add(&board_header(s->board)->resume_epoch, 1);
	return resumed;
}

static json_t *answer_resume(struct supervisor *s, json_t *request)
{
	json_t *job = json_object_get(request, "job");
	if (job && !json_is_null(job) && !json_is_string(job))
		return error_answer("job must be a name");
	const char *name = json_string_value(job);
	if (name && !config_job(s->config, name))
		return error_answer("the running daemon has no job of that name");
	json_t *names = json_array();
	(void)admin_resume(s, name, "asked to", names);
	return json_pack("{s:o}", "resumed", names);
}

static json_t *answer_look(struct supervisor *s, json_t *request)
{
	(void)request;
	atomic_fetch_add(&board_header(s->board)->resume_epoch, 1);
	reaper_look(s->reaper);
	return json_pack("{s:b}", "looks", 1);
}

/* ---- counts ---- */

/* Of each job since this daemon's start, on this host. */
static json_t *answer_counts(struct supervisor *s, json_t *request)
{
	json_t *rows = json_array();
	(void)request;

	for (size_t i = 0; i < s->config->job_count; i++) {
		const struct job *job = &s->config->jobs[i];
		struct job_tally *tally = &board_job(s->board, i)->tally;
		uint64_t failed = 0;
		for (int reason = 0; reason < REASON_COUNT; reason++)
			failed += atomic_load(&tally->failed[reason]);
		(void)json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:I, s:I}", "job", job->name, "stream", job->stream, "group", job->group,
							    "succeeded", (json_int_t)atomic_load(&tally->outcome[TALLY_SUCCEEDED]), "failed",
							    (json_int_t)failed));
	}
	return json_pack("{s:o}", "counts", rows);
}

/* ---- cron ---- */

/* When each schedule comes next: a question of the calendar alone, so nobody else is asked. */
static json_t *answer_cron(struct supervisor *s, json_t *request)
{
	json_t *rows = json_array();
	int64_t now_ms = clock_wall_ms();
	(void)request;

	for (size_t i = 0; i < s->config->schedule_count; i++) {
		const struct schedule *schedule = &s->config->schedules[i];
		int64_t next_s = cron_next(&schedule->cron, schedule->zone, now_ms / 1000);
		json_t *row = json_pack("{s:s}", "name", schedule->name);
		if (row && next_s != CRON_NEVER) {
			(void)json_object_set_new(row, "next_ms", json_integer(next_s * 1000));
			(void)json_object_set_new(row, "next_in_ms", json_integer(next_s * 1000 - now_ms));
		}
		(void)json_array_append_new(rows, row);
	}
	return json_pack("{s:o}", "cron", rows);
}

/* ---- the table ---- */

static const struct {
	const char *verb;
	json_t *(*answer)(struct supervisor *s, json_t *request);
} verbs[] = {
	{ "status", answer_status },       { "workers", answer_workers }, { "running", answer_running },
	{ "suspended", answer_suspended }, { "resume", answer_resume },   { "look", answer_look },
	{ "counts", answer_counts },       { "cron", answer_cron },
	{ "cancel", desk_cancel },         { "buried", desk_buried },     { "drain", desk_drain },
};

json_t *admin_answer(void *user, json_t *request)
{
	const char *verb = json_string_value(json_object_get(request, "verb"));
	json_t *answer = NULL;

	for (size_t i = 0; verb && i < ARRAY_LEN(verbs); i++) {
		if (strcmp(verb, verbs[i].verb) != 0)
			continue;
		answer = verbs[i].answer(user, request);
		return answer ? answer : json_null();
	}
	return error_answer(verb ? "this daemon does not know that verb" : "a request is an object with a verb");
}
