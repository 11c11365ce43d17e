/* What xackctl asks for that changes something here: end an entry's handler, drain this host, and say in the log what an operator did to
 * an entry that no worker had. Nothing waits: who wants to know what became of it asks again. */
#include "supervisor/state.h"

#include <signal.h>
#include <stdio.h>

#include "base/clock.h"

static json_t *refusal(const char *what)
{
	return json_pack("{s:s}", "error", what);
}

static const char *text_of(json_t *request, const char *name)
{
	const char *text = json_string_value(json_object_get(request, name));
	return text ? text : "";
}

/* ---- cancel ---- */

/* A consumer's name is one worker process for good. */
static struct worker_slot *find_worker(struct supervisor *s, const char *consumer)
{
	for (size_t i = 0; i < s->slot_count; i++) {
		struct slot_identity id;
		struct slot_run run;
		slot_read(board_slot(s->board, s->slots[i]->index), &id, &run);
		if (s->slots[i]->pid > 0 && strcmp(id.consumer, consumer) == 0)
			return s->slots[i];
	}
	return NULL;
}

static json_t *cancel_state(const char *state, uint32_t others)
{
	return json_pack("{s:s, s:I}", "cancel", state, "others", (json_int_t)others);
}

json_t *desk_cancel(struct supervisor *s, json_t *request)
{
	struct cancel_request c = {
		.delivery = json_integer_value(json_object_get(request, "delivery")),
		.retry = json_is_true(json_object_get(request, "retry")),
		.force = json_is_true(json_object_get(request, "force")),
	};
	uint32_t others = 0;
	bool news = false;

	snprintf(c.stream, sizeof(c.stream), "%s", text_of(request, "stream"));
	snprintf(c.group, sizeof(c.group), "%s", text_of(request, "group"));
	snprintf(c.id, sizeof(c.id), "%s", text_of(request, "id"));
	if (!c.stream[0] || !c.group[0] || !c.id[0] || c.delivery < 1)
		return refusal("cancel wants stream, group, id, delivery and consumer");
	struct worker_slot *w = find_worker(s, text_of(request, "consumer"));
	if (!w)
		return cancel_state("no_worker", 0);
	enum cancel_result result = cancel_ask(&board_slot(s->board, w->index)->cancel, &c, &news, &others);
	if (news)
		(void)kill(w->pid, SIGUSR2);
	return cancel_state(cancel_result_name(result), others);
}

/* An entry that no worker had is a dead letter by an operator's hand: the log is told as of any other. */
json_t *desk_buried(struct supervisor *s, json_t *request)
{
	const char *job = text_of(request, "job");
	const struct event_about about = {
		.job = *job ? job : NULL,
		.stream = text_of(request, "stream"),
		.group = text_of(request, "group"),
		.id = text_of(request, "id"),
	};

	if (!about.stream[0] || !about.group[0] || !about.id[0])
		return refusal("buried wants stream, group and id");
	event(s->log, JOB_DEAD, &about, F_TEXT("reason", text_of(request, "reason")), F_TEXT("detail", text_of(request, "detail")),
	      F_I64("attempts", json_integer_value(json_object_get(request, "attempts"))), F_TEXT("dead_id", text_of(request, "dead_id")));
	return json_pack("{s:b}", "told", 1);
}

/* ---- drain ---- */

/* By the signal that anybody may send as well: then the answer is on its way before the end begins. */
json_t *desk_drain(struct supervisor *s, json_t *request)
{
	bool already = s->stopping || s->drain_asked;
	(void)request;

	if (!already) {
		s->drain_asked = true;
		(void)kill(getpid(), SIGTERM);
	}
	return json_pack("{s:i, s:s, s:b, s:I, s:I}", "pid", (int)getpid(), "state", "stopping", "already", (int)already, "running",
			 (json_int_t)slots_count_state(s, WORKER_BUSY), "drain_timeout_ms", (json_int_t)s->config->drain_timeout_ms);
}
