/* `dead requeue`, `dead purge`: by ID, or all that fit the filters. With filters two walks: one that counts
 * and notes how far it goes, and, once that was agreed to, one that acts and goes no further. What dies
 * meanwhile (perhaps the very entries that were just requeued) is left alone. Each letter is one atomic step,
 * so a walk that is killed half-way is simply started again. */
#include <errno.h>
#include <inttypes.h>

#include "ctl/letters.h"
#include "ctl/verb.h"

struct change {
	struct ctl *ctl;
	bool requeue;
	const char *word; /* for people */
	struct list list; /* requeue: the new IDs */
	int64_t done;
	int64_t empty; /* requeue: without pairs, so there is nothing to put back */
	struct letters_end end;
	int64_t counted;
};

static const struct column requeue_columns[] = {
	{ .key = "dead_id" }, { .key = "id" }, { .key = "stream" }, { .key = "group" }, { .key = "new_id" },
};

/* People and scripts get the new IDs, a line each; JSON says what became what. */
static int tell_requeued(struct change *c, size_t queue, const struct dead_letter *letter, const char *new_id)
{
	if (c->ctl->out.format == OUTPUT_TABLE) {
		output_line(&c->ctl->out, "%s", new_id);
		return 0;
	}
	const struct cell cells[] = {
		cell_text(letter->dead_id),
		cell_text(letter->id),
		cell_text(c->ctl->config->queues[queue].stream),
		cell_text(c->ctl->config->queues[queue].group),
		cell_text(new_id),
	};
	(void)list_row(&c->list, cells);
	return 0;
}

/* 0 or the exit code (said). *ret_done false: it is not there any more. */
static int change_one(struct change *c, size_t queue, const struct dead_letter *letter, bool *ret_done)
{
	struct connection *connection;
	struct redis_error error = { 0 };
	char new_id[ENTRY_ID_SIZE] = "";
	int r = ctl_redis(c->ctl, &connection);
	if (r != 0)
		return r;
	*ret_done = true;
	if (c->requeue && letter->entry.pair_count == 0) {
		c->empty++;
		return 0;
	}
	const struct queue_keys *keys = &c->ctl->keys[queue];
	r = c->requeue ? desk_requeue(connection, keys, letter->dead_id, new_id, &error)
		       : desk_purge(connection, keys, letter->dead_id, &error);
	if (r < 0)
		return ctl_redis_failed(c->ctl, queue, r, &error);
	*ret_done = r == 0;
	if (r > 0)
		return 0;
	c->done++;
	return c->requeue ? tell_requeued(c, queue, letter, new_id) : 0;
}

static int change_row(void *user, size_t queue, const struct dead_letter *letter)
{
	bool done;
	return change_one(user, queue, letter, &done);
}

static int change_by_id(struct change *c, const char *id)
{
	struct dead_letter letter = { 0 };
	size_t queue;
	bool done = false;
	int r = letters_find(c->ctl, id, &queue, &letter);
	if (r != 0)
		return r;
	r = change_one(c, queue, &letter, &done);
	dead_letter_done(&letter);
	return r == 0 && !done ? ctl_say(CTL_NO, "there is no dead letter %s any more", id) : r;
}

static int count_row(void *user, size_t queue, const struct dead_letter *letter)
{
	struct change *c = user;
	c->counted++;
	memcpy(c->end.last[queue], letter->dead_id, ENTRY_ID_SIZE);
	return 0;
}

/* 0 = go; else the exit code. */
static int agree(const struct change *c)
{
	return ctl_agree(c->ctl, c->counted, "dead letter", "dead letters", c->word,
			 c->requeue ? "requeued" : "purged");
}

static int count_all(struct change *c, const struct filter *filter)
{
	c->end.last = calloc(c->ctl->config->queue_count + 1, sizeof(*c->end.last));
	if (!c->end.last)
		return ctl_say(CTL_NO, "out of memory");
	return letters_walk(c->ctl, filter, NULL, count_row, c);
}

static int change_by_filter(struct change *c)
{
	AUTO_FILTER filter = { 0 };
	int r = filter_init(&filter, c->ctl->args);
	if (r == 0)
		r = count_all(c, &filter);
	if (r == 0 && c->counted > 0)
		r = agree(c);
	if (r == 0 && c->counted > 0)
		r = letters_walk(c->ctl, &filter, &c->end, change_row, c);
	return r;
}

static int change_all(struct change *c)
{
	const struct args *a = c->ctl->args;
	if (a->rest_count == 0)
		return change_by_filter(c);
	int result = 0;
	for (int i = 0; i < a->rest_count && result != CTL_UNAVAILABLE; i++) {
		int r = change_by_id(c, a->rest[i]);
		if (r != 0)
			result = r;
	}
	return result;
}

static int dry_run(struct change *c)
{
	if (c->ctl->args->rest_count == 0)
		return verb_dead_ls(c->ctl);
	struct list list;
	int result = 0;
	if (list_begin(&list, &c->ctl->out, letter_columns, LETTER_COLUMNS) < 0)
		return ctl_say(CTL_NO, "out of memory");
	for (int i = 0; i < c->ctl->args->rest_count; i++) {
		struct dead_letter letter = { 0 };
		struct cell cells[LETTER_COLUMNS];
		size_t queue;
		int r = letters_find(c->ctl, c->ctl->args->rest[i], &queue, &letter);
		if (r != 0) {
			result = r;
			continue;
		}
		letter_cells(c->ctl, queue, &letter, cells);
		(void)list_row(&list, cells);
		dead_letter_done(&letter);
	}
	list_end(&list, NULL);
	return result;
}

static void tell_purged(struct change *c)
{
	AUTO_BUF text = { 0 };
	if (c->ctl->out.format == OUTPUT_TABLE) {
		output_line(&c->ctl->out, "%" PRId64 " dead letter%s purged", c->done,
			    c->done == 1 ? "" : "s");
		return;
	}
	buf_add_char(&text, '{');
	json_add_name(&text, "purged");
	json_add_i64(&text, c->done);
	buf_add_char(&text, '}');
	output_json(&c->ctl->out, buf_bytes(&text));
}

static int change(struct change *c)
{
	struct connection *connection;
	int r = ctl_check_selection(c->ctl);
	if (r == 0)
		r = ctl_check_queue(c->ctl);
	if (r == 0)
		r = ctl_redis(c->ctl, &connection);
	if (r != 0)
		return r;
	if (args_given(c->ctl->args, OPTION_DRY_RUN))
		return dry_run(c);
	bool listed = c->requeue && c->ctl->out.format != OUTPUT_TABLE;
	if (listed && list_begin(&c->list, &c->ctl->out, requeue_columns, ARRAY_LEN(requeue_columns)) < 0)
		return ctl_say(CTL_NO, "out of memory");
	r = change_all(c);
	if (listed)
		list_end(&c->list, NULL);
	else if (!c->requeue && (r == 0 || c->done > 0))
		tell_purged(c);
	free(c->end.last);
	if (r == 0 && c->empty > 0)
		r = ctl_say(CTL_NO,
			    "%" PRId64 " dead letter%s cannot be requeued: the pairs of the entry were "
			    "deleted before it ran",
			    c->empty, c->empty == 1 ? "" : "s");
	if (r == 0 && c->ctl->out.failed)
		return ctl_say(CTL_NO, "stopped after %" PRId64 ": the output could not be written", c->done);
	return r;
}

int verb_dead_requeue(struct ctl *ctl)
{
	struct change c = { .ctl = ctl, .requeue = true, .word = "requeue" };
	return change(&c);
}

int verb_dead_purge(struct ctl *ctl)
{
	struct change c = { .ctl = ctl, .word = "purge" };
	return change(&c);
}
