/* What failed last: of each queue the parked entries that are due next, with the note of their last failure,
 * and the newest dead letters. A page of each; a dead letter is read once and then known. */
#include <inttypes.h>

#include "base/clock.h"
#include "ctl/note.h"
#include "ctl/top_collect.h"
#include "domain/route.h"

static void letter_done(struct newest_letter *letter)
{
	free(letter->job);
	free(letter->reason);
	free(letter->detail);
	*letter = (struct newest_letter){ 0 };
}

static void forget_letters(struct top_memory *m)
{
	for (size_t i = 0; i < m->letter_count; i++)
		letter_done(&m->letters[i]);
	m->letter_count = 0;
}

void top_memory_done(struct top_memory *m)
{
	forget_letters(m);
}

static struct top_failure *add_failure(struct top_frame *f, const struct top_queue *q)
{
	struct top_failure *grown = reallocarray(f->failures, f->failure_count + 1, sizeof(*grown));
	if (!grown) {
		f->failed = true;
		return NULL;
	}
	f->failures = grown;
	struct top_failure *x = &grown[f->failure_count++];
	*x = (struct top_failure){
		.queue = q->index,
		.stream = q->stream,
		.group = q->group,
		.attempts = -1,
		.at_ms = -1,
		.due_in_ms = -1,
		.ago_ms = -1,
	};
	return x;
}

static int64_t ago(int64_t at_ms, int64_t now_ms)
{
	return at_ms < 0 ? -1 : now_ms > at_ms ? now_ms - at_ms : 0;
}

static const char *keep(struct top_frame *f, const char *text)
{
	return text ? top_keep(f, bytes_of(text)) : NULL;
}

/* ---- dead letters ---- */

/* New ones on top; what then is too many was the oldest. */
static void remember(struct top_memory *m, struct newest *n)
{
	if (n->anew)
		forget_letters(m);
	size_t fresh = n->count < TOP_FAILURE_ROWS ? n->count : TOP_FAILURE_ROWS;
	size_t kept = m->letter_count < TOP_FAILURE_ROWS - fresh ? m->letter_count : TOP_FAILURE_ROWS - fresh;
	for (size_t i = kept; i < m->letter_count; i++)
		letter_done(&m->letters[i]);
	memmove(m->letters + fresh, m->letters, kept * sizeof(*m->letters));
	for (size_t i = 0; i < fresh; i++) {
		m->letters[i] = n->rows[i];
		n->rows[i] = (struct newest_letter){ 0 };
	}
	m->letter_count = fresh + kept;
	m->dead = n->dead;
	m->done_count = n->done;
}

static bool read_letters(struct top_collector *c, struct top_frame *f, struct connection *connection,
			 struct top_queue *q)
{
	struct top_memory *m = &c->queues[q->index];
	struct newest n = { 0 };
	struct redis_error error = { 0 };
	int r = desk_newest(connection, &c->ctl->keys[q->index], m->letter_count ? m->letters[0].dead_id : "",
			    m->dead, TOP_FAILURE_ROWS, &n, &error);
	if (top_redis_failed(c, f, q, r, &error))
		return false;
	remember(m, &n);
	newest_done(&n);
	for (size_t i = 0; i < m->letter_count; i++) {
		const struct newest_letter *letter = &m->letters[i];
		struct top_failure *x = add_failure(f, q);
		if (!x)
			return false;
		int64_t at_ms = letter->at_ms >= 0
					? letter->at_ms
					: entry_id_time_ms(letter->dead_id, q->gauges.redis_now_ms);
		x->dead = true;
		x->dead_id = keep(f, letter->dead_id);
		x->id = keep(f, letter->id[0] ? letter->id : letter->dead_id);
		x->job = keep(f, letter->job);
		x->reason = keep(f, letter->reason);
		x->detail = keep(f, letter->detail);
		x->attempts = letter->attempts;
		x->at_ms = at_ms;
		x->ago_ms = ago(at_ms, q->gauges.redis_now_ms);
	}
	return true;
}

/* ---- parked entries ---- */

static struct top_known_job *known_job(struct top_memory *m, const char *id)
{
	for (size_t i = 0; i < m->job_count; i++) {
		if (strcmp(m->jobs[i].id, id) == 0)
			return &m->jobs[i];
	}
	return NULL;
}

/* A place for one more: a new one, or that of an entry that is not shown any more. */
static struct top_known_job *room_for_job(struct top_memory *m)
{
	if (m->job_count < TOP_FAILURE_ROWS)
		return &m->jobs[m->job_count++];
	for (size_t i = 0; i < m->job_count; i++) {
		if (!m->jobs[i].used)
			return &m->jobs[i];
	}
	return NULL;
}

/* By the entry's fields where the queue has several jobs: a few are looked up in each frame, the others have
 * no job yet. */
static const char *job_of(struct top_collector *c, struct connection *connection, const struct top_queue *q,
			  const char *id)
{
	const struct queue *queue = &c->ctl->config->queues[q->index];
	struct top_memory *m = &c->queues[q->index];
	if (ctl_single_job(queue))
		return queue->jobs[0]->name;
	struct top_known_job *known = known_job(m, id);
	if (!known && c->lookups < TOP_MOST_LOOKUPS) {
		struct explanation found = { 0 };
		struct redis_error error = { 0 };
		c->lookups++;
		if (desk_explain(connection, &c->ctl->keys[q->index], id, &found, &error) < 0)
			return NULL;
		known = room_for_job(m);
		const struct job *job =
			found.in_stream && found.entry.pair_count > 0 ? route_job(queue, &found.entry) : NULL;
		explanation_done(&found);
		if (known) {
			*known = (struct top_known_job){ .job = job ? job->name : NULL };
			memcpy(known->id, id, strlen(id) + 1);
		}
	}
	if (known)
		known->used = true;
	return known ? known->job : NULL;
}

static void read_parked_row(struct top_collector *c, struct top_frame *f, struct connection *connection,
			    const struct top_queue *q, const struct parked_row *row)
{
	struct top_failure *x = add_failure(f, q);
	if (!x)
		return;
	AUTO_NOTE note;
	note_read(&note, row->note);
	json_t *at = json_object_get(note.object, "at_ms");
	int64_t attempts = row->delivery - row->given;
	x->id = keep(f, row->id);
	x->job = job_of(c, connection, q, row->id);
	x->reason = keep(f, note.reason);
	x->detail = keep(f, note.detail);
	x->attempts = attempts > 0 ? attempts : 0;
	x->due_in_ms = row->due_ms > q->gauges.redis_now_ms ? row->due_ms - q->gauges.redis_now_ms : 0;
	x->at_ms = json_is_integer(at) && json_integer_value(at) >= 0 ? json_integer_value(at) : -1;
	x->ago_ms = ago(x->at_ms, q->gauges.redis_now_ms);
}

static bool read_parked(struct top_collector *c, struct top_frame *f, struct connection *connection,
			struct top_queue *q)
{
	struct top_memory *m = &c->queues[q->index];
	struct parked_page page = { 0 };
	struct redis_error error = { 0 };
	int r = desk_parked_page(connection, &c->ctl->keys[q->index], 0, TOP_FAILURE_ROWS, false, &page, &error);
	if (top_redis_failed(c, f, q, r, &error))
		return false;
	for (size_t i = 0; i < m->job_count; i++)
		m->jobs[i].used = false;
	for (size_t i = 0; i < page.count; i++) {
		if (page.rows[i].delivery > 0) /* else it is not pending any more */
			read_parked_row(c, f, connection, q, &page.rows[i]);
	}
	parked_page_done(&page);
	return true;
}

void top_collect_failures(struct top_collector *c, struct top_frame *f, struct connection *connection,
			  struct top_queue *q)
{
	if (read_letters(c, f, connection, q) && q->gauges.parked > 0)
		(void)read_parked(c, f, connection, q);
}

/* The latest first; what has no time comes last. */
static int compare(const void *left, const void *right)
{
	const struct top_failure *a = left, *b = right;
	if (a->at_ms != b->at_ms)
		return (a->at_ms < b->at_ms) - (a->at_ms > b->at_ms);
	if (a->queue != b->queue)
		return (a->queue > b->queue) - (a->queue < b->queue);
	return strverscmp(b->id, a->id);
}

void top_sort_failures(struct top_frame *f)
{
	if (f->failure_count > 0)
		qsort(f->failures, f->failure_count, sizeof(*f->failures), compare);
	if (f->failure_count > TOP_MOST_FAILURES)
		f->failure_count = TOP_MOST_FAILURES;
}
