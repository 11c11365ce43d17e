/* `trim`: what `retain` does all the time, by hand and once. Each step looks what every group of the stream
 * has acknowledged and trims in one, so nothing can come between; between two steps Redis has time for
 * others. */
#include <inttypes.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/steps.h"
#include "ctl/verb.h"
#include "redis/trim.h"

enum { SHARE = 10 };

enum {
	COL_STREAM,
	COL_TRIMMED,
	COL_DRY,
	COL_LENGTH,
	COL_HELD_BY,
	COL_WHY,
	COL_AT,
	COL_CONSUMER,
	COL_IDLE,
	COL_COUNT
};

static const struct column trim_columns[COL_COUNT] = {
	[COL_STREAM] = { .key = "stream", .title = "STREAM", .elastic = true },
	[COL_TRIMMED] = { .key = "trimmed", .title = "TRIMMED" },
	[COL_DRY] = { .key = "dry_run" },
	[COL_LENGTH] = { .key = "length", .title = "LEFT" },
	[COL_HELD_BY] = { .key = "held_by", .title = "HELD BACK BY", .elastic = true },
	[COL_WHY] = { .key = "held_why", .title = "WHY" },
	[COL_AT] = { .key = "held_id", .title = "FROM" },
	[COL_CONSUMER] = { .key = "held_consumer", .title = "CONSUMER", .elastic = true },
	[COL_IDLE] = { .key = "held_idle_ms", .title = "IDLE", .show = SHOW_DURATION },
};

struct trimming {
	struct ctl *ctl;
	struct connection *connection;
	struct retain_rule rule;
	const struct job *job; /* NULL = none was named */
	bool dry_run;
	bool stopped;
	struct list list;
	int64_t counted;
};

static int read_rule(const struct args *a, struct retain_rule *ret)
{
	int given =
		args_given(a, OPTION_ACKED) + args_given(a, OPTION_OLDER_THAN) + args_given(a, OPTION_MAXLEN);
	if (given != 1)
		return ctl_say(CTL_USAGE, "what is to go? One of --acked, --older-than and --maxlen");
	if (args_given(a, OPTION_ACKED))
		*ret = (struct retain_rule){ .kind = RETAIN_ACKED };
	else if (args_given(a, OPTION_OLDER_THAN))
		*ret = (struct retain_rule){ RETAIN_AGE, a->older_than_ms };
	else
		*ret = (struct retain_rule){ RETAIN_MAXLEN, a->maxlen };
	return 0;
}

static bool chosen(const struct trimming *t, size_t queue)
{
	return ctl_chooses_queue(t->ctl, queue) && (!t->job || t->job->queue == queue);
}

/* A stream is trimmed once, whichever of its groups were chosen. */
static bool is_first(const struct trimming *t, size_t queue)
{
	const struct queue *queues = t->ctl->config->queues;
	for (size_t i = 0; i < queue; i++) {
		if (chosen(t, i) && strcmp(queues[i].stream, queues[queue].stream) == 0)
			return false;
	}
	return chosen(t, queue);
}

static int refused(const struct trim_answer *a, const struct queue *q)
{
	if (a->state == TRIM_NO_GROUP)
		return ctl_say(CTL_NO,
			       "%s: the group %s is not there, so nobody can tell what it still needs: start "
			       "xackd, which makes it",
			       q->stream, a->group);
	return ctl_say(CTL_NO,
		       "%s: the group %s was made again a moment ago, and what its workers run is still "
		       "being put back: try again after its lease",
		       q->stream, a->group);
}

/* All steps of one stream. 0 or the exit code (said); ret->count is what went, or was counted, by then. */
static int steps(struct trimming *t, size_t queue, bool count, struct trim_answer *ret)
{
	const struct config *c = t->ctl->config;
	const struct trim_order order = { &t->rule, c->queues, c->queue_count, 0 };
	char cursor[ENTRY_ID_SIZE] = "-";
	int64_t all = 0, began;
	*ret = (struct trim_answer){ .count = 0 };
	do {
		struct trim_answer a;
		struct redis_error error = { 0 };
		began = clock_mono_ms();
		int r = count ? trim_count(t->connection, &t->ctl->keys[queue], &order, cursor, all, &a, &error)
			      : trim_step(t->connection, &t->ctl->keys[queue], &order, &a, &error);
		if (r < 0)
			return ctl_redis_failed(t->ctl, queue, r, &error);
		if (a.state != TRIM_DONE)
			return refused(&a, &c->queues[queue]);
		all += a.count;
		*ret = a;
		ret->count = all;
		t->stopped = steps_rest(a.more ? steps_pause_ms(clock_mono_ms() - began, SHARE) : 0);
	} while (ret->more && !t->stopped);
	return t->stopped && ret->more ? ctl_say(CTL_NO, "stopped: the same command goes on") : 0;
}

static void tell(struct trimming *t, size_t queue, const struct trim_answer *a)
{
	struct cell cells[COL_COUNT] = {
		[COL_STREAM] = cell_text(t->ctl->config->queues[queue].stream),
		[COL_TRIMMED] = cell_number(a->count),
		[COL_DRY] = cell_flag(t->dry_run),
		[COL_LENGTH] = cell_number(t->dry_run ? a->length - a->count : a->length),
	};
	if (a->held) {
		cells[COL_HELD_BY] = cell_text(a->group);
		cells[COL_WHY] = cell_text(a->pending ? "pending" : "waiting");
		cells[COL_AT] = cell_text(a->floor);
		cells[COL_CONSUMER] = cell_text(a->consumer);
		cells[COL_IDLE] = cell_number_unless(a->idle_ms, -1);
	}
	(void)list_row(&t->list, cells);
}

/* count: what would go is added up, and told if that is all that was asked for. What went is told also where
 * it ended in a failure. */
static int walk(struct trimming *t, bool count)
{
	int result = 0;
	for (size_t i = 0; i < t->ctl->config->queue_count && result != CTL_UNAVAILABLE && !t->stopped; i++) {
		struct trim_answer a;
		if (!is_first(t, i))
			continue;
		int r = steps(t, i, count, &a);
		t->counted += a.count;
		if ((r == 0 || a.count > 0) && (!count || t->dry_run))
			tell(t, i, &a);
		result = r ? r : result;
	}
	return result;
}

static int trim(struct trimming *t)
{
	int r = 0;
	if (!t->dry_run && !args_given(t->ctl->args, OPTION_YES)) {
		r = walk(t, true);
		if (r == 0 && t->counted > 0)
			r = ctl_agree(t->ctl, t->counted, "entry", "entries", "trim", "trimmed");
	}
	if (r != 0)
		return r;
	steps_begin();
	return walk(t, t->dry_run);
}

int verb_trim(struct ctl *ctl)
{
	struct trimming t = { .ctl = ctl, .dry_run = args_given(ctl->args, OPTION_DRY_RUN) };
	int r = read_rule(ctl->args, &t.rule);
	if (r == 0)
		r = ctl_check_choice(ctl);
	if (r == 0)
		r = ctl_named_job(ctl, &t.job);
	if (r == 0 && !t.job && !(ctl->args->given & (TAKES_QUEUE | TAKES(OPTION_ALL))))
		return ctl_say(CTL_USAGE, "which? JOB, --queue, or --all");
	if (r == 0)
		r = ctl_redis(ctl, &t.connection);
	if (r != 0)
		return r;
	if (list_begin(&t.list, &ctl->out, trim_columns, COL_COUNT) < 0)
		return ctl_say(CTL_NO, "out of memory");
	r = trim(&t);
	list_end(&t.list, NULL);
	return r;
}
