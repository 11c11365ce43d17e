/* `retries --later`: what was added for later and is not due yet, page by page in due order. */
#include "ctl/ctl.h"
#include "ctl/filter.h"
#include "ctl/verb.h"
#include "domain/route.h"
#include "redis/desk.h"

enum { PAGE_ROWS = 50 };

enum { COL_ID, COL_STREAM, COL_GROUP, COL_JOB, COL_DUE, COL_DUE_IN, COL_FIELDS, COL_COUNT };
static const struct column columns[COL_COUNT] = {
	[COL_ID] = { .key = "id", .title = "ID" },
	[COL_STREAM] = { .key = "stream", .title = "STREAM", .elastic = true },
	[COL_GROUP] = { .key = "group" },
	[COL_JOB] = { .key = "job", .title = "JOB", .elastic = true },
	[COL_DUE] = { .key = "due_ms" },
	[COL_DUE_IN] = { .key = "due_in_ms", .title = "DUE IN", .show = SHOW_DURATION },
	[COL_FIELDS] = { .key = "fields", .title = "FIELDS", .elastic = true },
};

struct listing {
	struct ctl *ctl;
	struct connection *connection;
	struct filter filter;
	struct list list;
};

static bool enough(const struct listing *l)
{
	return l->ctl->out.failed || (l->filter.limit >= 0 && l->list.rows >= (size_t)l->filter.limit);
}

static void look_at_row(struct listing *l, const struct queue *queue, const struct later_row *row,
			int64_t now_ms)
{
	const struct job *job = row->entry.pair_count > 0 ? route_job(queue, &row->entry) : NULL;
	if (!filter_pairs(&l->filter, &row->entry) || !filter_text(l->filter.job, job ? job->name : NULL))
		return;
	const struct cell cells[COL_COUNT] = {
		[COL_ID] = cell_text(row->id),          [COL_STREAM] = cell_text(queue->stream),
		[COL_GROUP] = cell_text(queue->group),  [COL_JOB] = cell_text(job ? job->name : NULL),
		[COL_DUE] = cell_number(row->due_ms),   [COL_DUE_IN] = cell_number(row->due_ms - now_ms),
		[COL_FIELDS] = cell_pairs(&row->entry),
	};
	(void)list_row(&l->list, cells);
}

static int walk_queue(struct listing *l, size_t queue)
{
	int64_t offset = 0;
	bool more = true;
	while (more && !enough(l)) {
		struct later_page page = { 0 };
		struct redis_error error = { 0 };
		int r = desk_later_page(l->connection, &l->ctl->keys[queue], offset, PAGE_ROWS, &page,
					&error);
		if (r < 0)
			return ctl_redis_failed(l->ctl, queue, r, &error);
		offset += (int64_t)page.count;
		more = page.more;
		for (size_t i = 0; i < page.count && !enough(l); i++)
			look_at_row(l, &l->ctl->config->queues[queue], &page.rows[i], page.redis_now_ms);
		later_page_done(&page);
	}
	return 0;
}

static int check(const struct ctl *ctl)
{
	if (args_given(ctl->args, OPTION_REASON) || args_given(ctl->args, OPTION_OLDER_THAN))
		return ctl_say(CTL_USAGE, "what is not due yet has not failed and has no age: --later takes "
					  "no --reason and no --older-than");
	return ctl_check_choice(ctl);
}

int verb_retries_later(struct ctl *ctl)
{
	struct listing l = { .ctl = ctl };
	int result = check(ctl);
	if (result == 0)
		result = filter_init(&l.filter, ctl->args);
	if (result == 0)
		result = ctl_redis(ctl, &l.connection);
	if (result == 0 && list_begin(&l.list, &ctl->out, columns, COL_COUNT) < 0)
		result = ctl_say(CTL_NO, "out of memory");
	if (result != 0) {
		filter_done(&l.filter);
		return result;
	}
	filter_for_reader(&l.filter, &ctl->out);
	for (size_t i = 0; result != CTL_UNAVAILABLE && i < ctl->config->queue_count; i++) {
		int failed = ctl_chooses_queue(ctl, i) ? walk_queue(&l, i) : 0;
		result = failed ? failed : result;
	}
	list_end(&l.list, result == 0 ? "Nothing was added for later." : NULL);
	filter_tell_reader(&l.filter, l.list.rows);
	filter_done(&l.filter);
	return result;
}
