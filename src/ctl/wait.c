/* `wait ID` and `add --wait`: until the entry is done, or a dead letter, or time is up. It looks again and
 * again, at most twice a second after the first moments; a Redis that goes away is waited for like the entry
 * itself. A result is written in the step that acknowledges its entry, so it is there when that is seen. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>

#include "base/clock.h"
#include "ctl/explain.h"
#include "ctl/text.h"
#include "ctl/verb.h"
#include "ctl/wait.h"

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
	struct result result;
	bool id_told; /* the ID was printed when it was added */
	int64_t began_ms;
};

static bool is_over(enum explain_state state)
{
	return state == EXPLAIN_ACKNOWLEDGED || state == EXPLAIN_GONE || state == EXPLAIN_DEAD ||
	       state == EXPLAIN_UNKNOWN;
}

static bool is_done(enum explain_state state)
{
	return state == EXPLAIN_ACKNOWLEDGED || state == EXPLAIN_GONE;
}

static bool will_be_back(int r, const struct redis_error *error)
{
	return r == -EIO ||
	       (r == -EPROTO && (error->reaction == REACT_BACK_OFF || error->reaction == REACT_RECONNECT));
}

/* Where it is now. One that is done counts as such once its result was asked for. */
static void note_state(struct waiting *w, struct connection *connection, const struct explanation *found)
{
	struct redis_error error = { 0 };
	if (is_done(found->state)) {
		const char *id = found->entry_id[0] ? found->entry_id : w->id;
		int r = desk_result(connection, &w->ctl->keys[w->queue], id, &w->result, &error);
		if (r < 0 && will_be_back(r, &error))
			return;
		if (r < 0)
			(void)ctl_say(CTL_NO, "its result cannot be read: %s", error.text);
	}
	w->state = found->state;
	memcpy(w->dead_id, found->dead_id, sizeof(w->dead_id));
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
	if (r < 0)
		return will_be_back(r, &error) ? 0 : ctl_redis_failed(w->ctl, w->queue, r, &error);
	note_state(w, connection, &found);
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

static void print_record(const struct waiting *w)
{
	static const struct column columns[] = {
		{ .key = "id", .title = "ID" },
		{ .key = "stream", .title = "Stream" },
		{ .key = "group", .title = "Group" },
		{ .key = "state", .title = "State" },
		{ .key = "dead_id", .title = "Dead letter" },
		{ .key = "waited_ms", .title = "Waited", .show = SHOW_DURATION },
		{ .key = "result", .title = "Result" },
	};
	const struct queue *queue = &w->ctl->config->queues[w->queue];
	const struct cell cells[] = {
		cell_text(w->id),
		cell_text(queue->stream),
		cell_text(queue->group),
		cell_text(explain_state_name(w->state)),
		cell_text(w->dead_id),
		cell_number(clock_mono_ms() - w->began_ms),
		w->result.state == RESULT_GIVEN ? cell_exact(result_bytes(&w->result)) : cell_null(),
	};
	output_record(&w->ctl->out, columns, cells, ARRAY_LEN(columns));
}

static void print(const struct waiting *w)
{
	struct output *out = &w->ctl->out;
	AUTO_BUF text = { 0 };

	if (args_given(w->ctl->args, OPTION_RAW)) {
		output_write(out, result_bytes(&w->result));
		return;
	}
	if (out->format != OUTPUT_TABLE) {
		print_record(w);
		return;
	}
	if (!w->id_told)
		output_line(out, "%s %s", w->id, explain_state_name(w->state));
	if (w->result.state != RESULT_GIVEN)
		return;
	text_escape(&text, result_bytes(&w->result), out->unicode, RESULT_MAX_BYTES);
	buf_add_char(&text, '\n');
	output_write(out, buf_bytes(&text));
}

static int tell(const struct waiting *w)
{
	print(w);
	if (!is_over(w->state))
		return ctl_say(WAIT_TIMED_OUT, "%s is still %s", w->id, explain_state_name(w->state));
	if (w->state == EXPLAIN_UNKNOWN)
		return ctl_say(CTL_NO, "%s is not there any more, and nothing tells what became of it",
			       w->id);
	if (w->state == EXPLAIN_DEAD)
		return ctl_say(CTL_NO, "%s is a dead letter: xackctl dead show %s", w->id, w->dead_id);
	if (args_given(w->ctl->args, OPTION_RAW) && w->result.state != RESULT_GIVEN)
		return ctl_say(CTL_NO, "%s is done, and no result of it is kept", w->id);
	return CTL_DONE;
}

static int wait_and_tell(struct waiting *w)
{
	int r = until_over(w);
	r = r == 0 ? tell(w) : r;
	result_done(&w->result);
	return r;
}

int wait_check_options(const struct ctl *ctl)
{
	if (args_given(ctl->args, OPTION_RAW) && ctl->args->format != OUTPUT_TABLE)
		return ctl_say(CTL_USAGE, "--raw is the result alone: not as JSON");
	return 0;
}

int wait_for_added(struct ctl *ctl, size_t queue, const char *id)
{
	struct waiting w = { .ctl = ctl,
			     .id = id,
			     .queue = queue,
			     .state = EXPLAIN_WAITING,
			     .id_told = ctl->out.format == OUTPUT_TABLE,
			     .began_ms = clock_mono_ms() };
	if (w.id_told && !args_given(ctl->args, OPTION_RAW)) {
		output_line(&ctl->out, "%s", id);
		if (!output_finish(&ctl->out))
			return CTL_DONE; /* main says what is wrong with the output */
	}
	return wait_and_tell(&w);
}

int verb_wait(struct ctl *ctl)
{
	AUTO_SIGHTINGS all = { 0 };
	struct waiting w = { .ctl = ctl, .id = ctl->args->rest[0], .began_ms = clock_mono_ms() };
	int r = wait_check_options(ctl);
	if (r == 0)
		r = ctl_check_choice(ctl);
	if (r == 0)
		r = sightings_find(ctl, w.id, &all);
	if (r != 0)
		return r;
	if (all.count == 0)
		return ctl_say(CTL_NO, "%s is in no queue, and was never delivered", w.id);
	if (all.count > 1)
		return sightings_list(ctl, w.id, &all);
	struct sighting *seen = &all.rows[0];
	if (strcmp(seen->id, w.id) != 0 && strcmp(seen->later_id, w.id) != 0)
		return ctl_say(CTL_NO, "%s is the dead letter of %s", w.id, seen->id);
	w.queue = seen->queue;
	w.state = seen->found.state;
	w.result = result_take(&seen->result);
	memcpy(w.dead_id, seen->found.dead_id, sizeof(w.dead_id));
	return wait_and_tell(&w);
}
