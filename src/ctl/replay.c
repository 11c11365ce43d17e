/* `replay`: what a group is done with runs again: the same entries with their IDs, for this group alone. Page
 * by page: a look, the choice by fields here, and one atomic step that puts them back and notes how far this
 * has got. So whoever is stopped in the middle, however that is, has put back each entry up to there once,
 * and the same command goes on behind it. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ctl/ctl.h"
#include "ctl/filter.h"
#include "ctl/steps.h"
#include "ctl/verb.h"
#include "domain/route.h"
#include "redis/replay.h"

enum { SHARE = 4, STEPS_A_SECOND = 10 };

enum {
	COL_STREAM,
	COL_GROUP,
	COL_REPLAYED,
	COL_ALL,
	COL_PENDING,
	COL_DEAD,
	COL_AT,
	COL_LAST,
	COL_CONTINUED,
	COL_FINISHED,
	COL_COUNT
};

static const struct column replay_columns[COL_COUNT] = {
	[COL_STREAM] = { .key = "stream", .title = "Stream" },
	[COL_GROUP] = { .key = "group", .title = "Group" },
	[COL_REPLAYED] = { .key = "replayed", .title = "Run again" },
	[COL_ALL] = { .key = "replayed_in_all", .title = "In all" },
	[COL_PENDING] = { .key = "left_pending", .title = "Running or parked" },
	[COL_DEAD] = { .key = "left_dead", .title = "Dead letters" },
	[COL_AT] = { .key = "at", .title = "Got to" },
	[COL_LAST] = { .key = "to", .title = "Of" },
	[COL_CONTINUED] = { .key = "continued" },
	[COL_FINISHED] = { .key = "finished", .title = "Finished" },
};

enum { ROW_ID, ROW_STREAM, ROW_GROUP, ROW_JOB, ROW_COUNT };

static const struct column row_columns[ROW_COUNT] = {
	[ROW_ID] = { .key = "id", .title = "WOULD RUN AGAIN" },
	[ROW_STREAM] = { .key = "stream", .title = "STREAM", .elastic = true },
	[ROW_GROUP] = { .key = "group" },
	[ROW_JOB] = { .key = "job", .title = "JOB", .elastic = true },
};

struct replaying {
	struct ctl *ctl;
	struct connection *connection;
	size_t queue;
	const struct job *job; /* only what is this one's; NULL = all of the queue */
	struct filter filter;
	bool with_pairs;
	struct list *list; /* dry run */
	struct replay r;
	int64_t taken; /* by this process: entries that fit, or that were put back */
	int64_t left[REPLAY_NOT_YET + 1];
	char at[ENTRY_ID_SIZE];
	bool continued, stopped;
	int64_t began_mono_ms;
};

static const struct queue *queue_of(const struct replaying *p)
{
	return &p->ctl->config->queues[p->queue];
}

/* ---- what is meant ---- */

/* Exactly one queue: replaying is no matter of all. */
static int choose_queue(struct replaying *p)
{
	const struct config *c = p->ctl->config;
	size_t count = 0;
	int r = ctl_check_choice(p->ctl);
	if (r == 0)
		r = ctl_named_job(p->ctl, &p->job);
	if (r != 0)
		return r;
	if (!p->job && p->ctl->args->job)
		p->job = config_job(c, p->ctl->args->job);
	if (!p->job && !p->ctl->args->queue)
		return ctl_say(CTL_USAGE, "which? JOB or --queue");
	for (size_t i = 0; i < c->queue_count; i++) {
		if (!ctl_chooses_queue(p->ctl, i) || (p->job && p->job->queue != i))
			continue;
		p->queue = i;
		count++;
	}
	if (count == 0)
		return ctl_say(CTL_NO, "job %s is not of queue %s", p->job ? p->job->name : "?",
			       p->ctl->args->queue);
	if (count > 1)
		return ctl_say(CTL_NO, "the stream %s has several groups here: say --queue %s/GROUP",
			       p->ctl->args->queue, p->ctl->args->queue);
	return 0;
}

/* What was asked for, in words that are the same when it is asked again. */
static void asked_words(const struct replaying *p, struct buf *out)
{
	const struct args *a = p->ctl->args;
	if (p->job)
		buf_add_text(out, p->job->name);
	else
		buf_addf(out, "--queue %s/%s", queue_of(p)->stream, queue_of(p)->group);
	buf_addf(out, " --from %s", a->from_text);
	if (a->to_text)
		buf_addf(out, " --to %s", a->to_text);
	for (size_t i = 0; i < a->match_count; i++)
		buf_addf(out, " --match %s", a->matches[i]);
	if (a->limit >= 0)
		buf_addf(out, " --limit %" PRId64, a->limit);
}

/* ---- a page ---- */

static bool fits(const struct replaying *p, const struct replay_row *row, const struct job **ret_job)
{
	const struct queue *q = queue_of(p);
	*ret_job = ctl_single_job(q) ? q->jobs[0] : p->with_pairs ? route_job(q, &row->entry) : NULL;
	return filter_pairs(&p->filter, &row->entry) && (!p->job || *ret_job == p->job);
}

static bool limit_reached(const struct replaying *p, int64_t count)
{
	return p->filter.limit >= 0 && count >= p->filter.limit;
}

/* What of a page is to run; *ret_end: the limit ends it at p->at. */
static size_t choose(struct replaying *p, const struct replay_page *page, int64_t before,
		     const char *ids[REPLAY_PAGE_MOST], bool *ret_end)
{
	size_t n = 0;
	*ret_end = false;
	for (size_t i = 0; i < page->count && !*ret_end && n < REPLAY_PAGE_MOST; i++) {
		const struct replay_row *row = &page->rows[i];
		const struct job *job;
		memcpy(p->at, row->entry.id, ENTRY_ID_SIZE);
		if (!fits(p, row, &job))
			continue;
		if (row->state != REPLAY_DONE) {
			p->left[row->state]++;
			continue;
		}
		ids[n++] = row->entry.id;
		if (p->list) {
			const struct cell cells[ROW_COUNT] = { cell_text(row->entry.id),
							       cell_text(queue_of(p)->stream),
							       cell_text(queue_of(p)->group),
							       cell_text(job ? job->name : NULL) };
			(void)list_row(p->list, cells);
		}
		*ret_end = limit_reached(p, before + (int64_t)n);
	}
	return n;
}

static int look(struct replaying *p, const char *cursor, const char *last, int64_t max,
		struct replay_page *page)
{
	struct redis_error error = { 0 };
	int r = replay_look(p->connection, &p->ctl->keys[p->queue], cursor, last, max, p->with_pairs, page,
			    &error);
	return r < 0 ? ctl_redis_failed(p->ctl, p->queue, r, &error) : 0;
}

/* Only looks: what would run again is counted, and listed where that was asked for. */
static int look_through(struct replaying *p)
{
	const struct args *a = p->ctl->args;
	char cursor[REPLAY_CURSOR_SIZE];
	(void)snprintf(cursor, sizeof(cursor), "%s", a->from_id);
	for (bool end = false; !end && !p->stopped && !p->ctl->out.failed;) {
		struct replay_page page = { 0 };
		const char *ids[REPLAY_PAGE_MOST];
		int64_t began = clock_mono_ms();
		int r = look(p, cursor, a->to_text ? a->to_id : "+", REPLAY_PAGE_MOST, &page);
		if (r != 0)
			return r;
		int64_t took = clock_mono_ms() - began;
		p->taken += (int64_t)choose(p, &page, p->taken, ids, &end);
		(void)snprintf(cursor, sizeof(cursor), "(%s", page.last);
		/* What was not delivered yet is the end: it was never done. */
		end = end || page.count == 0 || page.rows[page.count - 1].state == REPLAY_NOT_YET;
		replay_page_done(&page);
		p->stopped = steps_rest(steps_pause_ms(took, SHARE));
	}
	return 0;
}

/* ---- doing it ---- */

static int begin(struct replaying *p)
{
	const struct args *a = p->ctl->args;
	char token[REPLAY_TOKEN_SIZE];
	AUTO_BUF asked = { 0 };
	AUTO_FREE char *other = NULL;
	struct redis_error error = { 0 };
	fd_random_hex(token, (REPLAY_TOKEN_SIZE - 1) / 2);
	asked_words(p, &asked);
	if (asked.failed)
		return ctl_say(CTL_NO, "out of memory");
	int r = replay_begin(p->connection, &p->ctl->keys[p->queue], token, asked.p, a->from_id,
			     a->to_text ? a->to_id : "+", args_given(a, OPTION_ANEW), &p->r, &other, &error);
	if (r < 0)
		return ctl_redis_failed(p->ctl, p->queue, r, &error);
	if (r > 0)
		return ctl_say(CTL_NO,
			       "an earlier one was not finished (%" PRId64
			       " run again, of those up to %s): xackctl replay %s goes on with it, --anew "
			       "forgets it",
			       p->r.count, p->r.last, other ? other : "?");
	p->continued = strcmp(p->r.token, token) != 0;
	if (p->continued)
		(void)ctl_say(0, "goes on with what was not finished: %" PRId64 " run again before",
			      p->r.count);
	return 0;
}

/* With --rate as many as it allows; else so that Redis has most of its time for others. */
static void rest(struct replaying *p, int64_t took_ms)
{
	int64_t ms = steps_pause_ms(took_ms, SHARE);
	if (p->ctl->args->rate > 0) {
		int64_t due = p->began_mono_ms + p->taken * 1000 / p->ctl->args->rate, now = clock_mono_ms();
		ms = due > now + ms ? due - now : ms;
	}
	p->stopped = steps_rest(ms);
}

static int64_t page_most(const struct replaying *p)
{
	int64_t rate = p->ctl->args->rate;
	int64_t most = rate > 0 ? (rate + STEPS_A_SECOND - 1) / STEPS_A_SECOND : REPLAY_PAGE_MOST;
	return most < REPLAY_PAGE_MOST ? most : REPLAY_PAGE_MOST;
}

/* 0 to go on; CTL_… (said); *ret_end: that was all. */
static int step(struct replaying *p, bool *ret_end)
{
	struct replay_page page = { 0 };
	const char *ids[REPLAY_PAGE_MOST];
	struct redis_error error = { 0 };
	int64_t count = 0, began = clock_mono_ms();
	int r = look(p, p->r.cursor, p->r.last, page_most(p), &page);
	if (r != 0)
		return r;
	size_t n = limit_reached(p, p->r.count) ? 0 : choose(p, &page, p->r.count, ids, ret_end);
	*ret_end = *ret_end || page.count == 0 || limit_reached(p, p->r.count);
	r = replay_step(p->connection, &p->ctl->keys[p->queue], &p->r, *ret_end ? "" : page.last, ids, n,
			&count, &error);
	replay_page_done(&page);
	if (r < 0)
		return ctl_redis_failed(p->ctl, p->queue, r, &error);
	if (r > 0)
		return ctl_say(CTL_NO, "somebody else goes on with this, or has begun another one");
	if (p->taken == 0 && count > 0)
		ctl_daemon_look(p->ctl);
	p->taken += count;
	if (!*ret_end)
		rest(p, clock_mono_ms() - began);
	return 0;
}

static void tell(struct replaying *p, bool finished)
{
	const struct cell cells[COL_COUNT] = {
		[COL_STREAM] = cell_text(queue_of(p)->stream),
		[COL_GROUP] = cell_text(queue_of(p)->group),
		[COL_REPLAYED] = cell_number(p->taken),
		[COL_ALL] = p->continued || p->ctl->out.format != OUTPUT_TABLE ? cell_number(p->r.count)
									       : cell_null(),
		[COL_PENDING] = cell_number(p->left[REPLAY_PENDING] + p->left[REPLAY_NOT_YET]),
		[COL_DEAD] = cell_number(p->left[REPLAY_DEAD]),
		[COL_AT] = cell_text(p->at),
		[COL_LAST] = cell_text(p->r.last),
		[COL_CONTINUED] = cell_flag(p->continued),
		[COL_FINISHED] = cell_flag(finished),
	};
	output_record(&p->ctl->out, replay_columns, cells, COL_COUNT);
}

static int run(struct replaying *p)
{
	bool end = false;
	int r = begin(p);
	if (r != 0)
		return r;
	steps_begin();
	p->began_mono_ms = clock_mono_ms();
	while (r == 0 && !end && !p->stopped)
		r = step(p, &end);
	if (p->taken > 0)
		ctl_daemon_look(p->ctl);
	tell(p, r == 0 && end);
	if (r == 0 && !end)
		r = ctl_say(CTL_NO, "stopped: the same command goes on, --anew forgets how far it got");
	return r;
}

/* ---- the verb ---- */

static int dry_run(struct replaying *p)
{
	struct list list;
	if (list_begin(&list, &p->ctl->out, row_columns, ROW_COUNT) < 0)
		return ctl_say(CTL_NO, "out of memory");
	filter_for_reader(&p->filter, &p->ctl->out);
	p->list = &list;
	int r = look_through(p);
	list_end(&list, r == 0 ? "Nothing would run again." : NULL);
	filter_tell_reader(&p->filter, list.rows);
	return r;
}

static int agree(struct replaying *p)
{
	int r = look_through(p);
	if (r == 0 && p->taken > 0)
		r = ctl_agree(p->ctl, p->taken, "entry that is done", "entries that are done", "run again",
			      "run again");
	memset(p->left, 0, sizeof(p->left));
	p->taken = 0;
	return r;
}

static int replay(struct replaying *p)
{
	const struct args *a = p->ctl->args;
	int r = choose_queue(p);
	if (r == 0)
		r = filter_init(&p->filter, a);
	if (r == 0)
		r = ctl_redis(p->ctl, &p->connection);
	if (r != 0)
		return r;
	bool dry = args_given(a, OPTION_DRY_RUN);
	p->with_pairs = p->filter.rule_count > 0 || (!ctl_single_job(queue_of(p)) && (p->job || dry));
	if (dry)
		return dry_run(p);
	if (!args_given(a, OPTION_YES))
		r = agree(p);
	return r == 0 ? run(p) : r;
}

int verb_replay(struct ctl *ctl)
{
	struct replaying p = { .ctl = ctl };
	if (!ctl->args->from_text)
		return ctl_say(CTL_USAGE, "from where on? --from ID or TIME; --from 0 is the beginning");
	int r = replay(&p);
	filter_done(&p.filter);
	return r;
}
