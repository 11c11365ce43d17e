/* `wait ID`: until the entry is done, or a dead letter, or time is up. It looks again and again, at most
 * twice a second after the first moments; a Redis that goes away is waited for like the entry itself. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>

#include "base/clock.h"
#include "ctl/explain.h"
#include "ctl/verb.h"

enum {
	FIRST_STEP_MS = 10,
	LONGEST_STEP_MS = 500,
	WAIT_TIMED_OUT = 75, /* EX_TEMPFAIL */
};

struct waiting {
	struct ctl *ctl;
	const char *id;
	size_t queue;
	enum explain_state state;
	char dead_id[ENTRY_ID_SIZE];
	int64_t began_ms;
};

static bool is_over(enum explain_state state)
{
	return state == EXPLAIN_ACKNOWLEDGED || state == EXPLAIN_GONE || state == EXPLAIN_DEAD ||
	       state == EXPLAIN_UNKNOWN;
}

static void note_state(struct waiting *w, enum explain_state state, const char *dead_id)
{
	w->state = state;
	memcpy(w->dead_id, dead_id, sizeof(w->dead_id));
}

/* 0, or the exit code (said); Redis being away is no reason to give up. */
static int look(struct waiting *w)
{
	AUTO_BUF why = { 0 };
	struct connection *connection;
	struct explanation found = { 0 };
	struct redis_error error = { 0 };
	int r = ctl_redis_try(w->ctl, &connection, &why);
	if (r != 0)
		return r == CTL_UNAVAILABLE ? 0 : ctl_say(r, "%s", why.p ? why.p : "?");
	r = desk_explain(connection, &w->ctl->keys[w->queue], w->id, &found, &error);
	if (r == -EIO ||
	    (r == -EPROTO && (error.reaction == REACT_BACK_OFF || error.reaction == REACT_RECONNECT)))
		return 0;
	if (r < 0)
		return ctl_redis_failed(w->ctl, w->queue, r, &error);
	note_state(w, found.state, found.dead_id);
	explanation_done(&found);
	return 0;
}

static int64_t left_ms(const struct waiting *w)
{
	int64_t limit = w->ctl->args->timeout_ms;
	return limit < 0 ? LONGEST_STEP_MS : limit - (clock_mono_ms() - w->began_ms);
}

static int until_over(struct waiting *w)
{
	int64_t step = FIRST_STEP_MS;
	int r = 0;
	while (r == 0 && !is_over(w->state) && left_ms(w) > 0) {
		(void)poll(NULL, 0, (int)(step < left_ms(w) ? step : left_ms(w)));
		step = step * 2 < LONGEST_STEP_MS ? step * 2 : LONGEST_STEP_MS;
		r = look(w);
	}
	return r;
}

static int tell(const struct waiting *w)
{
	static const struct column columns[] = {
		{ .key = "id", .title = "ID" },
		{ .key = "stream", .title = "Stream" },
		{ .key = "group", .title = "Group" },
		{ .key = "state", .title = "State" },
		{ .key = "dead_id", .title = "Dead letter" },
		{ .key = "waited_ms", .title = "Waited", .show = SHOW_DURATION },
	};
	const struct queue *queue = &w->ctl->config->queues[w->queue];
	const struct cell cells[] = {
		cell_text(w->id),        cell_text(queue->stream),
		cell_text(queue->group), cell_text(explain_state_name(w->state)),
		cell_text(w->dead_id),   cell_number(clock_mono_ms() - w->began_ms),
	};
	if (w->ctl->out.format == OUTPUT_TABLE)
		output_line(&w->ctl->out, "%s %s", w->id, explain_state_name(w->state));
	else
		output_record(&w->ctl->out, columns, cells, ARRAY_LEN(columns));
	if (!is_over(w->state))
		return ctl_say(WAIT_TIMED_OUT, "%s is still %s", w->id, explain_state_name(w->state));
	if (w->state == EXPLAIN_UNKNOWN)
		return ctl_say(CTL_NO, "%s is not there any more, and nothing tells what became of it",
			       w->id);
	return w->state == EXPLAIN_DEAD
		       ? ctl_say(CTL_NO, "%s is a dead letter: xackctl dead show %s", w->id, w->dead_id)
		       : CTL_DONE;
}

int verb_wait(struct ctl *ctl)
{
	AUTO_SIGHTINGS all = { 0 };
	struct waiting w = { .ctl = ctl, .id = ctl->args->rest[0], .began_ms = clock_mono_ms() };
	int r = ctl_check_choice(ctl);
	if (r == 0)
		r = sightings_find(ctl, w.id, &all);
	if (r != 0)
		return r;
	if (all.count == 0)
		return ctl_say(CTL_NO, "%s is in no queue, and was never delivered", w.id);
	if (all.count > 1)
		return sightings_list(ctl, w.id, &all);
	if (strcmp(all.rows[0].id, w.id) != 0)
		return ctl_say(CTL_NO, "%s is the dead letter of %s", w.id, all.rows[0].id);
	w.queue = all.rows[0].queue;
	note_state(&w, all.rows[0].found.state, all.rows[0].found.dead_id);
	r = until_over(&w);
	return r == 0 ? tell(&w) : r;
}
