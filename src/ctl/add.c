/* `add`: an entry for a job, with the fields that make it this job's. Values are bytes: from the command
 * line, a file, or standard input. */
#include "ctl/ctl.h"
#include "ctl/fields.h"
#include "ctl/verb.h"
#include "ctl/wait.h"
#include "domain/route.h"
#include "redis/desk.h"

static int compose(const struct ctl *ctl, const struct job *job, struct draft *d)
{
	char **arguments = ctl->args->rest + 1;
	size_t count = (size_t)ctl->args->rest_count - 1;
	int r = draft_read(d, arguments, count, job->match_count);
	if (r != 0)
		return r;
	d->n = route_fill(job, d->pairs, d->n);
	if (d->n == 0)
		return ctl_say(CTL_USAGE, "an entry of a stream has at least one field: add FIELD=VALUE");
	return 0;
}

/* What a worker would make of it: a field that was given may contradict the job's match, or an earlier job
 * takes it. */
static int check_route(const struct ctl *ctl, const struct job *job, const struct draft *d)
{
	const struct entry entry = { .pairs = d->pairs, .pair_count = d->n };
	const struct job *takes = route_job(&ctl->config->queues[job->queue], &entry);
	if (takes == job)
		return 0;
	if (!takes)
		return ctl_say(CTL_USAGE,
			       "with these fields it would be of no job: they contradict the match of %s",
			       job->name);
	return ctl_say(CTL_USAGE, "with these fields it would be of job %s, not of %s", takes->name,
		       job->name);
}

static int check_options(const struct ctl *ctl)
{
	const struct args *args = ctl->args;
	if (args_given(args, OPTION_IN) && args_given(args, OPTION_AT))
		return ctl_say(CTL_USAGE, "--in or --at, not both");
	if (args_given(args, OPTION_ONCE_FOR) && !args->once)
		return ctl_say(CTL_USAGE, "--once-for says how long the key of --once holds: which key?");
	if (!args_given(args, OPTION_WAIT) &&
	    (args_given(args, OPTION_TIMEOUT) || args_given(args, OPTION_RAW)))
		return ctl_say(CTL_USAGE, "--%s goes with --wait",
			       args_given(args, OPTION_RAW) ? "raw" : "timeout");
	return wait_check_options(ctl);
}

static bool wants_script(const struct args *a)
{
	return a->once || args_given(a, OPTION_IN) || args_given(a, OPTION_AT);
}

static int add(struct ctl *ctl, const struct job *job, const struct draft *d, struct connection *connection,
	       struct enqueued *ret)
{
	const struct args *a = ctl->args;
	const struct queue_keys *keys = &ctl->keys[job->queue];
	struct redis_error error = { 0 };
	int r;
	*ret = (struct enqueued){ .due_ms = -1 };
	if (!wants_script(a)) {
		r = desk_add(connection, keys, d->pairs, d->n, ret->id, &error);
	} else {
		const struct enqueue how = {
			.at = a->at_ms >= 0,
			.when_ms = a->at_ms >= 0   ? a->at_ms
				   : a->in_ms >= 0 ? a->in_ms
						   : 0,
			.once = bytes_of(a->once ? a->once : ""),
			.once_for_ms = a->once_for_ms,
		};
		if (d->n > ENQUEUE_PAIRS)
			return ctl_say(CTL_USAGE,
				       "an entry with more than %d fields can only be added at once and "
				       "without --once",
				       (int)ENQUEUE_PAIRS);
		r = desk_enqueue(connection, keys, &how, d->pairs, d->n, ret, &error);
	}
	if (r < 0)
		return ctl_redis_failed(ctl, job->queue, r, &error);
	/* An idle reaper looks every ten seconds: what is due earlier it has to be told. */
	enum { SOON_MS = 15 * 1000 };
	if (ret->due_ms >= 0 && !ret->existing && ret->due_ms - ret->redis_now_ms < SOON_MS &&
	    !ctl_daemon_look(ctl))
		desk_wake_hosts(connection);
	return 0;
}

static void tell(struct ctl *ctl, const struct enqueued *e)
{
	struct column columns[3] = { { .key = "id", .title = "ID" } };
	struct cell cells[3] = { cell_text(e->id) };
	size_t n = 1;
	if (ctl->args->once) {
		columns[n] = (struct column){ .key = "existing", .title = "Existing" };
		cells[n++] = cell_flag(e->existing);
	}
	if (args_given(ctl->args, OPTION_IN) || args_given(ctl->args, OPTION_AT)) {
		columns[n] = (struct column){ .key = "due_ms", .title = "Due at", .show = SHOW_TIME };
		cells[n++] = cell_number_unless(e->due_ms, -1);
	}
	if (ctl->out.format == OUTPUT_TABLE)
		output_line(&ctl->out, "%s", e->id);
	else
		output_record(&ctl->out, columns, cells, n);
}

int verb_add(struct ctl *ctl)
{
	const struct job *job = config_job(ctl->config, ctl->args->rest[0]);
	if (!job)
		return ctl_say(CTL_NO, "there is no job %s in %s", ctl->args->rest[0], ctl->config->file);
	AUTO_DRAFT draft = { 0 };
	int r = check_options(ctl);
	if (r == 0)
		r = compose(ctl, job, &draft);
	if (r == 0)
		r = check_route(ctl, job, &draft);
	struct connection *connection;
	if (r == 0)
		r = ctl_redis(ctl, &connection);
	if (r != 0)
		return r;
	struct enqueued added;
	r = add(ctl, job, &draft, connection, &added);
	if (r != 0)
		return r;
	if (added.existing)
		(void)ctl_say(CTL_DONE, "nothing was added: %s was, with the key %s", added.id,
			      ctl->args->once);
	if (args_given(ctl->args, OPTION_WAIT))
		return wait_for_added(ctl, job->queue, added.id);
	tell(ctl, &added);
	return CTL_DONE;
}
