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
	if (!args_given(args, OPTION_WAIT) &&
	    (args_given(args, OPTION_TIMEOUT) || args_given(args, OPTION_RAW)))
		return ctl_say(CTL_USAGE, "--%s goes with --wait",
			       args_given(args, OPTION_RAW) ? "raw" : "timeout");
	return wait_check_options(ctl);
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
	char id[ENTRY_ID_SIZE];
	struct redis_error error = { 0 };
	r = desk_add(connection, &ctl->keys[job->queue], draft.pairs, draft.n, id, &error);
	if (r < 0)
		return ctl_redis_failed(ctl, job->queue, r, &error);
	if (args_given(ctl->args, OPTION_WAIT))
		return wait_for_added(ctl, job->queue, id);
	static const struct column columns[] = { { .key = "id", .title = "ID" } };
	const struct cell cells[] = { cell_text(id) };
	if (ctl->out.format == OUTPUT_TABLE)
		output_line(&ctl->out, "%s", id);
	else
		output_record(&ctl->out, columns, cells, ARRAY_LEN(columns));
	return CTL_DONE;
}
