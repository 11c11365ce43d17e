/* The thread itself: its loop (take the inbox, connect, do what is due, sleep until the next thing is due) and the functions through which the
 * supervisor talks to it. Blocking calls with limits, poll on the bell: a signal can interrupt nothing here, they are all blocked. */
#include "reaper/state.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "base/clock.h"
#include "base/killpoint.h"
#include "domain/backoff.h"

enum {
	CONNECT_BASE_MS = 50,
	CONNECT_CAP_MS = 1500, /* one connection a host, and the workers follow it: work goes on soon after an outage */
	OPERATOR_CONNECT_MS = 2000,
	WATCH_TICK_MS = 200,
	FROZEN_MS = 500,          /* woken later than planned by this: this process stood still */
	HUNG_SUSPECTED_MS = 1500, /* the supervisor knows the leases and decides */
	HUNG_IDLE_MS = 60 * 1000,
};

static int64_t min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void set_phase(struct reaper *r, enum reaper_phase phase)
{
	if (atomic_exchange(&r->phase, (int)phase) != (int)phase)
		r->o.notify(r->o.user);
}

/* ---- inbox ---- */

static int add_grave(struct grave **graves, size_t *count, size_t *cap, const struct grave *g)
{
	if (*count == *cap) {
		size_t wanted = *cap ? 2 * *cap : 8;
		struct grave *grown = realloc(*graves, wanted * sizeof(**graves));
		if (!grown)
			return -ENOMEM;
		*graves = grown;
		*cap = wanted;
	}
	(*graves)[(*count)++] = *g;
	return 0;
}

static void take_inbox(struct reaper *r)
{
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->inbox.grave_count; i++)
		(void)add_grave(&r->graves, &r->grave_count, &r->grave_cap, &r->inbox.graves[i]);
	r->inbox.grave_count = 0;
	r->oldest_workers = r->inbox.oldest_workers;
	if (atomic_exchange(&board_header(r->board)->look_wanted, 0))
		r->inbox.look = true;
	if (r->inbox.look) {
		for (size_t i = 0; i < r->queue_count; i++)
			r->queues[i]->look_mono_ms = r->queues[i]->later_again_mono_ms = 0;
		r->inbox.look = false;
	}
	pthread_mutex_unlock(&r->lock);
}

/* ---- connection ---- */

/* Known before the first worker blocks for long: asked for our own connection, which waits for nothing. Whoever may not know its id cannot be woken either. */
static bool unblock_denied(struct reaper *r)
{
	struct redis_error error;
	bool done = false;
	int64_t own = connection_facts(r->conn)->client_id;

	return own <= 0 || (admin_unblock(r->conn, own, &done, &error) == -EPROTO && error.reaction == REACT_OPERATOR);
}

static void became_ready(struct reaper *r, int64_t now)
{
	const struct connection_facts *facts = connection_facts(r->conn);
	struct board_header *header = board_header(r->board);

	r->failures = 0;
	if (r->was_ready)
		tally_add(&header->reaper_reconnects, 1);
	r->was_ready = true;
	r->last_error[0] = '\0';
	atomic_store(&header->redis_connected, 1);
	atomic_store(&header->redis_since_mono_ms, now);
	atomic_store(&header->unblock_denied, unblock_denied(r));
	event(r->o.log, REDIS_CONNECTED, NULL, F_TEXT("version", facts->version), F_I64("client_id", facts->client_id));
	for (size_t i = 0; i < r->queue_count; i++) {
		struct reaped_queue *q = r->queues[i];
		/* Owners on other hosts may have been cut off as long as we were: they renew before we look. */
		q->quiet_until_mono_ms = now + q->longest_lease_ms / 2;
		q->look_mono_ms = q->renew_mono_ms = 0;
		q->last_error[0] = '\0';
		q->later_error[0] = '\0';
		q->later_again_mono_ms = 0;
		q->refused_until_mono_ms = 0;
		snprintf(q->sweep_cursor, sizeof(q->sweep_cursor), "-");
		snprintf(q->rebuild_cursor, sizeof(q->rebuild_cursor), "-");
	}
	r->o.notify(r->o.user);
}

static void went_down(struct reaper *r, int64_t now, const struct redis_error *error)
{
	struct board_header *header = board_header(r->board);
	bool changed = atomic_exchange(&header->redis_connected, 0) != 0 || strcmp(r->last_error, error->text) != 0;

	if (changed) {
		atomic_store(&header->redis_since_mono_ms, now);
		snprintf(r->last_error, sizeof(r->last_error), "%s", error->text);
		AUTO_FREE char *where = redis_target_text(r->o.target);
		enum event_id id = error->reaction == REACT_OPERATOR ? REDIS_ERROR : REDIS_LOST;
		event(r->o.log, id, NULL, F_TEXT("where", where), F_TEXT("why", error->text), F_TEXT("advice", error->advice));
		r->o.notify(r->o.user);
	}
	int64_t wait = error->reaction == REACT_OPERATOR ? OPERATOR_CONNECT_MS :
							   backoff_full_jitter_ms(CONNECT_BASE_MS, CONNECT_CAP_MS, ++r->failures, 0.7 + 0.02 * (double)(r->row.pid % 16));
	r->connect_mono_ms = now + wait;
}

static void connect_if_due(struct reaper *r, int64_t now)
{
	struct redis_error error;

	if (reaper_ready(r) || now < r->connect_mono_ms)
		return;
	if (connection_open(r->conn, &error) < 0)
		went_down(r, clock_mono_ms(), &error);
	else
		became_ready(r, clock_mono_ms());
}

/* ---- one round ---- */

bool reaper_watched(struct reaper *r)
{
	pthread_mutex_lock(&r->lock);
	bool watch = r->inbox.watch;
	pthread_mutex_unlock(&r->lock);
	return watch;
}

static int64_t tick_of(struct reaper *r, const struct reaped_queue *q)
{
	if (reaper_watched(r))
		return WATCH_TICK_MS;
	bool quiet = q->gauges.pending == 0 && q->gauges.due_count == 0 && q->others == 0;
	return quiet ? REAPER_IDLE_TICK_MS : REAPER_TICK_MS;
}

static void tend_queue(struct reaper *r, struct reaped_queue *q, int64_t now)
{
	if (now < q->refused_until_mono_ms || (!q->prepared && !reaper_prepare_added(r, q, now)))
		return;
	if (atomic_exchange(&q->state->remade, 0)) {
		reaper_put_back(r, q);
		q->look_mono_ms = 0; /* what was parked is due again, too */
	}
	if (now >= q->renew_mono_ms)
		reaper_renew_row(r, q, now);
	if (reaper_ready(r) && (now >= q->look_mono_ms || now >= reaper_due_wake(q, now))) {
		reaper_look_at(r, q, now);
		if (now >= q->look_mono_ms)
			q->look_mono_ms = now + tick_of(r, q);
	}
	if (reaper_ready(r))
		reaper_promote(r, q, now);
	if (reaper_ready(r))
		reaper_tend_limits(r, q, now);
	if (reaper_ready(r))
		reaper_wake_workers(r, q, now);
	if (reaper_ready(r))
		reaper_sweep(r, q, now);
	if (reaper_ready(r))
		reaper_trim(r, q, now);
}

/* Workers of this host that may be frozen with an entry: the supervisor decides, before their lease runs out. */
static void suspect_hung(struct reaper *r, int64_t now)
{
	struct board_header *header = board_header(r->board);

	for (size_t i = 0; i < header->slot_count; i++) {
		const struct slot *slot = board_slot(r->board, i);
		uint32_t state = atomic_load(&slot->state);
		if (state == WORKER_NONE || state == WORKER_STARTING || now - atomic_load(&slot->beat_mono_ms) < HUNG_SUSPECTED_MS)
			continue;
		if (state != WORKER_BUSY && now - atomic_load(&slot->beat_mono_ms) < HUNG_IDLE_MS)
			continue;
		atomic_store(&header->hung_suspected, 1);
		r->o.notify(r->o.user);
		return;
	}
}

static void tend_all(struct reaper *r, int64_t now)
{
	suspect_hung(r, now);
	reaper_cron(r, now);
	reaper_resume_jobs(r);
	for (size_t i = 0; i < r->queue_count && reaper_ready(r); i++)
		tend_queue(r, r->queues[i], now);
	reaper_look_at_generations(r);
}

static int64_t next_wake(struct reaper *r, int64_t now)
{
	int64_t wake = now + REAPER_IDLE_TICK_MS;

	if (!reaper_ready(r))
		return r->connect_mono_ms;
	if (atomic_load(&r->phase) == REAPER_CLAIMING || atomic_load(&r->phase) == REAPER_CONNECTING)
		return r->claim_mono_ms;
	wake = min64(wake, reaper_graves_wake(r));
	if (atomic_load(&r->phase) == REAPER_RUNNING)
		wake = min64(wake, reaper_cron_wake(r, now));
	for (size_t i = 0; i < r->queue_count; i++) {
		const struct reaped_queue *q = r->queues[i];
		int64_t at = min64(q->renew_mono_ms, min64(q->look_mono_ms, reaper_due_wake(q, now)));
		at = min64(at, reaper_later_wake(q));
		at = min64(at, min64(reaper_sweep_wake(q), min64(reaper_trim_wake(q), reaper_limits_wake(q))));
		wake = min64(wake, at > q->refused_until_mono_ms ? at : q->refused_until_mono_ms);
	}
	return wake;
}

static void sleep_until(struct reaper *r, int64_t wake)
{
	struct pollfd fds[2] = { { .fd = r->o.bell_fd, .events = POLLIN }, { .fd = -1, .events = POLLIN } };
	int64_t now = clock_mono_ms(), wait = wake > now ? wake - now : 0;
	uint64_t rings;

	if (reaper_ready(r))
		fds[1].fd = connection_fd(r->conn);
	atomic_store(&board_header(r->board)->reaper_wakes_mono_ms, now + wait);
	(void)poll(fds, 2, (int)min64(wait, REAPER_IDLE_TICK_MS));
	if (fds[0].revents & POLLIN)
		(void)!read(r->o.bell_fd, &rings, sizeof(rings));
	if (fds[1].revents) { /* nothing was asked: it is the end of the connection */
		connection_handle_io(r->conn, true, false);
		if (!reaper_ready(r)) {
			struct redis_error error;
			connection_reply_error(NULL, &error);
			went_down(r, clock_mono_ms(), &error);
			r->connect_mono_ms = clock_mono_ms() + CONNECT_BASE_MS;
		}
	}
}

static bool stop_asked(struct reaper *r, int64_t *ret_by)
{
	pthread_mutex_lock(&r->lock);
	bool stop = r->inbox.stop;
	*ret_by = r->inbox.stop_by_mono_ms;
	pthread_mutex_unlock(&r->lock);
	return stop;
}

/* True when the thread may end. */
static bool stop_done(struct reaper *r, int64_t now)
{
	int64_t by;

	if (!stop_asked(r, &by))
		return false;
	enum reaper_phase phase = (enum reaper_phase)atomic_load(&r->phase);
	take_inbox(r);
	bool idle = reaper_all_released(r);
	if (reaper_ready(r) && idle) {
		if (phase == REAPER_RUNNING)
			reaper_leave(r);
		return true;
	}
	if (now < by && (phase == REAPER_RUNNING || phase == REAPER_NAME_LOST || !idle))
		return false;
	r->left_something = !idle;
	return true;
}

static void round_once(struct reaper *r)
{
	int64_t now = clock_mono_ms();
	struct board_header *header = board_header(r->board);
	int64_t planned = atomic_load(&header->reaper_wakes_mono_ms);

	if (planned != INT64_MAX && now - planned > FROZEN_MS)
		atomic_store(&header->thawed_mono_ms, now);
	atomic_store(&header->reaper_beat_mono_ms, now);
	r->asked_mono_ms = planned > 0 && planned < now ? planned : now; /* woken late: it was us who were frozen */
	take_inbox(r);
	reaper_adopt(r);
	connect_if_due(r, now);
	if (!reaper_ready(r))
		return;
	enum reaper_phase phase = (enum reaper_phase)atomic_load(&r->phase);
	if (phase == REAPER_CONNECTING)
		set_phase(r, REAPER_CLAIMING);
	if (phase == REAPER_CONNECTING || phase == REAPER_CLAIMING)
		reaper_claim(r);
	phase = (enum reaper_phase)atomic_load(&r->phase);
	reaper_bury_dead(r, now);
	if (phase == REAPER_RUNNING)
		tend_all(r, now);
	reaper_note_delay(r);
}

void *reaper_thread(void *user)
{
	struct reaper *r = user;
	int64_t now = clock_mono_ms();

	(void)prctl(PR_SET_NAME, "xackd-reaper");
	while (!stop_done(r, now)) {
		int64_t begun = clock_mono_ms();
		round_once(r);
		now = clock_mono_ms();
		if (now - begun > FROZEN_MS) /* a call hung: Redis stood still, or all of us did */
			atomic_store(&board_header(r->board)->thawed_mono_ms, now);
		int64_t by;
		int64_t wake = next_wake(r, now);
		if (stop_asked(r, &by)) {
			if (stop_done(r, now))
				break;
			wake = min64(wake, now + 50);
		}
		if (!reaper_ready(r)) {
			/* connect_if_due just failed, or a call did: what it was has been said there */
			if (r->was_ready && atomic_load(&board_header(r->board)->redis_connected)) {
				struct redis_error error;
				connection_reply_error(NULL, &error);
				went_down(r, now, &error);
			}
			wake = min64(r->connect_mono_ms, wake > now ? wake : now + CONNECT_BASE_MS);
		}
		sleep_until(r, wake);
		now = clock_mono_ms();
	}
	connection_free(TAKE(r->conn));
	set_phase(r, REAPER_STOPPED);
	return NULL;
}

/* ---- for the supervisor ---- */

static void ring(struct reaper *r)
{
	const uint64_t one = 1;
	(void)!write(r->o.bell_fd, &one, sizeof(one));
}

enum reaper_phase reaper_phase(struct reaper *r)
{
	return (enum reaper_phase)atomic_load(&r->phase);
}

void reaper_refusal(struct reaper *r, char *ret_text, size_t size)
{
	pthread_mutex_lock(&r->lock);
	snprintf(ret_text, size, "%s", r->refusal);
	pthread_mutex_unlock(&r->lock);
}

void reaper_worker_died(struct reaper *r, const struct dead_worker *dead)
{
	struct grave g = { .dead = *dead };
	pthread_mutex_lock(&r->lock);
	(void)add_grave(&r->inbox.graves, &r->inbox.grave_count, &r->inbox.grave_cap, &g); /* no memory: its lease runs out instead */
	pthread_mutex_unlock(&r->lock);
	ring(r);
}

void reaper_job_resumed(struct reaper *r, size_t job_index)
{
	atomic_store(&board_job(r->o.board, job_index)->resumed, 1);
	ring(r);
}

void reaper_reload(struct reaper *r, const struct config *config, const struct redis_target *target, uint64_t generation)
{
	pthread_mutex_lock(&r->lock);
	r->inbox.config = config;
	r->inbox.target = target;
	r->inbox.generation = generation;
	pthread_mutex_unlock(&r->lock);
	ring(r);
}

void reaper_workers_since(struct reaper *r, uint64_t generation)
{
	pthread_mutex_lock(&r->lock);
	r->inbox.oldest_workers = generation;
	pthread_mutex_unlock(&r->lock);
	ring(r);
}

uint64_t reaper_generation(struct reaper *r, bool prepared)
{
	return atomic_load(prepared ? &r->prepared_generation : &r->generation);
}

bool reaper_lingers(struct reaper *r)
{
	return atomic_load(&r->lingering) > 0;
}

void reaper_look(struct reaper *r)
{
	pthread_mutex_lock(&r->lock);
	r->inbox.look = true;
	pthread_mutex_unlock(&r->lock);
	ring(r);
}

bool reaper_figures(struct reaper *r, const struct config *config, int64_t age_ms, struct queue_gauges *ret_gauges)
{
	int64_t now = clock_mono_ms();
	bool fresh = true;

	pthread_mutex_lock(&r->lock);
	if (r->o.config != config) { /* between two generations */
		memset(ret_gauges, 0, config->queue_count * sizeof(*ret_gauges));
		pthread_mutex_unlock(&r->lock);
		return false;
	}
	for (size_t i = 0; i < config->queue_count; i++) {
		ret_gauges[i] = r->queues[i]->gauges;
		if (ret_gauges[i].refused)
			continue;
		if (r->queues[i]->looked_mono_ms == 0 || now - r->queues[i]->looked_mono_ms > age_ms)
			fresh = false;
	}
	pthread_mutex_unlock(&r->lock);
	if (!fresh)
		reaper_look(r);
	return fresh;
}

void reaper_watch_figures(struct reaper *r, bool on)
{
	pthread_mutex_lock(&r->lock);
	r->inbox.watch = on;
	r->inbox.look = true;
	pthread_mutex_unlock(&r->lock);
	ring(r);
}

int reaper_stop(struct reaper *r, int64_t limit_ms)
{
	if (!r->started || r->joined)
		return 0;
	pthread_mutex_lock(&r->lock);
	r->inbox.stop = true;
	r->inbox.stop_by_mono_ms = clock_mono_ms() + limit_ms;
	pthread_mutex_unlock(&r->lock);
	ring(r);
	pthread_join(r->thread, NULL);
	r->joined = true;
	return r->left_something ? -ETIMEDOUT : 0;
}
