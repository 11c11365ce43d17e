/* The host's name: one live daemon has it. A row whose process can be proven dead (this machine, another boot, or no such process in our PID
 * namespace) is taken at once; any other is waited for: renewed by its holder → refused, expired → ours. Queues are taken in sorted order
 * and given back on refusal, so that two daemons never hold halves. */
#include "reaper/state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/killpoint.h"

enum { CLAIM_POLL_MIN_MS = 100, CLAIM_AGAIN_MS = 500 };

static void set_refusal(struct reaper *r, enum reaper_phase phase, const struct host_holder *h)
{
	pthread_mutex_lock(&r->lock);
	snprintf(r->refusal, sizeof(r->refusal),
		 "the name \"%s\" is held by a live xackd %s (pid %" PRId64 ", %s, seen %" PRId64 " ms ago)", r->row.name, h->version, h->pid,
		 strcmp(h->machine, r->machine_id) == 0 ? "this machine" : "another machine", h->seen_ago_ms);
	pthread_mutex_unlock(&r->lock);
	atomic_store(&r->phase, (int)phase);
	r->o.notify(r->o.user);
}

static bool proven_dead(const struct reaper *r, const struct host_holder *h)
{
	unsigned long long started = h->started; /* unless /proc can tell */

	if (strcmp(h->machine, r->machine_id) != 0)
		return false;
	if (strcmp(h->boot, r->boot_id) != 0)
		return true;
	if (h->pid_ns != r->row.pid_ns)
		return false;
	return fd_process_start((pid_t)h->pid, &started) == -ESRCH || started != h->started;
}

static bool surely_alive(const struct reaper *r, const struct host_holder *h)
{
	return strcmp(h->machine, r->machine_id) == 0 && strcmp(h->boot, r->boot_id) == 0 && h->pid_ns == r->row.pid_ns &&
	       !proven_dead(r, h);
}

void reaper_leave(struct reaper *r)
{
	struct redis_error error;

	for (size_t i = 0; i < r->queue_count && reaper_ready(r); i++) {
		KILL_POINT("host_leave.before");
		if (r->queues[i]->mine && admin_host_leave(r->conn, &r->queues[i]->keys, &r->row, &error) < 0)
			(void)reaper_failed(r, r->queues[i], &error);
		KILL_POINT("host_leave.after");
		r->queues[i]->mine = false;
	}
}

static void refuse(struct reaper *r, const struct host_holder *h)
{
	reaper_leave(r);
	set_refusal(r, REAPER_REFUSED, h);
}

/* A row of a holder about whom nothing is known here: wait whether it is renewed. */
static void wait_for_holder(struct reaper *r, const struct host_holder *h, int64_t now)
{
	bool same = r->claim_waiting && strcmp(h->boot, r->claim_holder.boot) == 0 && h->pid == r->claim_holder.pid &&
		    h->started == r->claim_holder.started;
	int64_t waited = now - r->claim_mono_ms;

	if (same && h->seen_ago_ms < r->claim_holder.seen_ago_ms + waited / 2) {
		refuse(r, h); /* it was renewed meanwhile: alive */
		return;
	}
	r->claim_waiting = true;
	r->claim_holder = *h;
	int64_t poll = h->lease_ms / 10;
	r->claim_mono_ms = now + (poll < CLAIM_POLL_MIN_MS ? CLAIM_POLL_MIN_MS : poll > 1000 ? 1000 : poll);
}

/* One queue's row. True: taken. */
static bool claim_row(struct reaper *r, struct reaped_queue *q, int64_t now)
{
	struct host_holder holder = { 0 };
	enum host_answer answer = HOST_MINE;
	struct redis_error error;
	bool force = false;

	for (int round = 0; round < 2; round++) {
		KILL_POINT("host_take.before");
		r->row.lease_ms = q->def->lease_ms;
		if (admin_host_take(r->conn, &q->keys, &r->row, force, &answer, &holder, &error) < 0) {
			(void)reaper_failed(r, q, &error);
			r->claim_mono_ms = now + CLAIM_AGAIN_MS;
			return false;
		}
		KILL_POINT("host_take.after");
		if (answer != HOST_TAKEN) {
			q->mine = true;
			r->claim_waiting = false;
			return true;
		}
		if (surely_alive(r, &holder)) {
			refuse(r, &holder);
			return false;
		}
		if (!proven_dead(r, &holder)) {
			wait_for_holder(r, &holder, now);
			return false;
		}
		force = true;
	}
	return false;
}

static bool prepare_queue(struct reaper *r, struct reaped_queue *q)
{
	struct redis_error error;
	bool made = false;

	KILL_POINT("host_group.before");
	if (admin_group(r->conn, &q->keys, q->def->start, "", &made, &error) < 0) {
		reaper_note_refused(r, q, &error);
		bool lost = reaper_failed(r, q, &error);
		/* A queue that only a person can mend must not keep the others from their work. */
		return !lost && error.reaction == REACT_OPERATOR;
	}
	KILL_POINT("host_group.after");
	reaper_earlier_life(r, q);
	if (reaper_ready(r))
		reaper_look_at(r, q, clock_mono_ms()); /* what is paused is known before the first worker reads */
	return reaper_ready(r);
}

void reaper_claim(struct reaper *r)
{
	int64_t now = clock_mono_ms();

	if (now < r->claim_mono_ms && r->claim_waiting)
		return;
	for (; r->claim_next < r->queue_count; r->claim_next++) {
		struct reaped_queue *q = r->queues[r->claim_next];
		if (!q->mine && !claim_row(r, q, now)) {
			/* The type of one key is wrong: its queue waits for a person, the rest goes on. */
			if (reaper_ready(r) && q->refused_until_mono_ms > now && atomic_load(&r->phase) == REAPER_CLAIMING && !r->claim_waiting &&
			    strncmp(q->last_error, "WRONGTYPE", 9) == 0)
				continue;
			return;
		}
	}
	for (size_t i = 0; i < r->queue_count; i++) {
		if (!prepare_queue(r, r->queues[i])) {
			r->claim_mono_ms = now + CLAIM_AGAIN_MS;
			r->claim_waiting = true;
			return;
		}
	}
	for (size_t i = 0; i < r->queue_count; i++)
		r->queues[i]->prepared = true;
	atomic_store(&r->phase, REAPER_RUNNING);
	r->o.notify(r->o.user);
}

/* Somebody else has this name on that queue: it alone waits, and says so once. */
static void added_is_held(struct reaper *r, struct reaped_queue *q, const struct host_holder *h, int64_t now)
{
	struct event_about about = reaper_about(q, NULL);

	q->refused_until_mono_ms = now + CLAIM_AGAIN_MS;
	if (strcmp(q->last_error, "held") == 0)
		return;
	snprintf(q->last_error, sizeof(q->last_error), "held");
	event(r->o.log, DAEMON_WARNING, &about, F_TEXT("why", "a queue that was added is not read yet: another daemon of this name has it"),
	      F_TEXT("machine", h->machine), F_I64("pid", h->pid), F_I64("seen_ago_ms", h->seen_ago_ms));
}

static bool claim_added(struct reaper *r, struct reaped_queue *q, int64_t now)
{
	struct host_holder holder = { 0 };
	enum host_answer answer = HOST_TAKEN;
	struct redis_error error;

	for (int force = 0; force < 2 && answer == HOST_TAKEN; force++) {
		if (force && !proven_dead(r, &holder))
			break;
		r->row.lease_ms = q->def->lease_ms;
		if (admin_host_take(r->conn, &q->keys, &r->row, force, &answer, &holder, &error) < 0) {
			(void)reaper_failed(r, q, &error);
			return false;
		}
	}
	q->mine = answer != HOST_TAKEN;
	if (!q->mine)
		added_is_held(r, q, &holder, now);
	return q->mine;
}

bool reaper_prepare_added(struct reaper *r, struct reaped_queue *q, int64_t now)
{
	if (!q->mine && !claim_added(r, q, now))
		return false;
	if (!prepare_queue(r, q))
		return false;
	q->prepared = true;
	q->last_error[0] = '\0';
	return true;
}

void reaper_renew_row(struct reaper *r, struct reaped_queue *q, int64_t now)
{
	enum host_answer answer = HOST_MINE;
	struct redis_error error;

	r->row.lease_ms = q->def->lease_ms;
	q->renew_mono_ms = now + q->def->lease_ms / 3;
	KILL_POINT("host_renew.before");
	if (admin_host_renew(r->conn, &q->keys, &r->row, &answer, &q->longest_lease_ms, &q->others, &error) < 0) {
		(void)reaper_failed(r, q, &error);
		return;
	}
	KILL_POINT("host_renew.after");
	if (q->longest_lease_ms < q->def->lease_ms)
		q->longest_lease_ms = q->def->lease_ms;
	if (answer == HOST_MISSING) { /* someone deleted the registry: others may not have written theirs again yet */
		q->quiet_until_mono_ms = now + q->longest_lease_ms;
	} else if (answer == HOST_TAKEN) {
		struct host_holder unknown = { .seen_ago_ms = 0 };
		q->mine = false;
		set_refusal(r, REAPER_NAME_LOST, &unknown);
	}
}
