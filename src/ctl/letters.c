/* Walks over dead letters. Payloads may be large, so pages are small; a page is forgotten before the next is
 * read. */
#include "ctl/letters.h"

enum { PAGE_ROWS = 50 };

const struct column letter_columns[LETTER_COLUMNS] = {
	{ .key = "dead_id", .title = "DEAD ID" },
	{ .key = "id", .title = "ID" },
	{ .key = "stream" },
	{ .key = "group" },
	{ .key = "job", .title = "JOB", .elastic = true },
	{ .key = "reason", .title = "REASON" },
	{ .key = "detail", .title = "DETAIL", .elastic = true },
	{ .key = "attempts", .title = "ATTEMPTS" },
	{ .key = "exit" },
	{ .key = "signal" },
	{ .key = "stderr" },
	{ .key = "host" },
	{ .key = "at_ms", .title = "DIED", .show = SHOW_TIME },
	{ .key = "fields", .title = "FIELDS", .elastic = true },
};

void letter_cells(const struct ctl *ctl, size_t queue, const struct dead_letter *letter,
		  struct cell cells[LETTER_COLUMNS])
{
	const struct cell row[LETTER_COLUMNS] = {
		cell_text(letter->dead_id),
		cell_text(letter->id),
		cell_text(ctl->config->queues[queue].stream),
		cell_text(ctl->config->queues[queue].group),
		cell_text(letter->job),
		cell_text(letter->reason),
		cell_text(letter->detail),
		cell_number_unless(letter->attempts, -1),
		cell_number_unless(letter->code, -1),
		cell_number_unless(letter->signal, 0),
		letter->stderr_tail.n ? cell_bytes(letter->stderr_tail) : cell_null(),
		cell_text(letter->host),
		cell_number_unless(letter->at_ms, -1),
		cell_pairs(&letter->entry),
	};
	memcpy(cells, row, sizeof(row));
}

static bool fits(const struct filter *f, const struct dead_letter *letter, int64_t now_ms)
{
	int64_t at = letter->at_ms >= 0 ? letter->at_ms : entry_id_time_ms(letter->dead_id, now_ms);
	return filter_text(f->job, letter->job) && filter_text(f->reason, letter->reason) &&
	       filter_age(f, at, now_ms) && filter_pairs(f, &letter->entry);
}

struct walk {
	struct ctl *ctl;
	struct connection *connection;
	const struct filter *filter;
	letter_fn *fn;
	void *user;
	int64_t left; /* of the limit; -1 = no limit */
};

static int walk_page(struct walk *w, size_t queue, const struct dead_page *page, const char *last)
{
	int64_t now_ms = connection_redis_now_ms(w->connection);
	for (size_t i = 0; i < page->count; i++) {
		const struct dead_letter *letter = &page->rows[i];
		if (last && entry_id_cmp(letter->dead_id, last) > 0)
			return LETTERS_STOP;
		if (!fits(w->filter, letter, now_ms))
			continue;
		if (w->left == 0)
			return LETTERS_STOP;
		if (w->left > 0)
			w->left--;
		int r = w->fn(w->user, queue, letter);
		if (r != 0)
			return r;
	}
	return 0;
}

static int walk_queue(struct walk *w, size_t queue, const char *last)
{
	char from[ENTRY_ID_SIZE] = "";
	do {
		struct dead_page page = { 0 };
		struct redis_error error = { 0 };
		int r = desk_dead_page(w->connection, &w->ctl->keys[queue], from, PAGE_ROWS, &page, &error);
		if (r < 0)
			return ctl_redis_failed(w->ctl, queue, r, &error);
		memcpy(from, page.next, sizeof(from));
		r = walk_page(w, queue, &page, last);
		dead_page_done(&page);
		if (r != 0)
			return r == LETTERS_STOP ? 0 : r;
	} while (from[0] && !w->ctl->out.failed);
	return 0;
}

int letters_walk(struct ctl *ctl, const struct filter *filter, const struct letters_end *until, letter_fn *fn,
		 void *user)
{
	struct walk w = { .ctl = ctl, .filter = filter, .fn = fn, .user = user, .left = filter->limit };
	int result = 0, r = ctl_redis(ctl, &w.connection);
	if (r != 0)
		return r;
	for (size_t i = 0; result != CTL_UNAVAILABLE && i < ctl->config->queue_count && w.left != 0; i++) {
		/* A job's dead letters stay where they died, also when it has another queue by now: only
		 * --queue narrows this. */
		const struct queue *queue = &ctl->config->queues[i];
		if (ctl->args->queue && !ctl_queue_named(queue->stream, queue->group, ctl->args->queue))
			continue;
		if (until && !until->last[i][0])
			continue;
		r = walk_queue(&w, i, until ? until->last[i] : NULL);
		result = r ? r : result;
	}
	return result;
}

/* --job decides among several: by what the letter says, or, when it names no job, by its queue. */
static bool letter_chosen(const struct ctl *ctl, size_t queue, const struct dead_letter *letter)
{
	const struct args *args = ctl->args;
	const struct queue *q = &ctl->config->queues[queue];
	if (args->queue && !ctl_queue_named(q->stream, q->group, args->queue))
		return false;
	if (!args->job)
		return true;
	const struct job *job = config_job(ctl->config, args->job);
	return letter->job ? strcmp(letter->job, args->job) == 0 : job && job->queue == queue;
}

static void say_places(const struct ctl *ctl, const char *id, const bool *has)
{
	(void)ctl_say(CTL_NO, "%s is a dead letter in several queues: say which with --job or --queue", id);
	for (size_t i = 0; i < ctl->config->queue_count; i++) {
		if (has[i])
			(void)ctl_say(CTL_NO, "  %s/%s", ctl->config->queues[i].stream,
				      ctl->config->queues[i].group);
	}
}

/* The letters that an ID names, over all queues. */
struct finds {
	bool *has;                 /* by queue */
	size_t count, queue;       /* queue: of the first */
	bool own;                  /* it is their own ID, not their entries' */
	struct dead_letter letter; /* the first */
};

/* Takes the letter. A letter's own ID is that letter, whatever entry of another queue has the same. */
static void add_find(struct finds *f, size_t queue_count, size_t queue, const char *id,
		     struct dead_letter *letter)
{
	bool own = strcmp(letter->dead_id, id) == 0;
	if (own && !f->own) {
		f->own = true;
		f->count = 0;
		memset(f->has, 0, queue_count * sizeof(*f->has));
		dead_letter_done(&f->letter);
	}
	f->has[queue] = own == f->own;
	if (!f->has[queue] || f->count > 0) {
		f->count += f->has[queue];
		dead_letter_done(letter);
		return;
	}
	f->letter = *letter;
	f->queue = queue;
	f->count = 1;
}

static int find_everywhere(struct ctl *ctl, struct connection *connection, const char *id, struct finds *f)
{
	for (size_t i = 0; i < ctl->config->queue_count; i++) {
		struct dead_letter letter = { 0 };
		struct redis_error error = { 0 };
		int r = desk_dead_find(connection, &ctl->keys[i], id, &letter, &error);
		if (r < 0)
			return ctl_redis_failed(ctl, i, r, &error);
		if (r == 0 && letter_chosen(ctl, i, &letter))
			add_find(f, ctl->config->queue_count, i, id, &letter);
		else
			dead_letter_done(&letter);
	}
	return 0;
}

int letters_find(struct ctl *ctl, const char *id, size_t *ret_queue, struct dead_letter *ret_letter)
{
	uint64_t ms, seq;
	struct connection *connection;
	if (entry_id_parse(bytes_of(id), &ms, &seq) < 0)
		return ctl_say(CTL_USAGE, "\"%s\" is not an ID (like 1700000000000-0)", id);
	int r = ctl_redis(ctl, &connection);
	if (r != 0)
		return r;
	AUTO_FREE bool *has = calloc(ctl->config->queue_count + 1, sizeof(*has));
	if (!has)
		return ctl_say(CTL_NO, "out of memory");
	struct finds found = { .has = has };
	r = find_everywhere(ctl, connection, id, &found);
	if (r == 0 && found.count == 1) {
		*ret_letter = found.letter;
		*ret_queue = found.queue;
		return 0;
	}
	dead_letter_done(&found.letter);
	if (r != 0)
		return r;
	if (found.count == 0)
		return ctl_say(CTL_NO, "there is no dead letter %s", id);
	say_places(ctl, id, has);
	return CTL_NO;
}
