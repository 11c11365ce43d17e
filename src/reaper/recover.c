/* Recovery: what dead workers held (at once), what an earlier life of this host held (at its start), and what is idle longer than the lease (the
 * sweep and the look at single consumers). All of it only parks: the worker that takes an entry knows its job and buries it if its attempts are
 * used up. */
#include "reaper/state.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/killpoint.h"

enum {
	GRAVE_AGAIN_MS = 1000,
	GRAVE_WATCH_MS = 10 * 1000, /* CLIENT KILL is denied: a read in the socket of the dead may still be executed */
	JANITOR_EVERY_MS = 60 * 1000,
	CONSUMER_IDLE_MS = 60 * 60 * 1000,
};

/* ---- events ---- */

static bool of_this_host(const struct reaper *r, const char *consumer)
{
	size_t n = strlen(r->row.name);
	return strncmp(consumer, r->row.name, n) == 0 && consumer[n] == '/';
}

static bool of_our_form(const char *consumer)
{
	int slashes = 0;
	for (const char *c = consumer; *c; c++)
		slashes += *c == '/';
	const char *last = strrchr(consumer, '/');
	return slashes == 3 && last && strlen(last + 1) == 16;
}

static enum tally_recovery why_silent(const struct reaper *r, const char *consumer)
{
	if (!of_our_form(consumer))
		return TALLY_FOREIGN;
	return of_this_host(r, consumer) ? TALLY_WORKER_DIED : TALLY_HOST_LOST;
}

/* Of several that one process had been given, each may have been worked on. Which of them the worker dies by is not known: only the oldest,
 * which its slot names, loses the attempt. */
static bool was_given_to_a_process(const struct reaper *r, const struct reaped_queue *q, const struct dead_worker *d)
{
	if (!d || !d->run.id[0] || !reaper_same_queue(&d->run, q))
		return false;
	const struct job *job = config_job(r->o.config, d->run.job_name);
	return job && job->mode != MODE_EXEC;
}

static void say_released(struct reaper *r, struct reaped_queue *q, const struct recovered *e, enum tally_recovery why, const struct dead_worker *d,
			 const struct event_about *about)
{
	const char *detail = NULL;

	if (d && slot_done_has(&d->done, e->id))
		detail = "it had succeeded, but that could not be settled: it runs again as the same attempt";
	else if (was_given_to_a_process(r, q, d))
		detail = "its process had been given it and had not answered: it may have run, and runs again as the same attempt";
	if (detail) {
		tally_add(&q->state->tally.recovered[why], 1);
		event(r->o.log, JOB_RECOVERED, about, F_TEXT("from", e->from), F_I64("idle_ms", e->idle_ms), F_TEXT("why", tally_recovery_name(why)),
		      F_I64("delivery", e->delivery), F_TEXT("detail", detail));
	} else {
		event(r->o.log, JOB_RELEASED, about, F_TEXT("from", e->from), F_TEXT("why", "delivered, but not what its worker was running"));
	}
}

/* d: the dead worker that held it; NULL: found by its silence. */
static void say_recovered(struct reaper *r, struct reaped_queue *q, const struct recovered *e, const struct dead_worker *d)
{
	struct event_about about = reaper_about(q, e->id);
	enum tally_recovery why = !d ? why_silent(r, e->from) : d->earlier_life ? TALLY_EARLIER_LIFE : TALLY_WORKER_DIED;

	if (d && d->run.job_name[0] && strcmp(d->run.id, e->id) == 0)
		about.job = d->run.job_name;
	about.attempt = e->attempt;
	switch (e->kind) {
	case RECOVERED_PARKED:
		tally_add(&q->state->tally.recovered[why], 1);
		event(r->o.log, JOB_RECOVERED, &about, F_TEXT("from", e->from), F_I64("idle_ms", e->idle_ms),
		      F_TEXT("why", tally_recovery_name(why)), F_I64("delivery", e->delivery));
		break;
	case RECOVERED_RELEASED:
		say_released(r, q, e, why, d, &about);
		break;
	case RECOVERED_BURIED:
		tally_add(&q->state->tally.dead[REASON_PAYLOAD_GONE], 1);
		atomic_fetch_add(&board_header(r->board)->reaper_dead, 1);
		event(r->o.log, JOB_DEAD, &about, F_TEXT("reason", "payload_gone"),
		      F_TEXT("detail", "the entry was deleted or trimmed while it was pending"), F_I64("attempts", e->attempt),
		      F_TEXT("dead_id", e->dead_id));
		break;
	}
}

static void say_all(struct reaper *r, struct reaped_queue *q, const struct recovered_list *l, const struct dead_worker *d)
{
	bool some = false;

	for (size_t i = 0; i < l->count; i++) {
		say_recovered(r, q, &l->rows[i], d);
		some = some || l->rows[i].kind != RECOVERED_BURIED;
	}
	if (some)
		reaper_due_now(q);
}

/* ---- dead workers ---- */

static bool kill_connection(struct reaper *r, struct grave *g, int64_t now)
{
	const struct slot_identity *id = &g->dead.identity;
	struct redis_error error;

	if (connection_facts(r->conn)->client_id <= 0 && !g->connection_killed)
		g->again_until_mono_ms = now + GRAVE_WATCH_MS; /* CLIENT ID is denied: nobody's is known */
	if (g->connection_killed || id->client_id <= 0 || strcmp(id->run_id, connection_facts(r->conn)->run_id) != 0) {
		g->connection_killed = true; /* there is none on this Redis */
		return true;
	}
	KILL_POINT("reap_kill.before");
	int failed = admin_kill_client(r->conn, id->client_id, &error);
	KILL_POINT("reap_kill.after");
	if (failed == -EIO)
		return false;
	g->connection_killed = true;
	if (failed < 0)
		g->again_until_mono_ms = now + GRAVE_WATCH_MS;
	return true;
}

bool reaper_same_queue(const struct slot_run *run, const struct reaped_queue *q)
{
	return run->queue >= 0 && strcmp(run->stream, q->def->stream) == 0 && strcmp(run->group, q->def->group) == 0;
}

/* False: the connection is gone. */
static bool reap_from(struct reaper *r, struct reaped_queue *q, const struct dead_worker *d, bool first)
{
	struct held_id ran = { .delivery = d->run.delivery };
	bool here = d->crashed && reaper_same_queue(&d->run, q);
	/* Died before it could say what it held: then it counts, or an entry that kills whoever reads it would come back for ever. */
	bool all_ran = d->crashed && d->run.queue < 0 && first;
	bool more = true;

	memcpy(ran.id, d->run.id, sizeof(ran.id));
	while (more) {
		struct recovered_list list = { 0 };
		struct redis_error error;
		KILL_POINT_IF(first, "reap.before");
		if (admin_reap_consumer(r->conn, &q->keys, d->identity.consumer, r->row.name, &ran, here ? 1 : 0, all_ran, &list, &error) < 0) {
			if (reaper_failed(r, q, &error))
				return false;
			return true;
		}
		KILL_POINT_IF(first, "reap.after");
		reaper_note_now(r, list.redis_now_ms);
		say_all(r, q, &list, d);
		more = list.more;
		recovered_list_done(&list);
	}
	return true;
}

/* The group may be another one than that which it ran this from, and nobody else knows of it. Asked once, before its name is deleted: where that
 * is absent later, it is no sign of another group. False: the connection is gone. */
static bool put_back_run(struct reaper *r, struct reaped_queue *q, struct dead_worker *d)
{
	AUTO_COMMAND cmd = { 0 };
	struct redisReply *reply = NULL;
	struct redis_error error = { .reaction = REACT_NONE };

	if (d->put_back || !d->run.id[0] || !reaper_same_queue(&d->run, q))
		return true;
	queue_build_put_back(&cmd, &q->keys, d->identity.consumer, false);
	queue_add_put_back(&cmd, d->run.id, d->run.delivery);
	int failed = connection_call(r->conn, &cmd, CONNECTION_DEFAULT_TIMEOUT, &reply, &error);
	if (failed < 0 && error.reaction == REACT_GROUP && !reaper_failed(r, q, &error)) /* it makes the group */
		failed = connection_call(r->conn, &cmd, CONNECTION_DEFAULT_TIMEOUT, &reply, &error);
	if (failed < 0)
		return !reaper_failed(r, q, &error);
	connection_free_reply(reply);
	d->put_back = true;
	return true;
}

static bool bury_one(struct reaper *r, struct grave *g, int64_t now)
{
	if (!kill_connection(r, g, now))
		return false;
	for (size_t i = 0; i < r->queue_count; i++) {
		struct reaped_queue *q = r->queues[i];
		if (!g->dead.everywhere && strcmp(q->pool, g->dead.identity.pool) != 0 && !reaper_same_queue(&g->dead.run, q))
			continue;
		if (!put_back_run(r, q, &g->dead) || !reap_from(r, q, &g->dead, !g->reported) ||
		    !reaper_free_slots(r, q, g->dead.identity.consumer))
			return false;
	}
	g->reported = true;
	g->next_mono_ms = now + GRAVE_AGAIN_MS;
	return true;
}

void reaper_bury_dead(struct reaper *r, int64_t now)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->grave_count; i++) {
		struct grave *g = &r->graves[i];
		if (reaper_ready(r) && now >= g->next_mono_ms)
			(void)bury_one(r, g, now);
		if (!g->reported || now < g->again_until_mono_ms)
			r->graves[kept++] = *g;
	}
	r->grave_count = kept;
}

bool reaper_all_released(const struct reaper *r)
{
	for (size_t i = 0; i < r->grave_count; i++) {
		if (!r->graves[i].reported)
			return false;
	}
	return true;
}

int64_t reaper_graves_wake(const struct reaper *r)
{
	int64_t wake = INT64_MAX;
	for (size_t i = 0; i < r->grave_count; i++) {
		if (r->graves[i].next_mono_ms < wake)
			wake = r->graves[i].next_mono_ms;
	}
	return wake;
}

/* ---- an earlier life of this host ---- */

static const struct dead_worker *known(const struct reaper *r, const char *consumer)
{
	for (size_t i = 0; i < r->earlier_count; i++) {
		if (strcmp(r->earlier[i].identity.consumer, consumer) == 0)
			return &r->earlier[i];
	}
	return NULL;
}

/* Consumers of this name, all dead: both locks are held, and no worker of this life has read it yet. */
void reaper_earlier_life(struct reaper *r, struct reaped_queue *q)
{
	struct consumer_list list = { 0 };
	struct redis_error error;

	if (!r->o.earlier_life_over || q->prepared)
		return;
	for (size_t i = 0; i < r->earlier_count; i++) {
		if (!put_back_run(r, q, &r->earlier[i]))
			return;
	}
	if (admin_consumers(r->conn, &q->keys, &list, &error) < 0) {
		(void)reaper_failed(r, q, &error);
		return;
	}
	for (size_t i = 0; i < list.count && reaper_ready(r); i++) {
		const char *name = list.rows[i].name;
		if (!of_this_host(r, name) || !of_our_form(name))
			continue;
		const struct dead_worker *d = known(r, name);
		struct dead_worker unknown = { .crashed = !r->o.earlier_orderly, .earlier_life = true };
		unknown.run.queue = -1;
		snprintf(unknown.identity.consumer, sizeof(unknown.identity.consumer), "%s", name);
		(void)reap_from(r, q, d ? d : &unknown, true);
	}
	consumer_list_done(&list);
	char host[80];
	snprintf(host, sizeof(host), "%s/", r->row.name);
	if (reaper_ready(r))
		(void)reaper_free_slots(r, q, host);
}

/* ---- the lease ---- */

static void swept(struct reaper *r, struct reaped_queue *q, struct recovered_list *list, int64_t now)
{
	reaper_note_now(r, list->redis_now_ms);
	if (list->late) /* Redis or we were frozen, or its clock was set: the owners come first */
		q->quiet_until_mono_ms = now + q->longest_lease_ms / 2;
	say_all(r, q, list, NULL);
	recovered_list_done(list);
}

/* Whether others' entries are to be left alone for now. Any call before this one may be what hung while Redis was frozen. */
static bool owners_come_first(struct reaper *r, struct reaped_queue *q)
{
	reaper_note_delay(r);
	return clock_mono_ms() < q->quiet_until_mono_ms;
}

static void sweep_step(struct reaper *r, struct reaped_queue *q, int64_t now)
{
	struct recovered_list list = { 0 };
	struct redis_error error;

	KILL_POINT("sweep.before");
	if (owners_come_first(r, q))
		return;
	if (admin_sweep(r->conn, &q->keys, r->row.name, q->longest_lease_ms, q->def->foreign == FOREIGN_TAKE, q->sweep_cursor,
			reaper_expected_now(r), &list, &error) < 0) {
		(void)reaper_failed(r, q, &error);
		return;
	}
	KILL_POINT("sweep.after");
	memcpy(q->sweep_cursor, list.cursor, sizeof(q->sweep_cursor));
	swept(r, q, &list, now);
}

static void look_at_consumers(struct reaper *r, struct reaped_queue *q, int64_t now)
{
	struct consumer_list list = { 0 };
	struct redis_error error;

	if (admin_consumers(r->conn, &q->keys, &list, &error) < 0) {
		(void)reaper_failed(r, q, &error);
		return;
	}
	for (size_t i = 0; i < list.count && reaper_ready(r); i++) {
		const struct consumer_row *c = &list.rows[i];
		struct recovered_list found = { 0 };
		if (strcmp(c->name, XACKD_PARKED) == 0)
			continue;
		if (c->pending == 0) {
			if (of_our_form(c->name) && c->idle_ms > CONSUMER_IDLE_MS &&
			    admin_delete_consumer(r->conn, &q->keys, c->name, CONSUMER_IDLE_MS, &error) < 0)
				(void)reaper_failed(r, q, &error);
			continue;
		}
		KILL_POINT("sweep_one.before");
		if (owners_come_first(r, q))
			break;
		if (admin_sweep_consumer(r->conn, &q->keys, r->row.name, q->longest_lease_ms, q->def->foreign == FOREIGN_TAKE, c->name,
					 reaper_expected_now(r), &found, &error) < 0)
			(void)reaper_failed(r, q, &error);
		else
			swept(r, q, &found, now);
		KILL_POINT("sweep_one.after");
	}
	consumer_list_done(&list);
}

static void janitor(struct reaper *r, struct reaped_queue *q, int64_t now)
{
	struct redis_error error;
	int64_t removed = 0;

	q->janitor_mono_ms = now + JANITOR_EVERY_MS;
	KILL_POINT("janitor.before");
	if (admin_janitor(r->conn, &q->keys, &q->janitor_cursor, &removed, &error) < 0)
		(void)reaper_failed(r, q, &error);
	KILL_POINT("janitor.after");
}

/* Never a time at which reaper_sweep would do nothing: else the thread would turn without a rest until it does. */
int64_t reaper_sweep_wake(const struct reaped_queue *q)
{
	int64_t at = q->sweep_mono_ms;

	if (q->gauges.pending == 0)
		return INT64_MAX;
	if (q->gauges.pending > q->gauges.parked && q->silent_mono_ms < at)
		at = q->silent_mono_ms;
	return at > q->quiet_until_mono_ms ? at : q->quiet_until_mono_ms;
}

void reaper_sweep(struct reaper *r, struct reaped_queue *q, int64_t now)
{
	/* A spread of a tenth, so that hosts that started together do not look together. */
	int64_t quarter = q->longest_lease_ms / 4 + (q->longest_lease_ms / 40) * (r->row.pid % 5) / 5;

	if (now >= q->janitor_mono_ms)
		janitor(r, q, now);
	if (q->gauges.pending == 0 || now < q->quiet_until_mono_ms || !reaper_ready(r))
		return;
	if (q->gauges.pending > q->gauges.parked && now >= q->silent_mono_ms) {
		q->silent_mono_ms = now + quarter;
		look_at_consumers(r, q, now);
	}
	if (reaper_ready(r) && now >= q->sweep_mono_ms) {
		q->sweep_mono_ms = now + (quarter < REAPER_TICK_MS ? quarter : REAPER_TICK_MS);
		sweep_step(r, q, now);
	}
}
