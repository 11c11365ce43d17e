/* The link to Redis: driven by the worker's loop, reconnected with jitter, and after each reconnect put right in this order: the old
 * connection is killed (nothing of it may be executed late), the outcome in our hands is settled, the lease renewed, and what Redis holds
 * under our name without our knowing (replies lost on the way) is given back. Only then is anything fetched. */
#include "worker/state.h"

#include <errno.h>

#include <stdio.h>

#include "base/clock.h"
#include "base/killpoint.h"
#include "domain/backoff.h"

enum {
	RECONNECT_BASE_MS = 50,
	RECONNECT_CAP_MS = 10 * 1000,
	RECONNECT_LOOK_MS = 500, /* has the reaper reached Redis meanwhile? It tries more often than all the workers of a host should */
	REFUSAL_BASE_MS = 100,
	OPERATOR_WAIT_MS = 5 * 1000, /* someone must change something: no hurry, but not long after they did */
	REREADS_IN_A_ROW = 3,
};

static bool holding(const struct worker *w)
{
	return w->run->stage != RUN_NONE || w->acks.count > 0 || window_busy(w);
}

static int64_t lease_of(const struct worker *w)
{
	const struct run *r = w->run->stage != RUN_NONE ? w->run : w->acks.count > 0 ? &w->acks.runs[0] : w->window.runs;
	return holding(w) ? r->queue->def->lease_ms : 0;
}

/* While an entry is held nothing may take so long that its lease cannot be renewed in time: an answer is waited for a quarter of it, and a
 * pause is an eighth at most, so that after an outage both fit into the half that the reapers wait for the owners. */
static int64_t bounded(const struct worker *w, int64_t wait_ms)
{
	int64_t limit = holding(w) ? lease_of(w) / 8 : 0;
	return limit > 0 && wait_ms > limit ? limit : wait_ms;
}

static void retry_in(struct worker *w, int64_t wait_ms)
{
	wait_ms = bounded(w, wait_ms);
	ev_timer_stop(w->loop, &w->retry);
	ev_now_update(w->loop);
	ev_timer_set(&w->retry, (double)wait_ms / 1000.0, 0.);
	ev_timer_start(w->loop, &w->retry);
	w->retry_wanted = true;
}

static void wait_down(struct worker *w)
{
	int64_t left = w->connect_mono_ms - clock_mono_ms();
	retry_in(w, left < 1 ? 1 : left > RECONNECT_LOOK_MS ? RECONNECT_LOOK_MS : left);
}

/* The time to connect has not come, and nobody of this host has reached Redis since we lost it. */
static bool wait_on(struct worker *w)
{
	struct board_header *h = board_header(w->board);

	if (clock_mono_ms() >= w->connect_mono_ms ||
	    (atomic_load(&h->redis_connected) && atomic_load(&h->redis_since_mono_ms) > w->down_mono_ms))
		return false;
	wait_down(w);
	return true;
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct worker *w = timer->data;
	(void)loop;
	(void)events;
	w->retry_wanted = false;
	if (connection_state(w->conn) == CONNECTION_DOWN && wait_on(w))
		return;
	KILL_POINT_IF(w->ever_ready && connection_state(w->conn) == CONNECTION_DOWN, "reconnect.before");
	if (connection_state(w->conn) == CONNECTION_DOWN)
		connection_start(w->conn);
	worker_step(w);
}

/* Said once for each change of state. What concerns the whole host is said by the reaper: here only what a person must mend, or
 * nobody foresaw, is louder than debug. */
static void say_error(struct worker *w, const struct redis_error *error, enum event_id id)
{
	if (strcmp(w->last_error, error->text) == 0)
		return;
	snprintf(w->last_error, sizeof(w->last_error), "%s", error->text);
	bool loud = id == REDIS_ERROR && (error->reaction == REACT_OPERATOR || error->reaction == REACT_UNKNOWN);
	struct event_about about = speak_about(w, w->run->stage == RUN_NONE ? NULL : w->run);
	event_at(w->log, id, loud ? EVENT_ERROR : EVENT_DEBUG, &about, F_TEXT("why", error->text), F_TEXT("advice", error->advice));
}

void link_say(struct worker *w, const struct redis_error *error)
{
	say_error(w, error, REDIS_ERROR);
}

/* An answer was larger than what this process may have. What it brought is given back for a while (on_mine), so that others have their turn. */
static void starve(struct worker *w, const struct redis_error *error)
{
	if (w->starved)
		return;
	w->starved = true;
	event(w->log, DAEMON_WARNING, (&(struct event_about){ .worker = w->name, .pid = getpid() }), F_TEXT("why", error->text),
	      F_TEXT("advice", error->advice));
}

static int64_t aside_ms(const struct worker *w)
{
	return w->starved ? SUSPEND_PARK_MS : 0;
}

static void went_down(struct worker *w, const struct redis_error *error)
{
	const struct connection_facts *facts = connection_facts(w->conn);

	ev_io_stop(w->loop, &w->io);
	if (facts->client_id > 0) {
		w->old_client_id = facts->client_id;
		snprintf(w->old_run_id, sizeof(w->old_run_id), "%s", facts->run_id);
	}
	slot_set_client(w->slot, 0, "");
	w->requests = 0;
	w->link_epoch++;
	w->recover = RECOVER_KILL;
	w->recover_queue = 0;
	w->asked_count = 0;
	w->asked_queue = NULL;
	w->look = false;
	w->look_left = 0;
	entry_list_done(&w->surplus); /* still pending under our name: found and given back after the reconnect */
	w->surplus_put_back = false;
	entry_list_done(&w->ahead);
	acks_down(w);
	w->read_more = false;
	w->window.renew_due = window_busy(w);
	if (w->run->stage == RUN_SETTLING && w->run->sent)
		w->run->resent = true;
	if (error && error->reaction == REACT_BACK_OFF)
		starve(w, error);
	else if (error)
		say_error(w, error, error->reaction == REACT_OPERATOR ? REDIS_ERROR : REDIS_LOST);
	int64_t wait = error && error->reaction == REACT_OPERATOR ?
			       OPERATOR_WAIT_MS :
			       backoff_full_jitter_ms(RECONNECT_BASE_MS, RECONNECT_CAP_MS, ++w->link_failures, worker_random());
	w->down_mono_ms = clock_mono_ms();
	w->connect_mono_ms = w->down_mono_ms + bounded(w, wait);
	wait_down(w);
}

static void on_state(void *user, enum connection_state state, const struct redis_error *error)
{
	struct worker *w = user;

	if (state == CONNECTION_DOWN) {
		went_down(w, error);
	} else if (state == CONNECTION_READY) {
		const struct connection_facts *facts = connection_facts(w->conn);
		KILL_POINT_IF(w->ever_ready, "reconnect.after");
		w->link_failures = 0;
		w->last_error[0] = '\0';
		slot_set_client(w->slot, facts->client_id, facts->run_id);
		if (!w->ever_ready)
			w->recover = RECOVER_DONE; /* a name that no one ever used holds nothing */
		else
			atomic_fetch_add(&w->slot->counters.reconnects, 1);
		w->ever_ready = true;
		event_at(w->log, REDIS_CONNECTED, EVENT_DEBUG, (&(struct event_about){ .worker = w->name, .pid = getpid() }),
			 F_I64("client_id", facts->client_id), F_TEXT("version", facts->version));
	}
	worker_step(w);
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
	struct worker *w = io->data;
	(void)loop;
	connection_handle_io(w->conn, events & EV_READ, events & EV_WRITE);
	worker_step(w);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct worker *w = timer->data;
	(void)loop;
	(void)events;
	connection_handle_time(w->conn);
	worker_step(w);
}

static void watch_descriptor(struct worker *w)
{
	int fd = connection_fd(w->conn);
	int events = EV_READ | (fd >= 0 && connection_wants_write(w->conn) ? EV_WRITE : 0);

	if (fd < 0) {
		ev_io_stop(w->loop, &w->io);
		return;
	}
	if (ev_is_active(&w->io) && w->io.fd == fd && (w->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(w->loop, &w->io);
	ev_io_set(&w->io, fd, events);
	ev_io_start(w->loop, &w->io);
}

void link_watch(struct worker *w)
{
	watch_descriptor(w);
	int64_t deadline = connection_deadline_mono_ms(w->conn);
	if (deadline < 0) {
		ev_timer_stop(w->loop, &w->deadline);
		return;
	}
	int64_t wait = deadline - clock_mono_ms();
	/* A later wake-up than needed is not set anew for each command: at worst the timer fires once for nothing. */
	if (ev_is_active(&w->deadline)) {
		int64_t left = (int64_t)(ev_timer_remaining(w->loop, &w->deadline) * 1000.0);
		if (left <= wait + 1 && left >= wait - 1000)
			return;
	}
	ev_timer_stop(w->loop, &w->deadline);
	ev_timer_set(&w->deadline, wait > 0 ? (double)wait / 1000.0 + 0.001 : 0., 0.);
	ev_timer_start(w->loop, &w->deadline);
}

int link_init(struct worker *w)
{
	w->conn = connection_new(&w->config->redis, w->consumer, on_state, w);
	if (!w->conn)
		return -ENOMEM;
	ev_init(&w->io, on_io);
	ev_init(&w->deadline, on_deadline);
	ev_init(&w->retry, on_retry);
	w->io.data = w->deadline.data = w->retry.data = w;
	connection_start(w->conn);
	return 0;
}

void link_done(struct worker *w)
{
	if (w->loop) {
		ev_io_stop(w->loop, &w->io);
		ev_timer_stop(w->loop, &w->deadline);
		ev_timer_stop(w->loop, &w->retry);
	}
	connection_free(TAKE(w->conn));
}

bool link_ready(const struct worker *w)
{
	return w->conn && connection_state(w->conn) == CONNECTION_READY;
}

void link_hold(struct worker *w, bool hold)
{
	connection_limit_waits(w->conn, hold ? lease_of(w) / 4 : 0);
}

void link_ask(struct worker *w, int64_t timeout_ms, bool flush, connection_reply_fn *fn, void *user)
{
	w->requests++;
	connection_send(w->conn, &w->cmd, timeout_ms, flush, fn, user);
}

bool link_answered(struct worker *w, const struct redisReply *reply)
{
	if (w->requests > 0)
		w->requests--;
	return reply != NULL;
}

void link_good(struct worker *w)
{
	w->refusals = 0;
	w->last_error[0] = '\0';
}

static void back_off(struct worker *w)
{
	retry_in(w, backoff_full_jitter_ms(REFUSAL_BASE_MS, RECONNECT_CAP_MS, ++w->refusals, worker_random()));
}

void link_refused(struct worker *w, const struct redis_error *error, struct work_queue *queue)
{
	switch (error->reaction) {
	case REACT_NONE:
	case REACT_COUNT:
		return;
	case REACT_RECONNECT:
		if (connection_state(w->conn) != CONNECTION_DOWN)
			connection_drop(w->conn, error->text);
		return;
	case REACT_RESEND:
	case REACT_REREAD:
		if (++w->refusals > REREADS_IN_A_ROW)
			back_off(w);
		return;
	case REACT_GROUP:
		w->group_wanted = queue ? queue : &w->queues[0];
		if (++w->refusals > REREADS_IN_A_ROW)
			back_off(w);
		return;
	case REACT_OPERATOR:
		say_error(w, error, REDIS_ERROR);
		retry_in(w, OPERATOR_WAIT_MS);
		return;
	case REACT_BACK_OFF:
	case REACT_FOLLOW:
	case REACT_UNKNOWN:
		say_error(w, error, REDIS_ERROR);
		back_off(w);
		return;
	}
}

void link_refuse_queue(struct worker *w, const struct redis_error *error, struct work_queue *queue)
{
	say_error(w, error, REDIS_ERROR);
	queue->refused_until_mono_ms = clock_mono_ms() + OPERATOR_WAIT_MS;
}

/* ---- recovery ---- */

static void on_killed(void *user, struct redisReply *reply)
{
	struct worker *w = user;

	if (!link_answered(w, reply))
		return;
	KILL_POINT("kill_old.after");
	w->recover = RECOVER_ACK; /* refused by ACL: the reaper and the lease guard against what it may still deliver */
	worker_step(w);
}

static bool kill_old_connection(struct worker *w)
{
	const struct connection_facts *facts = connection_facts(w->conn);
	if (w->old_client_id <= 0 || w->old_client_id == facts->client_id || strcmp(w->old_run_id, facts->run_id) != 0)
		return false;
	KILL_POINT("kill_old.before");
	queue_build_kill_client(&w->cmd, w->old_client_id);
	w->old_client_id = 0;
	link_ask(w, CONNECTION_DEFAULT_TIMEOUT, true, on_killed, w);
	return true;
}

static void next_recover_queue(struct worker *w)
{
	if (++w->recover_queue >= w->queue_count)
		w->recover = RECOVER_DONE;
}

static void on_given_back(void *user, struct redisReply *reply)
{
	struct worker *w = user;
	struct redis_error error;
	int64_t count = 0;

	if (!link_answered(w, reply))
		return;
	KILL_POINT("release_mine.after");
	if (queue_parse_count(reply, &count, &error) < 0) {
		link_refused(w, &error, &w->queues[w->recover_queue]);
	} else if (count == 0) {
		next_recover_queue(w);
	} else {
		atomic_fetch_add(&w->slot->counters.released, (uint64_t)count);
		fetch_tell_due(w, &w->queues[w->recover_queue], aside_ms(w));
	}
	worker_step(w); /* the same queue is looked at again until nothing unknown is left in it */
}

static bool lists(const struct entry_list *l, const struct work_queue *q, const char *id)
{
	for (size_t i = 0; i < l->count; i++) {
		if (l->entries[i].queue == q->index && strcmp(l->entries[i].id, id) == 0)
			return true;
	}
	return false;
}

static bool held(const struct worker *w, const struct work_queue *q, const char *id)
{
	return (w->run->stage != RUN_NONE && w->run->queue == q && strcmp(w->run->entry.id, id) == 0) ||
	       acks_hold(w, q, id) || window_hold(w, q, id) || lists(&w->ahead, q, id) || lists(&w->surplus, q, id);
}

static void on_reacknowledged(void *user, struct redisReply *reply)
{
	struct worker *w = user;
	KILL_POINT_IF(reply, "reack.after");
	if (link_answered(w, reply))
		worker_step(w);
}

static void reacknowledge(struct worker *w, struct work_queue *q, const struct held_id *id)
{
	struct settle s = { .kind = SETTLE_ACK, .id = id->id, .delivery = id->delivery };
	KILL_POINT("reack.before");
	queue_build_settle(&w->cmd, &q->keys, w->consumer, &s);
	link_ask(w, CONNECTION_DEFAULT_TIMEOUT, true, on_reacknowledged, w);
}

static void on_mine(void *user, struct redisReply *reply)
{
	struct worker *w = user;
	struct work_queue *q = &w->queues[w->recover_queue];
	struct held_list list = { 0 };
	struct redis_error error;
	size_t unknown = 0;

	if (!link_answered(w, reply))
		return;
	if (queue_parse_mine(reply, &list, &error) < 0) {
		if (error.reaction == REACT_OPERATOR) {
			link_refuse_queue(w, &error, q);
			next_recover_queue(w);
		} else {
			link_refused(w, &error, q);
		}
		worker_step(w);
		return;
	}
	KILL_POINT("mine.after");
	link_good(w);
	for (size_t i = 0; i < list.count; i++) {
		if (held(w, q, list.ids[i].id))
			continue;
		if (acks_remember(w, q, &list.ids[i])) {
			reacknowledge(w, q, &list.ids[i]); /* Redis lost the acknowledgement, not we */
			held_list_done(&list);
			return;
		}
		list.ids[unknown++] = list.ids[i];
	}
	if (unknown > 0) {
		KILL_POINT("release_mine.before");
		queue_build_release(&w->cmd, &q->keys, w->consumer, w->config->name, aside_ms(w), list.ids, unknown);
		link_ask(w, CONNECTION_DEFAULT_TIMEOUT, true, on_given_back, w);
	} else {
		next_recover_queue(w);
	}
	held_list_done(&list);
	worker_step(w);
}

bool link_recover(struct worker *w)
{
	switch (w->recover) {
	case RECOVER_KILL:
		if (kill_old_connection(w))
			return false;
		w->recover = RECOVER_ACK;
		FALLTHROUGH;
	case RECOVER_ACK:
		if (w->group_wanted) {
			fetch_make_group(w);
			return false;
		}
		if (acks_again(w))
			return false;
		if (w->run->stage == RUN_SETTLING) {
			settle_send(w, w->run);
			return false;
		}
		w->recover = RECOVER_RENEW;
		FALLTHROUGH;
	case RECOVER_RENEW:
		w->recover = RECOVER_MINE;
		if (w->run->stage == RUN_HANDLER) {
			run_check_lease(w);
			return false;
		}
		FALLTHROUGH;
	case RECOVER_MINE:
		if (w->group_wanted) {
			fetch_make_group(w);
			return false;
		}
		KILL_POINT("mine.before");
		queue_build_mine(&w->cmd, &w->queues[w->recover_queue].keys, w->consumer);
		link_ask(w, CONNECTION_DEFAULT_TIMEOUT, true, on_mine, w);
		return false;
	case RECOVER_DONE:
		break;
	}
	return true;
}
