/* `cancel ID...`: the end of an entry by an operator's hand. Where it is decides how: a worker of this host
 * is asked, by ID and delivery, to end its handler; what is parked or waits becomes a dead letter in Redis,
 * by the very state that was just read. It may move meanwhile, so this looks, acts, and looks again until
 * there is an end to tell of. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>

#include "base/clock.h"
#include "ctl/explain.h"
#include "ctl/note.h"
#include "ctl/verb.h"
#include "domain/outcome.h"
#include "redis/queue.h"

enum {
	GO_ON = -1, /* look again */
	FIRST_STEP_MS = 10,
	LONGEST_STEP_MS = 200,
	PATIENCE_MS = 15 * 1000, /* beyond kill_grace */
	CANCEL_TIMED_OUT = 75,   /* EX_TEMPFAIL */
};

static const char detail[] = "cancelled by an operator";

enum { COL_ID, COL_STREAM, COL_GROUP, COL_JOB, COL_STATE, COL_DEAD_ID, COL_COUNT };
static const struct column columns[COL_COUNT] = {
	[COL_ID] = { .key = "id", .title = "ID" },
	[COL_STREAM] = { .key = "stream", .title = "STREAM", .elastic = true },
	[COL_GROUP] = { .key = "group" },
	[COL_JOB] = { .key = "job", .title = "JOB", .elastic = true },
	[COL_STATE] = { .key = "state", .title = "STATE" },
	[COL_DEAD_ID] = { .key = "dead_id", .title = "DEAD LETTER" },
};

struct cancelling {
	struct ctl *ctl;
	struct connection *connection;
	struct list *list;
	char id[ENTRY_ID_SIZE];
	size_t queue;
	const struct job *job; /* NULL = not known */
	bool retry;
	bool asked;       /* its worker was told, … */
	bool ending;      /* … and has said that it ends */
	int64_t delivery; /* this delivery */
};

static int done(struct cancelling *c, enum explain_state state, const char *dead_id)
{
	const struct queue *queue = &c->ctl->config->queues[c->queue];
	const struct cell cells[COL_COUNT] = {
		cell_text(c->id),
		cell_text(queue->stream),
		cell_text(queue->group),
		cell_text(c->job ? c->job->name : NULL),
		cell_text(explain_state_name(state)),
		cell_text(dead_id),
	};
	(void)list_row(c->list, cells);
	return CTL_DONE;
}

/* ---- nobody runs it ---- */

/* The daemon's log tells of every dead letter; without a daemon there is no log. */
static void tell_daemon(const struct cancelling *c, int64_t attempts, const char *dead_id)
{
	const struct queue *queue = &c->ctl->config->queues[c->queue];
	AUTO_JSON *answer = NULL;
	struct fault fault;
	json_t *request = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "verb", "buried",
				    "stream", queue->stream, "group", queue->group, "id", c->id, "job",
				    c->job ? c->job->name : "", "reason", reason_name(REASON_CANCELLED),
				    "detail", detail, "dead_id", dead_id, "attempts", (json_int_t)attempts);
	(void)!ctl_daemon(c->ctl, request, &answer, &fault);
}

static int after_burial(struct cancelling *c, int r, const struct redis_error *error, int64_t attempts,
			const struct desk_cancel_answer *answer)
{
	if (r < 0)
		return ctl_redis_failed(c->ctl, c->queue, r, error);
	if (answer->result == DESK_CANCEL_SHARED)
		return ctl_say(
			CTL_NO,
			"%s was not run yet, and the stream's group %s is not done with it either, so it "
			"must stay: xackctl pause keeps it from starting",
			c->id, answer->other_group);
	if (answer->result == DESK_CANCEL_MOVED)
		return GO_ON;
	tell_daemon(c, attempts, answer->dead_id);
	return done(c, EXPLAIN_DEAD, answer->dead_id);
}

static struct dead_meta meta_of(const struct cancelling *c, int64_t attempts)
{
	return (struct dead_meta){
		.job = c->job ? c->job->name : NULL,
		.reason = reason_name(REASON_CANCELLED),
		.detail = detail,
		.attempts = attempts,
		.code = -1,
		.host = c->ctl->config->name,
	};
}

/* What its last attempt had said is kept: it is why somebody does not want another. */
static int bury_parked(struct cancelling *c, const struct explanation *e)
{
	int64_t counted = e->delivery - e->given;
	struct dead_meta meta = meta_of(c, counted > 0 ? counted : 0);
	AUTO_BUF text = { 0 };
	AUTO_NOTE last;
	note_read(&last, e->note);
	json_t *tail = json_object_get(last.object, "stderr");
	if (json_is_string(tail))
		meta.stderr_tail = (struct bytes){ json_string_value(tail), json_string_length(tail) };
	buf_add_char(&text, '{');
	json_add_name(&text, "reason");
	json_add_text(&text, bytes_of(meta.reason));
	json_add_name(&text, "detail");
	json_add_text(&text, bytes_of(meta.detail));
	json_add_name(&text, "stderr");
	json_add_text(&text, meta.stderr_tail);
	json_add_name(&text, "host");
	json_add_text(&text, bytes_of(meta.host));
	json_add_name(&text, "attempt");
	json_add_i64(&text, meta.attempts);
	buf_add_char(&text, '}');
	const struct settle settle = {
		.kind = SETTLE_BURY,
		.id = c->id,
		.delivery = e->delivery,
		.note = buf_bytes(&text),
		.dead = &meta,
		.dead_maxlen = c->ctl->config->queues[c->queue].dead_maxlen,
	};
	struct desk_cancel_answer answer = { 0 };
	struct redis_error error = { 0 };
	int r = desk_cancel_parked(c->connection, &c->ctl->keys[c->queue], &settle, &answer, &error);
	return after_burial(c, r, &error, meta.attempts, &answer);
}

static int bury_waiting(struct cancelling *c)
{
	const struct dead_meta meta = meta_of(c, 0);
	struct desk_cancel_answer answer = { 0 };
	struct redis_error error = { 0 };
	if (c->retry)
		return ctl_say(CTL_NO, "%s waits for its first run: there is nothing to end", c->id);
	int r = desk_cancel_waiting(c->connection, &c->ctl->keys[c->queue], c->id, &meta, &answer, &error);
	return after_burial(c, r, &error, 0, &answer);
}

static int bury_later(struct cancelling *c)
{
	const struct dead_meta meta = meta_of(c, 0);
	struct desk_cancel_answer answer = { 0 };
	struct redis_error error = { 0 };
	if (c->retry)
		return ctl_say(CTL_NO, "%s is not due yet: there is nothing to end", c->id);
	int r = desk_cancel_later(c->connection, &c->ctl->keys[c->queue], c->id,
				  args_given(c->ctl->args, OPTION_FORCE), &meta, &answer, &error);
	if (r == 0 && answer.result == DESK_CANCEL_SHARED)
		return ctl_say(CTL_NO,
			       "%s is not due yet, and the stream's group %s would be given it, too: say "
			       "--force to take it from all groups",
			       c->id, answer.other_group);
	return after_burial(c, r, &error, 0, &answer);
}

/* ---- a worker has it ---- */

static int ask_worker(struct cancelling *c, const struct explanation *e)
{
	const struct queue *queue = &c->ctl->config->queues[c->queue];
	AUTO_JSON *answer = NULL;
	struct fault fault;
	json_t *request = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:b, s:b}", "verb", "cancel", "stream",
				    queue->stream, "group", queue->group, "id", c->id, "consumer",
				    e->consumer, "delivery", (json_int_t)e->delivery, "retry", (int)c->retry,
				    "force", (int)args_given(c->ctl->args, OPTION_FORCE));
	int r = ctl_daemon(c->ctl, request, &answer, &fault);
	if (r != 0)
		return r < 0 ? ctl_no_daemon(c->ctl, &fault) : r;
	const char *state = json_string_value(json_object_get(answer, "cancel"));
	if (state && strcmp(state, "with_others") == 0)
		return ctl_say(
			CTL_NO,
			"the process that works on %s has %" PRId64
			" more in its hands; these would be given back and run again: say --force to do that",
			c->id, (int64_t)json_integer_value(json_object_get(answer, "others")));
	c->ending = state && strcmp(state, "ending") == 0;
	if (c->ending || (state && strcmp(state, "asked") == 0)) {
		c->asked = true;
		c->delivery = e->delivery;
	}
	return GO_ON;
}

static int end_running(struct cancelling *c, const struct explanation *e)
{
	struct bytes host, worker;
	if (c->ending && c->delivery == e->delivery)
		return GO_ON;
	if (c->asked && c->retry && c->delivery < e->delivery) /* parked, and begun again since */
		return done(c, EXPLAIN_RUNNING, NULL);
	if (!ctl_consumer_parts(e->consumer, &host, &worker))
		return ctl_say(CTL_NO,
			       "%s is held by %s, which is no worker of xackd: nobody can end it from here",
			       c->id, e->consumer);
	if (!bytes_eq(host, bytes_of(c->ctl->config->name)))
		return ctl_say(CTL_NO, "%s runs on host %.*s: run xackctl cancel %s there", c->id,
			       (int)host.n, host.p, c->id);
	return ask_worker(c, e);
}

/* ---- by state ---- */

static int is_dead(struct cancelling *c, const char *dead_id)
{
	if (!c->asked)
		return ctl_say(CTL_NO, "%s is a dead letter already: xackctl dead show %s", c->id, dead_id);
	(void)done(c, EXPLAIN_DEAD, dead_id);
	return c->retry ? ctl_say(CTL_NO, "%s had no attempt left: it is a dead letter", c->id) : CTL_DONE;
}

static int act(struct cancelling *c, const struct explanation *e)
{
	switch (e->state) {
	case EXPLAIN_RUNNING:
		return end_running(c, e);
	case EXPLAIN_PARKED:
		if (!c->retry)
			return bury_parked(c, e);
		return c->asked ? done(c, EXPLAIN_PARKED, NULL)
				: ctl_say(CTL_NO, "%s is parked already: xackctl retry %s lets it run now",
					  c->id, c->id);
	case EXPLAIN_WAITING:
		return bury_waiting(c);
	case EXPLAIN_DEAD:
		return is_dead(c, e->dead_id);
	case EXPLAIN_LATER:
		return bury_later(c);
	case EXPLAIN_ACKNOWLEDGED:
	case EXPLAIN_GONE:
		return ctl_say(CTL_NO, "%s is done%s", c->id,
			       c->asked ? ": it ended before it could be cancelled" : " already");
	case EXPLAIN_UNKNOWN:
		break;
	}
	return ctl_say(CTL_NO, "%s is not there any more, and nothing tells what became of it", c->id);
}

static int look_and_act(struct cancelling *c)
{
	struct explanation found = { 0 };
	struct redis_error error = { 0 };
	int r = desk_explain(c->connection, &c->ctl->keys[c->queue], c->id, &found, &error);
	if (r < 0)
		return ctl_redis_failed(c->ctl, c->queue, r, &error);
	if (found.entry_id[0]) /* it has become due */
		memcpy(c->id, found.entry_id, sizeof(c->id));
	r = act(c, &found);
	explanation_done(&found);
	return r;
}

static int until_done(struct cancelling *c)
{
	int64_t limit = c->ctl->args->timeout_ms;
	int64_t grace = c->job ? c->job->kill_grace_ms : 0;
	int64_t until = clock_mono_ms() + (limit >= 0 ? limit : grace + PATIENCE_MS);
	int step = FIRST_STEP_MS;
	for (;;) {
		int r = look_and_act(c);
		if (r != GO_ON)
			return r;
		if (clock_mono_ms() >= until)
			break;
		(void)poll(NULL, 0, step);
		step = step * 2 < LONGEST_STEP_MS ? step * 2 : LONGEST_STEP_MS;
	}
	if (c->ending)
		return ctl_say(CANCEL_TIMED_OUT, "%s was told to end and has not ended yet", c->id);
	return ctl_say(CANCEL_TIMED_OUT, "%s could not be got hold of: nothing was changed, try again",
		       c->id);
}

static int cancel_one(struct ctl *ctl, const char *id, struct list *list)
{
	struct cancelling c = { .ctl = ctl, .list = list, .retry = args_given(ctl->args, OPTION_RETRY) };
	AUTO_SIGHTINGS all = { 0 };
	int r = sightings_find(ctl, id, &all);
	if (r == 0)
		r = ctl_redis(ctl, &c.connection);
	if (r != 0)
		return r;
	if (all.count == 0)
		return ctl_say(CTL_NO, "%s is in no queue, and was never delivered", id);
	if (all.count > 1)
		return sightings_list(ctl, id, &all);
	memcpy(c.id, all.rows[0].id, sizeof(c.id));
	c.queue = all.rows[0].queue;
	c.job = all.rows[0].job;
	return until_done(&c);
}

int verb_cancel(struct ctl *ctl)
{
	struct list list;
	int result = ctl_check_choice(ctl);
	if (result != 0)
		return result;
	if (list_begin(&list, &ctl->out, columns, ARRAY_LEN(columns)) < 0)
		return ctl_say(CTL_NO, "out of memory");
	for (int i = 0; i < ctl->args->rest_count && result != CTL_UNAVAILABLE; i++) {
		int r = cancel_one(ctl, ctl->args->rest[i], &list);
		result = r ? r : result;
	}
	list_end(&list, NULL);
	return result;
}
