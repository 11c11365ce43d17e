/* `cron`: the schedules of the configuration. Redis knows where each has got to; when it comes next is told
 * by the daemon, whose time zones count. */
#include "ctl/filter.h"
#include "ctl/verb.h"
#include "redis/admin.h"

enum { COL_NAME, COL_JOB, COL_SCHEDULE, COL_TIMEZONE, COL_MISSED, COL_LAST, COL_NEXT, COL_NEXT_IN, COLUMNS };
static const struct column columns[COLUMNS] = {
	[COL_NAME] = { .key = "name", .title = "NAME", .elastic = true },
	[COL_JOB] = { .key = "job", .title = "JOB", .elastic = true },
	[COL_SCHEDULE] = { .key = "schedule", .title = "SCHEDULE", .elastic = true },
	[COL_TIMEZONE] = { .key = "timezone", .title = "TIMEZONE", .elastic = true },
	[COL_MISSED] = { .key = "missed", .title = "MISSED" },
	[COL_LAST] = { .key = "last_ms", .title = "LAST", .show = SHOW_TIME },
	[COL_NEXT] = { .key = "next_ms", .title = "NEXT", .show = SHOW_TIME },
	[COL_NEXT_IN] = { .key = "next_in_ms", .title = "NEXT IN", .show = SHOW_DURATION },
};

/* The daemon's row for a schedule, or NULL. */
static json_t *told_of(json_t *told, const struct schedule *schedule)
{
	size_t i;
	json_t *row;
	json_array_foreach (told, i, row) {
		const char *name = json_string_value(json_object_get(row, "name"));
		if (name && strcmp(name, schedule->name) == 0)
			return row;
	}
	return NULL;
}

static void fill(const struct schedule *s, json_t *row, int64_t last_ms, struct cell cells[COLUMNS])
{
	static const char *const missed[] = {
		[MISSED_ONCE] = "once", [MISSED_SKIP] = "skip", [MISSED_ALL] = "all"
	};

	cells[COL_NAME] = cell_text(s->name);
	cells[COL_JOB] = cell_text(s->job_name);
	cells[COL_SCHEDULE] = cell_text(s->expression);
	cells[COL_TIMEZONE] = cell_text(s->timezone);
	cells[COL_MISSED] = cell_text(missed[s->missed]);
	cells[COL_LAST] = cell_number_unless(last_ms, -1);
	cells[COL_NEXT] = cell_member(row, "next_ms");
	cells[COL_NEXT_IN] = cell_member(row, "next_in_ms");
}

/* One row; CTL_NO where Redis refuses to tell of it. */
static int one_schedule(struct ctl *ctl, struct connection *connection, const struct schedule *s,
			json_t *told, struct list *list)
{
	struct redis_error error = { 0 };
	struct cell cells[COLUMNS];
	int64_t last_ms = -1;
	int code = 0, r = admin_cron_last(connection, &ctl->keys[s->job->queue], s->name, &last_ms, &error);

	if (r < 0)
		code = ctl_redis_failed(ctl, s->job->queue, r, &error);
	if (code == CTL_UNAVAILABLE)
		return code;
	fill(s, told_of(told, s), last_ms, cells);
	(void)list_row(list, cells);
	return code;
}

int verb_cron(struct ctl *ctl)
{
	struct connection *connection;
	int result = ctl_check_choice(ctl);
	if (result == 0)
		result = ctl_redis(ctl, &connection);
	if (result != 0)
		return result;
	AUTO_JSON *told = ctl_daemon_list_quietly(ctl, "cron");
	struct list list;
	if (list_begin(&list, &ctl->out, columns, COLUMNS) < 0)
		return ctl_say(CTL_NO, "out of memory");
	for (size_t i = 0; result != CTL_UNAVAILABLE && i < ctl->config->schedule_count && !ctl->out.failed;
	     i++) {
		const struct schedule *s = &ctl->config->schedules[i];
		if (!filter_text(ctl->args->job, s->job_name) || !ctl_chooses_queue(ctl, s->job->queue))
			continue;
		int code = one_schedule(ctl, connection, s, told, &list);
		result = code ? code : result;
	}
	list_end(&list, result == 0 ? "No schedules." : NULL);
	return result;
}
