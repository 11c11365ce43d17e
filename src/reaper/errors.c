/* What a failed call means for the round, and saying it once for each change of state. */
#include "reaper/state.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/killpoint.h"
#include "redis/connection.h"

enum { REFUSED_AGAIN_MS = 5000, BACK_OFF_MS = 1000 };

bool reaper_ready(const struct reaper *r)
{
	return r->conn && connection_state(r->conn) == CONNECTION_READY;
}

int64_t reaper_expected_now(const struct reaper *r)
{
	return connection_redis_now_ms(r->conn);
}

/* An answer says what time it is there. Where that is not what our own clock let expect, Redis or we were frozen, or a clock was set: before
 * the new time is taken over, the owners of entries get the time to renew (the guard of the sweep would no longer notice). */
void reaper_note_now(struct reaper *r, int64_t redis_now_ms)
{
	if (redis_now_ms <= 0)
		return;
	int64_t off = redis_now_ms - connection_redis_now_ms(r->conn);
	int64_t now = clock_mono_ms();
	for (size_t i = 0; i < r->queue_count; i++) {
		struct reaped_queue *q = r->queues[i];
		int64_t late = now - r->asked_mono_ms;
		if ((off > q->longest_lease_ms / 4 || -off > q->longest_lease_ms / 4 || late > q->longest_lease_ms / 4) &&
		    q->quiet_until_mono_ms < now + q->longest_lease_ms / 2)
			q->quiet_until_mono_ms = now + q->longest_lease_ms / 2;
	}
	connection_set_redis_now(r->conn, redis_now_ms);
	r->asked_mono_ms = now;
}

void reaper_note_delay(struct reaper *r)
{
	int64_t now = clock_mono_ms();

	for (size_t i = 0; i < r->queue_count; i++) {
		struct reaped_queue *q = r->queues[i];
		if (now - r->asked_mono_ms > q->longest_lease_ms / 4 && q->quiet_until_mono_ms < now + q->longest_lease_ms / 2)
			q->quiet_until_mono_ms = now + q->longest_lease_ms / 2;
	}
	r->asked_mono_ms = now;
}

struct event_about reaper_about(const struct reaped_queue *q, const char *id)
{
	return (struct event_about){
		.job = q->job,
		.stream = q->def->stream,
		.group = q->def->group,
		.id = id,
	};
}

void reaper_worked(struct reaper *r, struct reaped_queue *q)
{
	(void)r;
	q->last_error[0] = '\0';
}

void reaper_say_refused(struct reaper *r, const struct reaped_queue *q, const char *detail, char said[256], const struct redis_error *error)
{
	if (strcmp(said, error->text) == 0)
		return;
	snprintf(said, 256, "%s", error->text);
	struct event_about about = reaper_about(q, NULL);
	/* What passes by itself (loading, busy, out of memory) is no error to wake somebody for. */
	bool mend = error->reaction == REACT_OPERATOR || error->reaction == REACT_UNKNOWN;
	enum event_level level = mend ? EVENT_ERROR : EVENT_WARNING;
	if (detail)
		event_at(r->o.log, REDIS_ERROR, level, &about, F_TEXT("why", error->text), F_TEXT("advice", error->advice), F_TEXT("detail", detail));
	else
		event_at(r->o.log, REDIS_ERROR, level, &about, F_TEXT("why", error->text), F_TEXT("advice", error->advice));
}

bool reaper_failed(struct reaper *r, struct reaped_queue *q, const struct redis_error *error)
{
	int64_t now = clock_mono_ms();
	bool made = false;
	struct redis_error again;

	if (!reaper_ready(r))
		return true; /* the loop says that the connection is gone */
	if (error->reaction == REACT_RECONNECT) {
		connection_drop(r->conn, error->text);
		return true;
	}
	if (error->reaction == REACT_GROUP) {
		char known[SLOT_ID_SIZE] = "";
		const char *looked = q->gauges.last_delivered;
		if (!queue_state_delivered(q->state, known) || (*looked && entry_id_cmp(looked, known) > 0))
			snprintf(known, sizeof(known), "%s", looked);
		KILL_POINT("remake.before");
		if (admin_group(r->conn, &q->keys, q->def->start, known, &made, &again) == 0) {
			KILL_POINT("remake.after");
			q->look_mono_ms = 0;
			if (made) {
				struct event_about lost = reaper_about(q, NULL);
				event(r->o.log, DAEMON_WARNING, &lost,
				      F_TEXT("why", "the group was gone (destroyed, or the stream was deleted) and was made again where it had got to"),
				      F_TEXT("known", known));
				reaper_put_back(r, q);
			}
			return !reaper_ready(r);
		}
		error = &again;
	}
	q->refused_until_mono_ms = now + (error->reaction == REACT_OPERATOR ? REFUSED_AGAIN_MS : BACK_OFF_MS);
	reaper_say_refused(r, q, NULL, q->last_error, error);
	return !reaper_ready(r);
}
