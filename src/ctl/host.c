/* What is of this host: its workers, what they run, its jobs. The daemon answers; the columns here say what
 * of it is shown and under which names. */
#include <errno.h>

#include "base/num.h"
#include "ctl/ctl.h"
#include "ctl/filter.h"
#include "ctl/verb.h"

/* Cells by the columns' own keys. */
static void cells_of(json_t *row, const struct column *columns, size_t n, struct cell *cells)
{
	for (size_t i = 0; i < n; i++)
		cells[i] = cell_member(row, columns[i].key);
}

static int print_list(struct ctl *ctl, json_t *rows, const struct column *columns, size_t n,
		      const char *empty_text)
{
	enum { MOST_COLUMNS = 16 };
	struct cell cells[MOST_COLUMNS];
	struct list list;
	if (n > MOST_COLUMNS || list_begin(&list, &ctl->out, columns, n) < 0)
		return ctl_say(CTL_NO, "out of memory");
	size_t i;
	json_t *row;
	json_array_foreach (rows, i, row) {
		cells_of(row, columns, n, cells);
		if (!list_row(&list, cells))
			break;
	}
	list_end(&list, empty_text);
	return CTL_DONE;
}

int verb_workers(struct ctl *ctl)
{
	static const struct column columns[] = {
		{ .key = "pool", .title = "POOL" },
		{ .key = "slot", .title = "SLOT" },
		{ .key = "pid", .title = "PID" },
		{ .key = "state", .title = "STATE" },
		{ .key = "job", .title = "JOB", .elastic = true },
		{ .key = "id", .title = "ID", .elastic = true },
		{ .key = "attempt", .title = "ATTEMPT" },
		{ .key = "running_ms", .title = "RUNNING", .show = SHOW_DURATION },
		{ .key = "handler_pid", .title = "HANDLER" },
		{ .key = "progress", .title = "PROGRESS" },
		{ .key = "done", .title = "DONE" },
		{ .key = "failed", .title = "FAILED" },
	};
	AUTO_JSON *rows = NULL;
	int r = ctl_daemon_list(ctl, "workers", &rows);
	return r != 0 ? r : print_list(ctl, rows, columns, ARRAY_LEN(columns), "No workers.");
}

static int64_t running_ms(const json_t *row)
{
	json_t *ms = json_object_get(row, "running_ms");
	return json_is_integer(ms) ? json_integer_value(ms) : -1;
}

static int longest_first(const void *a, const void *b)
{
	int64_t left = running_ms(*(json_t *const *)a), right = running_ms(*(json_t *const *)b);
	return left < right ? 1 : left > right ? -1 : 0;
}

static bool row_chosen(const struct ctl *ctl, json_t *row)
{
	const struct args *args = ctl->args;
	const char *stream = json_string_value(json_object_get(row, "stream"));
	const char *group = json_string_value(json_object_get(row, "group"));
	if (!filter_text(args->job, json_string_value(json_object_get(row, "job"))))
		return false;
	if (args->queue && !(stream && group && ctl_queue_named(stream, group, args->queue)))
		return false;
	return args->older_than_ms < 0 || running_ms(row) >= args->older_than_ms;
}

/* Gives the chosen rows in order; NULL without memory. */
static json_t *choose_running(const struct ctl *ctl, json_t *rows)
{
	size_t n = 0, size = json_array_size(rows);
	json_t **chosen = calloc(size ? size : 1, sizeof(json_t *));
	json_t *result = json_array();
	for (size_t i = 0; chosen && i < size; i++) {
		json_t *row = json_array_get(rows, i);
		if (row_chosen(ctl, row))
			chosen[n++] = row;
	}
	if (chosen)
		qsort(chosen, n, sizeof(json_t *), longest_first);
	for (size_t i = 0; chosen && i < n && (ctl->args->limit < 0 || (int64_t)i < ctl->args->limit); i++)
		(void)json_array_append(result, chosen[i]);
	free(chosen);
	return result;
}

int verb_running(struct ctl *ctl)
{
	static const struct column columns[] = {
		{ .key = "job", .title = "JOB", .elastic = true },
		{ .key = "id", .title = "ID" },
		{ .key = "stream", .title = "STREAM", .elastic = true },
		{ .key = "group" },
		{ .key = "attempt", .title = "ATTEMPT" },
		{ .key = "running_ms", .title = "RUNNING", .show = SHOW_DURATION },
		{ .key = "pool", .title = "POOL" },
		{ .key = "slot", .title = "SLOT" },
		{ .key = "pid" },
		{ .key = "handler_pid", .title = "HANDLER" },
		{ .key = "progress", .title = "PROGRESS" },
		{ .key = "status", .title = "STATUS", .elastic = true },
	};
	AUTO_JSON *rows = NULL;
	int r = ctl_check_choice(ctl);
	if (r == 0)
		r = ctl_daemon_list(ctl, "running", &rows);
	if (r != 0)
		return r;
	AUTO_JSON *chosen = choose_running(ctl, rows);
	return print_list(ctl, chosen, columns, ARRAY_LEN(columns), "Nothing runs on this host.");
}

int verb_suspended(struct ctl *ctl)
{
	static const struct column columns[] = {
		{ .key = "job", .title = "JOB" },
		{ .key = "next_probe_ms", .title = "NEXT PROBE IN", .show = SHOW_DURATION },
	};
	AUTO_JSON *rows = NULL;
	int r = ctl_daemon_list(ctl, "suspended", &rows);
	return r != 0 ? r
		      : print_list(ctl, rows, columns, ARRAY_LEN(columns),
				   "No job is suspended on this host.");
}

static void add_match(const struct job *job, struct buf *json, struct buf *words)
{
	buf_add_char(json, '{');
	for (size_t i = 0; i < job->match_count; i++) {
		const struct match_rule *rule = &job->matches[i];
		if (i > 0)
			buf_add_char(json, ',');
		json_add_text(json, bytes_of(rule->name));
		buf_add_char(json, ':');
		json_add_text(json, bytes_of(rule->value));
		buf_addf(words, "%s%s=%s", i ? " " : "", rule->name, rule->value);
	}
	buf_add_char(json, '}');
}

/* In the configuration 0 stands for "no limit"; for people it says so. */
static struct cell limit_cell(int64_t value)
{
	return value == 0 ? cell_json(bytes_of("0"), bytes_of("none")) : cell_number(value);
}

/* Is the job in the daemon's list of suspended ones? null when there is no daemon to say so. */
static struct cell suspended_cell(json_t *suspended, const char *job)
{
	if (!suspended)
		return cell_null();
	size_t i;
	json_t *row;
	json_array_foreach (suspended, i, row) {
		const char *name = json_is_string(row) ? json_string_value(row)
						       : json_string_value(json_object_get(row, "job"));
		if (name && strcmp(name, job) == 0)
			return cell_toned(cell_flag(true), TONE_BAD);
	}
	return cell_flag(false);
}

int verb_jobs(struct ctl *ctl)
{
	static const struct column columns[] = {
		{ .key = "job", .title = "JOB", .elastic = true },
		{ .key = "stream", .title = "STREAM", .elastic = true },
		{ .key = "group", .title = "GROUP", .elastic = true },
		{ .key = "pool", .title = "POOL" },
		{ .key = "match", .title = "MATCH", .elastic = true },
		{ .key = "max_attempts", .title = "ATTEMPTS" },
		{ .key = "timeout_ms", .title = "TIMEOUT", .show = SHOW_DURATION },
		{ .key = "concurrency", .title = "AT ONCE" },
		{ .key = "rate", .title = "RATE" },
		{ .key = "suspended", .title = "SUSPENDED" },
	};
	int r = ctl_check_choice(ctl);
	if (r != 0)
		return r;
	AUTO_JSON *suspended = ctl_daemon_list_quietly(ctl, "suspended");
	struct list list;
	if (list_begin(&list, &ctl->out, columns, ARRAY_LEN(columns)) < 0)
		return ctl_say(CTL_NO, "out of memory");
	for (size_t i = 0; i < ctl->config->job_count; i++) {
		const struct job *job = &ctl->config->jobs[i];
		if (!filter_text(ctl->args->job, job->name) || !ctl_chooses_queue(ctl, job->queue))
			continue;
		AUTO_BUF match = { 0 }, words = { 0 };
		char rate[NUM_DURATION_SIZE];
		add_match(job, &match, &words);
		const struct cell cells[] = {
			cell_text(job->name),
			cell_text(job->stream),
			cell_text(job->group),
			cell_text(job->pool),
			cell_json(buf_bytes(&match), buf_bytes(&words)),
			limit_cell(job->retry.max_attempts),
			limit_cell(job->timeout_ms),
			limit_cell(job->concurrency),
			job->rate.count > 0 ? cell_text(num_rate_text(job->rate.count, job->rate.period_ms, rate)) : limit_cell(0),
			suspended_cell(suspended, job->name),
		};
		if (!list_row(&list, cells))
			break;
	}
	list_end(&list, "No jobs.");
	return CTL_DONE;
}
