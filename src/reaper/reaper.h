/* The reaper: a thread of the supervisor with its own connection. It takes the host's name, makes the groups, recovers what dead workers, dead
 * hosts and earlier lives held, tells workers when retries are due, renews the host's row, and takes the queues' figures. It only parks; which job an
 * entry is, and whether its attempts are used up, is for the worker that takes it.
 *
 * Talks with the supervisor through the functions below (any of them from the supervisor's thread) and one callback from the reaper's thread, which
 * should do no more than ev_async_send. Blocking hiredis with limits, poll on a bell: no libev here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "ipc/scoreboard.h"
#include "log/event.h"
#include "redis/admin.h"

struct reaper;

/* Where the start has got to. */
enum reaper_phase {
	REAPER_CONNECTING, /* Redis is not there yet: goes on trying */
	REAPER_CLAIMING,   /* waits whether another holder of the name renews it */
	REAPER_REFUSED,    /* another live daemon has the name: the supervisor ends with 1 */
	REAPER_RUNNING,    /* name taken, groups made, earlier lives recovered: workers may start */
	REAPER_NAME_LOST,  /* woke from a freeze and the name was taken: drain, touch nothing of the other, end with 1 */
	REAPER_STOPPED,
};

/* A worker process of ours that ended; its handler's group has been killed already. Copied. */
struct dead_worker {
	struct slot_identity identity;
	struct slot_run run;   /* queue -1: it ran nothing */
	struct slot_done done; /* what it had finished and not settled */
	bool crashed;          /* false: it ended as asked: nothing of it counts as lost */
	bool earlier_life;     /* from an old scoreboard */
	bool everywhere;       /* of an older generation: its queues may be in other pools by now */
	bool put_back;         /* the reaper's own: asked whether what it ran is missing in a group that was made again */
};

/* board, config, log, target are kept and must outlive the reaper (until reaper_free). bell: an eventfd that workers write to when they parked
 * something earlier than reaper_wakes_mono_ms; notify is called on a change of phase or of the figures. */
struct reaper_options {
	const struct config *config;
	const struct redis_target *target;
	struct board *board;
	struct log *log;
	int bell_fd;
	uint64_t started_ticks; /* of this process */
	const struct dead_worker *earlier; /* workers that the old scoreboard still named, all proven dead; copied */
	size_t earlier_count;
	bool earlier_orderly;              /* that life was stopped as asked: nothing of it lost an attempt */
	bool earlier_life_over;            /* both locks are held: every consumer named after this host is dead */
	void (*notify)(void *user);
	void *user;
};
MUST_CHECK int reaper_start(const struct reaper_options *options, struct reaper **ret_reaper);

enum reaper_phase reaper_phase(struct reaper *r);
/* Text for REFUSED / NAME_LOST: who holds it. */
void reaper_refusal(struct reaper *r, char *ret_text, size_t size);

/* Release what it held, at once. */
void reaper_worker_died(struct reaper *r, const struct dead_worker *dead);
/* Suspended entries of this job are due now (xackctl resume, reload). */
void reaper_job_resumed(struct reaper *r, size_t job_index);
/* Look at everything now (xackctl pause and resume, tests). */
void reaper_look(struct reaper *r);

/* The latest figures of all queues of this configuration, in their order. fresh: as of now, at most age_ms old, else they are taken soon (ask again after notify). */
bool reaper_figures(struct reaper *r, const struct config *config, int64_t age_ms, struct queue_gauges *ret_gauges);

/* Another configuration, whose rows the board has already. Queues that it adds are claimed and get their groups; until then they stay paused.
 * Queues that it has no more are looked after until the workers that read them are gone. Both are kept until another generation is taken over; target
 * NULL: as it is. */
void reaper_reload(struct reaper *r, const struct config *config, const struct redis_target *target, uint64_t generation);
/* Which generation was taken over; prepared: whose queues are all ready to be read. notify is called when it changes. */
uint64_t reaper_generation(struct reaper *r, bool prepared);
/* No worker of a generation before this one is left. */
void reaper_workers_since(struct reaper *r, uint64_t generation);
/* Queues that are in no configuration any more are still looked after. */
bool reaper_lingers(struct reaper *r);
/* --until-empty: figures are then taken every 100 … 1000 ms while it is set. */
void reaper_watch_figures(struct reaper *r, bool on);

/* Stop: give up the name once all dead workers are released (at most limit_ms), then end the thread. Joined. Returns 0, or -ETIMEDOUT when something
 * was left unreleased (Redis away): the next life or another host finds it by the lease. */
MUST_CHECK int reaper_stop(struct reaper *r, int64_t limit_ms);
void reaper_free(struct reaper *r);
