/* Schedules: when a slot has come by Redis's clock, one script makes it an entry, and only if no other host
 * has (the last slot is compared and set in the same step). What this thread knows of a schedule is the last
 * slot; the answers of the script keep it true: a host that was slower, was cut off, or died between two
 * steps goes on from there. The calendar is asked here, so that Redis needs to know nothing but numbers. */
#include "reaper/state.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/killpoint.h"

enum {
	LATE_MS = 60 * 1000,            /* `missed: skip`: later is too late */
	ALL_MAX = 100,                  /* `missed: all`: the last so many */
	COUNT_MAX = 1000,               /* more missed slots are not counted */
	AHEAD_MS = 24 * 60 * 60 * 1000, /* a last slot so far ahead is from a clock that was set back */
	STEPS_MAX = 2 * ALL_MAX,        /* a round: then the rest of the reaper's work */
};

static int64_t seconds(int64_t ms)
{
	return ms / 1000 - (ms % 1000 < 0);
}

static void went_to(struct reaped_schedule *s, int64_t last_ms)
{
	int64_t next_s = cron_next(&s->def->cron, s->def->zone, seconds(last_ms));

	s->last_ms = last_ms;
	s->next_ms = next_s == CRON_NEVER ? INT64_MAX : next_s * 1000;
}

static struct event_about about_of(const struct reaped_schedule *s, const char *id)
{
	struct event_about about = reaper_about(s->queue, id);

	about.job = s->def->job->name;
	return about;
}

/* How many slots lie between two of them. */
static int64_t between(const struct reaped_schedule *s, int64_t after_ms, int64_t slot_ms)
{
	return cron_count(&s->def->cron, s->def->zone, seconds(after_ms), seconds(slot_ms) - 1, COUNT_MAX);
}

/* The slot that is next to become an entry, of those that have come. */
static int64_t pick_slot(const struct reaped_schedule *s, int64_t redis_now_ms)
{
	const struct cron *cron = &s->def->cron;
	int64_t last_s = seconds(s->last_ms), now_s = seconds(redis_now_ms);

	if (s->def->missed != MISSED_ALL)
		return cron_last(cron, s->def->zone, last_s, now_s, 1) * 1000;
	return cron_next(cron, s->def->zone, cron_last(cron, s->def->zone, last_s, now_s, ALL_MAX + 1)) *
	       1000;
}

static void tell_missed(struct reaper *r, const struct reaped_schedule *s, int64_t slot_ms, int64_t count,
			const char *why)
{
	const struct event_about about = about_of(s, NULL);

	event(r->o.log, JOB_MISSED, &about, F_TEXT("schedule", s->def->name), F_I64("slot_ms", slot_ms),
	      F_I64("count", count), F_TEXT("why", why));
}

static void tell(struct reaper *r, const struct reaped_schedule *s, int64_t slot_ms,
		 const struct cron_fired *fired)
{
	const struct event_about about = about_of(s, fired->id);
	int64_t missed = between(s, s->last_ms, slot_ms);

	if (fired->answer == CRON_TOO_LATE) {
		tell_missed(r, s, slot_ms, missed + 1, "more than a minute late (missed: skip)");
		return;
	}
	if (missed > 0 && s->def->missed == MISSED_ALL) {
		tell_missed(r, s, s->last_ms, missed, "before the last 100 (missed: all)");
		missed = 0;
	}
	event(r->o.log, JOB_SCHEDULED, &about, F_TEXT("schedule", s->def->name), F_I64("slot_ms", slot_ms),
	      F_I64("late_ms", fired->redis_now_ms - slot_ms), F_I64_UNLESS("missed", missed, 0));
}

/* One step. False: leave this schedule for now. */
static bool fire(struct reaper *r, struct reaped_schedule *s, int64_t redis_now_ms)
{
	struct cron_fired fired;
	struct redis_error error;
	const struct cron_fire what = {
		.name = s->def->name,
		.last_ms = s->last_ms,
		.slot_ms = pick_slot(s, redis_now_ms),
		.late_ms = s->def->missed == MISSED_SKIP ? LATE_MS : -1,
		.pairs = s->def->pairs,
		.pair_count = s->def->pair_count,
	};

	KILL_POINT("cron_fire.before");
	if (admin_cron_fire(r->conn, &s->queue->keys, &what, &fired, &error) < 0) {
		(void)reaper_failed(r, s->queue, &error);
		return false;
	}
	KILL_POINT("cron_fire.after");
	reaper_worked(r, s->queue);
	reaper_note_now(r, fired.redis_now_ms);
	if (fired.answer == CRON_EARLY)
		return false; /* the clock is known better now: the timer is set anew */
	if (fired.answer != CRON_MOVED)
		tell(r, s, what.slot_ms, &fired);
	went_to(s, fired.last_ms);
	return true;
}

static bool see(struct reaper *r, struct reaped_schedule *s)
{
	struct redis_error error;
	int64_t last_ms, redis_now_ms;

	KILL_POINT("cron_see.before");
	if (admin_cron_see(r->conn, &s->queue->keys, s->def->name, s->def->rule, &last_ms, &redis_now_ms,
			   &error) < 0) {
		(void)reaper_failed(r, s->queue, &error);
		return false;
	}
	KILL_POINT("cron_see.after");
	reaper_note_now(r, redis_now_ms);
	went_to(s, last_ms);
	s->seen = true;
	return true;
}

/* Only where the group is there already: with `start: $` it would not see what came before it. */
static bool may_fire(const struct reaped_schedule *s, int64_t now)
{
	return s->queue->prepared && now >= s->queue->refused_until_mono_ms;
}

void reaper_cron(struct reaper *r, int64_t now)
{
	for (size_t i = 0; i < r->schedule_count && reaper_ready(r); i++) {
		struct reaped_schedule *s = &r->schedules[i];
		if (!may_fire(s, now))
			continue;
		if (s->seen && s->last_ms > reaper_expected_now(r) + AHEAD_MS)
			s->seen = false;
		bool go_on = s->seen || see(r, s);
		for (int step = 0; step < STEPS_MAX && go_on && s->next_ms <= reaper_expected_now(r); step++)
			go_on = fire(r, s, reaper_expected_now(r));
	}
}

int64_t reaper_cron_wake(struct reaper *r, int64_t now)
{
	int64_t wake = INT64_MAX, redis_now_ms = reaper_expected_now(r);

	for (size_t i = 0; i < r->schedule_count; i++) {
		const struct reaped_schedule *s = &r->schedules[i];
		if (!s->queue->prepared || (s->seen && s->next_ms == INT64_MAX))
			continue;
		int64_t at = !s->seen || s->next_ms <= redis_now_ms ? now : now + (s->next_ms - redis_now_ms);
		if (at < s->queue->refused_until_mono_ms)
			at = s->queue->refused_until_mono_ms;
		wake = at < wake ? at : wake;
	}
	return wake;
}

/* ---- another configuration ---- */

static struct reaped_schedule *find(struct reaped_schedule *list, size_t count, const struct schedule *def)
{
	for (size_t i = 0; i < count; i++) {
		const struct schedule *known = list[i].def;
		if (strcmp(known->name, def->name) == 0 && strcmp(known->job->stream, def->job->stream) == 0)
			return &list[i];
	}
	return NULL;
}

/* Taken away here: should it come back, it begins anew, and makes up for nothing. Other hosts go on from the
 * slot, which stays. Best effort. */
static void forget(struct reaper *r, const struct reaped_schedule *s)
{
	struct redis_error error;

	if (reaper_ready(r) && admin_cron_forget(r->conn, &s->queue->keys, s->def->name, &error) < 0)
		(void)reaper_failed(r, s->queue, &error);
}

struct reaped_schedule *reaper_cron_room(const struct config *c)
{
	return calloc(c->schedule_count + 1, sizeof(struct reaped_schedule));
}

void reaper_cron_adopt(struct reaper *r, const struct config *c, struct reaped_queue *const *queues,
		       struct reaped_schedule *room)
{
	for (size_t i = 0; i < c->schedule_count; i++) {
		const struct schedule *def = &c->schedules[i];
		const struct reaped_schedule *known = find(r->schedules, r->schedule_count, def);
		room[i].def = def;
		room[i].queue = queues[def->job->queue];
		if (!known || !known->seen || strcmp(known->def->rule, def->rule) != 0)
			continue;
		room[i].seen = true;
		went_to(&room[i], known->last_ms);
	}
	for (size_t i = 0; i < r->schedule_count; i++) {
		if (!find(room, c->schedule_count, r->schedules[i].def))
			forget(r, &r->schedules[i]);
	}
	free(r->schedules);
	r->schedules = room;
	r->schedule_count = c->schedule_count;
}
