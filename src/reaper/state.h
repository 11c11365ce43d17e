/* What the reaper thread knows. Private to src/reaper. Everything is the thread's own but `inbox` and what is marked shared. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "reaper/reaper.h"
#include "redis/limit.h"

struct trim_seen {                     /* the figures that the last decision about a trim was taken by */
	int64_t looked_mono_ms, length, pending;
	char delivered[ENTRY_ID_SIZE];
};

struct reaped_queue {
	const struct queue *def;       /* = &own: no pointer leads into a configuration, which may go before this does */
	struct queue own;
	char *pool;                    /* its name */
	char *job;                     /* its only job's name, or NULL */
	struct queue_state *state;
	struct job_state **jobs;       /* own.job_count of them */
	struct limit *limits;          /* of its jobs that have any */
	size_t limit_count;
	int64_t limits_mono_ms;        /* what waits for a limit is looked at then */
	bool prepared;                 /* claimed, and its group is made */
	uint64_t left_at;              /* the generation that has it no more; 0 = it is in the configuration */
	int64_t lease_next_ms;         /* a shorter lease, which counts once … */
	uint64_t lease_from;           /* … no worker before this generation is left; 0 = none */
	struct queue_keys keys;
	bool mine;                     /* the host's row is ours */
	struct queue_gauges gauges;    /* the last look; shared under the lock */
	int64_t looked_mono_ms;        /* 0 = never */
	int64_t longest_lease_ms;      /* over all hosts */
	int64_t others;                /* other live hosts */
	int64_t quiet_until_mono_ms;   /* others' entries are left alone until then: their owners renew first */
	int64_t renew_mono_ms;         /* next time for the host's row, … */
	int64_t look_mono_ms;          /* … the figures, … */
	int64_t sweep_mono_ms;         /* … one step of the sweep, … */
	int64_t silent_mono_ms;        /* … the consumers one by one, … */
	int64_t janitor_mono_ms;       /* … the janitor */
	char sweep_cursor[ENTRY_ID_SIZE];
	char rebuild_cursor[ENTRY_ID_SIZE];
	uint64_t janitor_cursor;
	char delivered_told[ENTRY_ID_SIZE];
	int64_t trim_mono_ms;          /* retain: not before this, … */
	bool trim_more;                /* … and then at once: the last step did not get to the end */
	int64_t trim_asked_mono_ms;
	struct trim_seen trim_seen;
	int64_t trim_pause_ms;
	char trim_floor[ENTRY_ID_SIZE]; /* another group holds it back here, … */
	int64_t trim_floor_mono_ms;    /* … since then, */
	bool trim_told;                /* … and it was said */
	char trim_error[256];
	int64_t wake_mono_ms;          /* next round of waking workers for due entries, … */
	int64_t wake_due_mono_ms;      /* … of the due time that the last round was for */
	int64_t later_mono_ms;         /* the first delayed entry is due; INT64_MAX = none … */
	int64_t later_again_mono_ms;   /* … but not asked before */
	uint64_t later_cursor;
	char later_error[256];
	char last_error[256];
	int64_t refused_until_mono_ms; /* Redis refuses this queue: looked at again then */
};

struct reaped_schedule {
	const struct schedule *def; /* of the configuration that was taken over */
	struct reaped_queue *queue; /* of its job */
	bool seen;                  /* where it has got to is known: */
	int64_t last_ms, next_ms;   /* its last slot and the one behind it, by Redis's clock; INT64_MAX = none */
};

struct grave {                         /* a dead worker whose entries are to be released */
	struct dead_worker dead;
	bool connection_killed;
	bool reported;                 /* its entries were released at least once */
	int64_t again_until_mono_ms;   /* CLIENT KILL is denied: look again each second until then */
	int64_t next_mono_ms;
};

struct inbox {                         /* shared under the lock */
	struct grave *graves;
	size_t grave_count, grave_cap;
	const struct config *config;   /* to be taken over, or NULL */
	const struct redis_target *target;
	uint64_t generation;
	uint64_t oldest_workers;
	bool look;
	bool watch;
	bool stop;
	int64_t stop_by_mono_ms;
};

struct reaper {
	struct reaper_options o;
	pthread_t thread;
	bool started, joined;
	pthread_mutex_t lock;
	struct inbox inbox;
	_Atomic int phase;             /* enum reaper_phase */
	char refusal[256];             /* shared under the lock */

	struct connection *conn;
	struct host_row row;
	char boot_id[64], machine_id[64];
	struct board *board;           /* a handle of this thread's own */
	struct reaped_queue **queues;  /* those of the configuration, in its order, then those that linger; shared under the lock */
	size_t queue_count;
	struct reaped_schedule *schedules;
	size_t schedule_count;
	_Atomic uint64_t generation;   /* taken over */
	_Atomic uint64_t prepared_generation;
	_Atomic size_t lingering;
	uint64_t oldest_workers;
	struct grave *graves;
	size_t grave_count, grave_cap;
	struct dead_worker *earlier;   /* own copy */
	size_t earlier_count;
	int64_t asked_mono_ms;         /* when the round began whose answers come now: a late answer is a sign of a freeze */
	int64_t connect_mono_ms;       /* next try */
	int64_t failures;
	bool was_ready;
	char last_error[256];
	size_t claim_next;             /* queue whose row is taken next */
	struct host_holder claim_holder; /* of a foreign row we are waiting for */
	bool claim_waiting;
	int64_t claim_mono_ms;
	bool left_something;           /* stop: something could not be released */
};

enum { REAPER_TICK_MS = 1000, REAPER_IDLE_TICK_MS = 10 * 1000 };

void *reaper_thread(void *user);

/* errors.c: a call failed. True: the connection is gone (leave the round). Says it once per change of state. */
bool reaper_failed(struct reaper *r, struct reaped_queue *q, const struct redis_error *error);
void reaper_worked(struct reaper *r, struct reaped_queue *q);
/* Say what Redis refuses, unless it is what was said last; detail: what it means for the queue, NULL = all of it is not looked after. */
void reaper_say_refused(struct reaper *r, const struct reaped_queue *q, const char *detail, char said[256], const struct redis_error *error);
bool reaper_watched(struct reaper *r); /* --until-empty: figures are wanted more often, and more of them */
bool reaper_ready(const struct reaper *r);
int64_t reaper_expected_now(const struct reaper *r);
void reaper_note_now(struct reaper *r, int64_t redis_now_ms);
/* The clock is read anew: where the calls since the round began have taken long, Redis was frozen, and the owners of entries get the time to renew,
 * also where no answer told a time. Before anything is taken from others, and at the end of a round: the next one would know nothing of it. */
void reaper_note_delay(struct reaper *r);
struct event_about reaper_about(const struct reaped_queue *q, const char *id);

/* claim.c: from connected to running. */
void reaper_claim(struct reaper *r);
void reaper_renew_row(struct reaper *r, struct reaped_queue *q, int64_t now);
void reaper_leave(struct reaper *r);

/* claim.c: a queue that a reload added. True: it may be read. */
bool reaper_prepare_added(struct reaper *r, struct reaped_queue *q, int64_t now);

/* reload.c */
MUST_CHECK int reaper_queue_new(struct reaper *r, const struct config *c, size_t index, struct reaped_queue **ret_queue);
void reaper_queue_free(struct reaped_queue *q);
void reaper_adopt(struct reaper *r); /* what the supervisor wants to be taken over */
void reaper_look_at_generations(struct reaper *r); /* what can go, and whether all is prepared */

/* recover.c */
bool reaper_same_queue(const struct slot_run *run, const struct reaped_queue *q);
void reaper_bury_dead(struct reaper *r, int64_t now);
void reaper_earlier_life(struct reaper *r, struct reaped_queue *q);
void reaper_sweep(struct reaper *r, struct reaped_queue *q, int64_t now);
int64_t reaper_sweep_wake(const struct reaped_queue *q); /* when it next has something to do */
bool reaper_all_released(const struct reaper *r); /* graves that are only watched do not count */
int64_t reaper_graves_wake(const struct reaper *r);

/* trim.c */
void reaper_trim(struct reaper *r, struct reaped_queue *q, int64_t now);
int64_t reaper_trim_wake(const struct reaped_queue *q);

/* due.c */
void reaper_look_at(struct reaper *r, struct reaped_queue *q, int64_t now);
void reaper_note_refused(struct reaper *r, struct reaped_queue *q, const struct redis_error *error); /* nothing is known of it, then */
void reaper_due_now(struct reaped_queue *q);
void reaper_wake_workers(struct reaper *r, struct reaped_queue *q, int64_t now);
void reaper_put_back(struct reaper *r, struct reaped_queue *q);
int64_t reaper_due_wake(const struct reaped_queue *q, int64_t now);
void reaper_resume_jobs(struct reaper *r);

/* cron.c */
void reaper_cron(struct reaper *r, int64_t now);             /* what is due becomes entries */
int64_t reaper_cron_wake(struct reaper *r, int64_t now);     /* when the next one is */
struct reaped_schedule *reaper_cron_room(const struct config *c); /* NULL: no memory */
/* The schedules of a configuration, into that room (taken); those that were there before keep where they have got to. queues: in its order. */
void reaper_cron_adopt(struct reaper *r, const struct config *c, struct reaped_queue *const *queues, struct reaped_schedule *room);

/* later.c */
void reaper_note_later(struct reaper *r, struct reaped_queue *q); /* behind a look */
void reaper_promote(struct reaper *r, struct reaped_queue *q, int64_t now);
int64_t reaper_later_wake(const struct reaped_queue *q);

/* limits.c */
MUST_CHECK int reaper_limits_init(struct reaped_queue *q, const struct queue *def); /* on failure nothing has changed */
void reaper_limits_free(struct reaped_queue *q);
void reaper_tend_limits(struct reaper *r, struct reaped_queue *q, int64_t now); /* what waits is due as far as it may start */
/* Of a dead consumer, whose entries are recovered; or of all with that beginning, "HOST/". False: the connection is gone. */
bool reaper_free_slots(struct reaper *r, struct reaped_queue *q, const char *dead);
int64_t reaper_limits_wake(const struct reaped_queue *q);
