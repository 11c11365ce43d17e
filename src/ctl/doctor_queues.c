/* `doctor`: the keys of each queue, who reads it, and whether something lies there that nobody will pick up.
 * Each question is answered by Redis in bounded time, however much there is. */
#include <errno.h>
#include <inttypes.h>

#include "ctl/doctor.h"
#include "ctl/figures.h"
#include "redis/trim.h"

enum {
	MANY_KEPT = 1000000,
	MANY_DEAD = 100000,
	MANY_EMPTY = 1000,
	STANDS_STILL_MS = 60 * 60 * 1000,
};

void doctor_types(struct doctor *d, size_t queue)
{
	const struct queue_keys *k = &d->ctl->keys[queue];
	const struct {
		const char *key, *type;
	} rows[] = {
		{ k->stream, "stream" }, { k->dead, "stream" }, { k->due, "zset" },      { k->given, "hash" },
		{ k->note, "hash" },     { k->hosts, "hash" },  { k->paused, "string" }, { k->later, "zset" },
		{ k->later_data, "hash" }, { k->promoted, "zset" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char type[16];
		struct redis_error error;
		if (inspect_type(d->redis, rows[i].key, type, &error) == 0 && strcmp(type, "none") != 0 &&
		    strcmp(type, rows[i].type) != 0)
			doctor_say(d, FINDING_ERROR, "somebody else uses that name: rename one of the two",
				   "%s is a %s, not a %s", rows[i].key, type, rows[i].type);
	}
}

/* 0 with the figures, which are looked at in one step. */
static int gauges(struct doctor *d, size_t queue, struct queue_gauges *ret)
{
	struct redis_error error;
	return admin_gauges(d->redis, &d->ctl->keys[queue], /* count_suspended: */ false, ret, &error);
}

/* ---- who reads it ---- */

static bool is_fresh(const char *text, int64_t now_ms)
{
	AUTO_JSON *host = json_parse(bytes_of(text ? text : ""));
	json_t *seen = json_object_get(host, "seen_ms"), *lease = json_object_get(host, "lease_ms");
	return json_is_integer(seen) && json_is_integer(lease) &&
	       now_ms - json_integer_value(seen) <= json_integer_value(lease);
}

static bool is_live(const struct host_texts *hosts, struct bytes name, int64_t now_ms)
{
	for (size_t i = 0; i < hosts->count; i++) {
		if (hosts->texts[2 * i] && bytes_eq(bytes_of(hosts->texts[2 * i]), name))
			return is_fresh(hosts->texts[2 * i + 1], now_ms);
	}
	return false;
}

static void look_at_hosts(struct doctor *d, const struct queue *q, const struct host_texts *hosts,
			  int64_t now_ms)
{
	size_t live = 0;
	for (size_t i = 0; i < hosts->count; i++) {
		bool fresh = is_fresh(hosts->texts[2 * i + 1], now_ms);
		live += fresh;
		if (!fresh)
			doctor_say(d, FINDING_WARNING,
				   "start it, or ignore this if that host is gone for good (its entries are "
				   "taken over)",
				   "%s/%s: the daemon %s has not been seen for longer than its lease",
				   q->stream, q->group, hosts->texts[2 * i] ? hosts->texts[2 * i] : "?");
	}
	if (live == 0)
		doctor_say(d, FINDING_WARNING, "start xackd", "%s/%s: no daemon reads it", q->stream,
			   q->group);
}

void doctor_group(struct doctor *d, size_t queue)
{
	const struct queue *q = &d->ctl->config->queues[queue];
	struct queue_gauges g;
	struct host_texts hosts = { 0 };
	struct redis_error error;
	if (gauges(d, queue, &g) < 0)
		return;
	if (!g.exists)
		doctor_say(d, FINDING_WARNING, "start xackd, which makes it", "%s/%s: there is no such group",
			   q->stream, q->group);
	if (g.paused)
		doctor_say(d, FINDING_WARNING, "xackctl resume", "%s/%s is paused", q->stream, q->group);
	if (inspect_hosts(d->redis, &d->ctl->keys[queue], &hosts, &error) < 0)
		return;
	look_at_hosts(d, q, &hosts, g.redis_now_ms);
	host_texts_done(&hosts);
}

/* ---- consumers ---- */

struct tally {
	int64_t dead, dead_entries, foreign, foreign_entries, empty;
	const char *a_dead, *a_foreign;
};

static void count(const struct consumer_list *l, const struct host_texts *hosts, int64_t lease_ms,
		  int64_t now_ms, struct tally *t)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct consumer_row *row = &l->rows[i];
		struct bytes host, worker;
		if (strcmp(row->name, XACKD_PARKED) == 0)
			continue;
		if (!ctl_consumer_parts(row->name, &host, &worker)) {
			t->foreign += row->pending > 0;
			t->foreign_entries += row->pending;
			t->a_foreign = row->pending > 0 ? row->name : t->a_foreign;
		} else if (!is_live(hosts, host, now_ms)) {
			bool holds = row->pending > 0 && row->idle_ms > lease_ms;
			t->dead += holds;
			t->dead_entries += holds ? row->pending : 0;
			t->a_dead = holds ? row->name : t->a_dead;
			t->empty += row->pending == 0;
		}
	}
}

static void drop_empty(struct doctor *d, size_t queue, const struct consumer_list *l,
		       const struct host_texts *hosts, const struct queue_gauges *g)
{
	int64_t dropped = 0;
	for (size_t i = 0; i < l->count; i++) {
		struct bytes host, worker;
		struct redis_error error;
		if (l->rows[i].pending == 0 && ctl_consumer_parts(l->rows[i].name, &host, &worker) &&
		    !is_live(hosts, host, g->redis_now_ms))
			dropped += admin_delete_consumer(d->redis, &d->ctl->keys[queue], l->rows[i].name, 0,
							 &error) == 0;
	}
	doctor_fixed(d, "%s/%s: %" PRId64 " consumers that held nothing were removed",
		     d->ctl->config->queues[queue].stream, d->ctl->config->queues[queue].group, dropped);
}

static void tell(struct doctor *d, size_t queue, const struct tally *t)
{
	const struct queue *q = &d->ctl->config->queues[queue];
	if (t->dead > 0)
		doctor_say(d, FINDING_ERROR, "start xackd on any host: it takes them over after the lease",
			   "%s/%s: %" PRId64 " dead consumers (as %s) hold %" PRId64 " entries", q->stream,
			   q->group, t->dead, t->a_dead, t->dead_entries);
	if (t->foreign > 0)
		doctor_say(d, FINDING_WARNING,
			   q->foreign == FOREIGN_LEAVE
				   ? "foreign: take lets xackd run what they leave lying"
				   : "stop them; what is stale xackd takes over after the lease",
			   "%s/%s: %" PRId64 " consumers that are not xackd's (as %s) hold %" PRId64
			   " entries",
			   q->stream, q->group, t->foreign, t->a_foreign, t->foreign_entries);
}

void doctor_consumers(struct doctor *d, size_t queue)
{
	const struct queue *q = &d->ctl->config->queues[queue];
	struct consumer_list list = { 0 };
	struct host_texts hosts = { 0 };
	struct queue_gauges g;
	struct redis_error error;
	struct tally t = { 0 };
	if (gauges(d, queue, &g) < 0 || !g.exists ||
	    inspect_hosts(d->redis, &d->ctl->keys[queue], &hosts, &error) < 0)
		return;
	if (admin_consumers(d->redis, &d->ctl->keys[queue], &list, &error) == 0) {
		count(&list, &hosts, q->lease_ms, g.redis_now_ms, &t);
		tell(d, queue, &t);
		if (t.empty > MANY_EMPTY && d->fix)
			drop_empty(d, queue, &list, &hosts, &g);
		else if (t.empty > MANY_EMPTY)
			doctor_say(d, FINDING_WARNING, "xackctl doctor --fix removes them",
				   "%s/%s: %" PRId64 " consumers of daemons that are gone hold nothing",
				   q->stream, q->group, t.empty);
		consumer_list_done(&list);
	}
	host_texts_done(&hosts);
}

/* ---- parked, sizes ---- */

static void rebuild(struct doctor *d, size_t queue)
{
	char cursor[ENTRY_ID_SIZE] = "-";
	int64_t all = 0;
	do {
		int64_t added = 0;
		struct redis_error error;
		if (admin_rebuild_due(d->redis, &d->ctl->keys[queue], cursor, &added, &error) < 0) {
			doctor_say(d, FINDING_ERROR, "see what Redis says", "due times cannot be given: %s",
				   error.text);
			return;
		}
		all += added;
	} while (strcmp(cursor, "-") != 0);
	doctor_fixed(d, "%s/%s: %" PRId64 " parked entries are due now", d->ctl->config->queues[queue].stream,
		     d->ctl->config->queues[queue].group, all);
}

void doctor_parked(struct doctor *d, size_t queue)
{
	const struct queue *q = &d->ctl->config->queues[queue];
	struct queue_gauges g;
	if (gauges(d, queue, &g) < 0)
		return;
	if (g.parked > g.due_count && d->fix)
		rebuild(d, queue);
	else if (g.parked > g.due_count)
		doctor_say(d, FINDING_ERROR,
			   "xackctl doctor --fix makes them due now (so does a daemon that runs)",
			   "%s/%s: %" PRId64 " parked entries have no due time", q->stream, q->group,
			   g.parked - g.due_count);
	if (g.due_count > g.pending)
		doctor_say(d, FINDING_WARNING,
			   "a daemon that runs names them (job.vanished): somebody acknowledged them, or "
			   "deleted the consumer xackd:parked",
			   "%s/%s: %" PRId64 " due times are of entries that are not pending", q->stream,
			   q->group, g.due_count - g.pending);
}

void doctor_later(struct doctor *d, size_t queue)
{
	enum { OVERDUE_MS = 15 * 1000 };
	const struct queue *q = &d->ctl->config->queues[queue];
	struct queue_gauges g;
	if (gauges(d, queue, &g) < 0)
		return;
	if (g.next_later_in_ms < -OVERDUE_MS)
		doctor_say(d, FINDING_ERROR,
			   "start xackd on any host; if it runs, its log says what keeps it (redis.error)",
			   "%s: of %" PRId64 " delayed entries the first has been due for %" PRId64
			   " s, and nobody lets it run",
			   q->stream, g.later, -g.next_later_in_ms / 1000);
	if (g.later >= 0 && g.later_data > g.later)
		doctor_say(d, FINDING_ERROR, "a daemon that runs gives them back",
			   "%s: %" PRId64 " delayed entries have lost their due times", q->stream,
			   g.later_data - g.later);
}

void doctor_sizes(struct doctor *d, size_t queue)
{
	const struct queue *q = &d->ctl->config->queues[queue];
	struct queue_gauges g;
	if (gauges(d, queue, &g) < 0)
		return;
	int64_t waiting = figures_waiting(q, &g), kept = waiting < 0 ? 0 : g.length - waiting - g.pending;
	if (kept >= MANY_KEPT && q->retain.kind == RETAIN_ALL)
		doctor_say(d, FINDING_WARNING, "xackctl trim, or retain in the configuration (retain: all keeps them)",
			   "%s: %" PRId64 " entries that are done lie in the stream", q->stream, kept);
	if (g.dead >= MANY_DEAD)
		doctor_say(d, FINDING_WARNING,
			   "xackctl dead requeue or purge (dead export keeps a copy); dead.maxlen caps them",
			   "%s/%s: %" PRId64 " dead letters", q->stream, q->group, g.dead);
}

/* Another group that has not moved for long: what it has not acknowledged stays, and all behind it. */
void doctor_retain(struct doctor *d, size_t queue)
{
	const struct config *c = d->ctl->config;
	const struct queue *q = &c->queues[queue];
	const struct retain_rule done = { .kind = RETAIN_ACKED };
	const struct trim_order order = { &done, c->queues, c->queue_count, 1 };
	char cursor[ENTRY_ID_SIZE] = "-";
	struct trim_answer a;
	struct redis_error error;
	if (q->retain.kind == RETAIN_ALL || trim_count(d->redis, &d->ctl->keys[queue], &order, cursor, 0, &a, &error) < 0 ||
	    a.state != TRIM_DONE || !a.held || strcmp(a.group, q->group) == 0 ||
	    (q->retain.kind == RETAIN_MAXLEN && a.length <= q->retain.value))
		return;
	int64_t age_ms = figures_age_ms(a.floor, a.redis_now_ms);
	if (age_ms >= 0 && age_ms < (q->retain.kind == RETAIN_AGE ? q->retain.value : 0) + STANDS_STILL_MS)
		return;
	doctor_say(d, FINDING_WARNING,
		   "see to whoever reads that group; if nobody does any more: XGROUP DESTROY",
		   "%s: retain cannot trim it: the group %s has not acknowledged %s%s%s", q->stream, a.group, a.floor,
		   a.pending ? ", held by " : " (not read yet)", a.pending ? a.consumer : "");
}
