/* What the supervisor knows: one struct, created in supervisor_main. Private to src/supervisor. */
#pragma once

#include <ev.h>

#include "ipc/control.h"
#include "reaper/reaper.h"
#include "supervisor/supervisor.h"

/* RETIRING: of an older generation, ends when its handler has ended, however long that takes. */
enum slot_state { SLOT_EMPTY, SLOT_RUNNING, SLOT_BACKOFF, SLOT_RETIRING, SLOT_DRAINING, SLOT_CLOSED, SLOT_STATE_COUNT };
enum slot_event { SLOT_EV_START, SLOT_EV_EXIT, SLOT_EV_TIMER, SLOT_EV_RETIRE, SLOT_EV_STOP, SLOT_EV_FAST, SLOT_EV_KILL, SLOT_EVENT_COUNT };

/* A configuration that was or is in force. It lives for as long as anybody works by it. */
struct generation {
	uint64_t number;
	struct config *config;
	int source_fd;            /* its texts, for workers */
	struct generation *older;
};

struct worker_slot {
	struct supervisor *sup;
	size_t index;             /* its row on the board */
	struct generation *gen;
	const struct pool *pool;  /* of gen's configuration */
	int number;               /* within the pool */
	enum slot_state state;
	pid_t pid;
	int wait_status;          /* of the last exit */
	int64_t started_mono_ms;
	int64_t failures;         /* deaths in a row, each soon after its start */
	ev_timer timer;
};

enum leftover { NOTHING_LEFT, CANNOT_RUN, WORK_LEFT }; /* --until-empty: in the order of what counts */

struct embedded;
struct metrics;

struct supervisor {
	struct ev_loop *loop;
	struct generation *gen;   /* in force, then the older ones */
	struct config *config;    /* = gen->config */
	struct config_source *source; /* of the first generation, until its workers can have it */
	bool until_empty;
	struct board *board;
	struct log *log;
	void *log_shared;
	struct reaper *reaper;
	struct control_server *control;
	struct embedded *embedded; /* NULL: Redis is somebody else's */
	struct metrics *metrics;   /* NULL: nobody wants them */
	struct worker_slot **slots; /* in the configuration's order, then those that retire */
	size_t slot_count;

	int lock_fd;              /* this name's supervisor; held to the end */
	int workers_lock_fd;      /* one open file shared with all workers: locked while any of this life lives */
	int log_fd, bell_fd;
	int lifeline[2];
	int groups_fd;            /* cgroup with those of the workers; -1 = none */
	struct buf groups_path;
	unsigned group_controllers; /* CGROUP_… */
	int signal_fd;
	ev_io signal_io;
	ev_async reaper_news;
	ev_prepare before_sleep;
	ev_timer ready_timer;     /* until all workers have connected */
	ev_timer log_timer;       /* only while something waits to be written */
	ev_timer stop_timer;
	ev_timer watchdog_timer;
	ev_timer reload_timer;    /* while the reaper takes a new configuration over */

	struct dead_worker *earlier; /* what the old scoreboard still named */
	size_t earlier_count;
	bool earlier_orderly;     /* that life was stopped, with Redis away */
	int64_t started_mono_ms;
	int64_t start_by_mono_ms;
	int64_t ready_by_mono_ms;
	int64_t stop_by_mono_ms;
	bool workers_started, ready, stopping;
	bool drain_asked;         /* over the control socket */
	bool reload_wanted;       /* asked for while it could not be done yet */
	bool reloading;
	int64_t reload_mono_ms;   /* when it began */
	uint64_t oldest_told;     /* to the reaper: the oldest generation that has a worker */
	uint64_t target_from;     /* generation whose redis: the reaper uses */
	char reload_error[200];   /* the first one of the configuration that was refused last */
	_Atomic bool calm;        /* the reaper's news are only wanted when its phase changes */
	int exit_code;
	uint64_t worker_restarts, reloads, reloads_refused; /* since the start */

	struct queue_gauges *gauges; /* scratch, one a queue */
	int64_t *empty_seen_ms;   /* which look at each queue was counted last */
	unsigned empty_looks;
	enum leftover empty_last;
	char status[512];         /* what systemd was told last */
	int64_t status_mono_ms;
};

/* runtime.c: folder, locks, the last life's end; then, once nothing else can fail, the scoreboard in place of the old one. 0, or -errno
 * after having said why. */
MUST_CHECK int runtime_open(struct supervisor *s);
MUST_CHECK int runtime_board(struct supervisor *s);
void runtime_close(struct supervisor *s, bool all_released);

/* slots.c */
MUST_CHECK int slots_init(struct supervisor *s);
/* Go over to s->gen. Workers of pools that are the same in both stay, the others retire and are replaced at once. */
struct slot_changes {
	size_t kept, replaced, added, removed;
};
MUST_CHECK int slots_change(struct supervisor *s, const struct generation *from, struct slot_changes *ret_changes);
/* Forget the slots of those that retired; the number of the oldest generation that still has a worker. */
uint64_t slots_sweep(struct supervisor *s);
void slots_event_all(struct supervisor *s, enum slot_event event_id);
void slots_reap_children(struct supervisor *s);
bool slots_all_closed(const struct supervisor *s);
size_t slots_count(const struct supervisor *s); /* with those that end after what they run */
size_t slots_count_state(struct supervisor *s, enum worker_state state);
void slots_done(struct supervisor *s);

/* spawn.c: one worker process. 0 with its pid, or -errno. */
MUST_CHECK int worker_spawn(struct supervisor *s, const struct worker_slot *slot, pid_t *ret_pid);
/* Our own environment without what systemd meant for us alone, and with one variable more (NULL: none). The list is the caller's, its texts are not. */
char **child_environment(char *own);

/* groups.c: the workers' cgroups, where there is room for them; all of it does nothing where there is none. First what the last life's still hold
 * is killed: after runtime_open, before anything else is started or released. */
void groups_open(struct supervisor *s);
/* What a new worker is given: its group's folder, else /dev/null. The caller closes it. */
MUST_CHECK int groups_worker(struct supervisor *s, const struct worker_slot *w);
/* Its worker is dead: kill what is in it, and wait until it is empty. */
void groups_kill(struct supervisor *s, const struct worker_slot *w);
void groups_remove(struct supervisor *s, const struct worker_slot *w);
const char *groups_limits(const struct supervisor *s); /* which of the limits they can hold: "memory processes" … "" */
void groups_close(struct supervisor *s); /* removed, if they are empty */

/* embedded.c: a private redis-server. 0, or -errno after having said why. */
MUST_CHECK int embedded_start(struct supervisor *s);
bool embedded_child_ended(struct supervisor *s, pid_t pid, int wait_status); /* true: it was that */
pid_t embedded_pid(const struct supervisor *s); /* 0 = none */
void embedded_stop(struct supervisor *s); /* waits for its end */

/* leftover.c: a redis-server that another life left on this folder's files is stopped. 0, or -errno with a sentence. */
MUST_CHECK int leftover_stop(const char *state_dir, struct fault *ret_fault);
/* Wait until the process is gone (a zombie is). 0, -ETIMEDOUT, or another -errno. */
MUST_CHECK int leftover_wait(pid_t pid, int64_t limit_ms);

/* admin.c: what xackctl asks. */
json_t *admin_answer(void *user, json_t *request);
/* Try suspended jobs again now: one, or all (NULL). Adds their names to ret_names unless NULL; returns how many. */
size_t admin_resume(struct supervisor *s, const char *job, const char *why, json_t *ret_names);

/* desk.c: what xackctl asks for that changes something. */
json_t *desk_cancel(struct supervisor *s, json_t *request);
json_t *desk_buried(struct supervisor *s, json_t *request);
json_t *desk_drain(struct supervisor *s, json_t *request);

/* reload.c: SIGHUP, and what follows from it. */
void reload_init(struct supervisor *s);
void reload(struct supervisor *s);
void reload_look(struct supervisor *s); /* the reaper has news, a worker ended, or the daemon became ready */
void reload_cancel(struct supervisor *s); /* the daemon stops */

/* generation.c */
MUST_CHECK int generation_new(struct config *config /* taken on success */, const struct config_source *source, uint64_t number, struct generation **ret_gen);
void generation_free(struct generation *g);
/* The older ones that nobody works by any more are gone after this. */
void generations_sweep(struct supervisor *s, uint64_t oldest_worker);
/* Which of the keys that only a new start can change are different: their names, "" = none. */
void generation_fixed_keys(const struct config *a, const struct config *b, struct buf *ret_names);
bool generation_same_pool(const struct config *a, const struct pool *in_a, const struct config *b, const struct pool *in_b);
bool generation_same_target(const struct redis_target *a, const struct redis_target *b);

/* hung.c: kill workers that make no progress. */
void hung_look(struct supervisor *s);

/* empty.c: --until-empty; called at each news of the reaper. */
void empty_look(struct supervisor *s);

/* metrics.c: figures for Prometheus, where the configuration says so: at the start, and after a reload. What fails is said; the daemon goes on without. */
void metrics_change(struct supervisor *s);
void metrics_stop(struct supervisor *s);

/* metrics_text.c: all of them. classic: not OpenMetrics, but text format 0.0.4. */
void metrics_write(struct supervisor *s, bool classic, struct buf *out);

/* notify.c: systemd, or nothing. */
void notify_ready(struct supervisor *s);
void notify_reloading(void);
void notify_stopping(int64_t within_ms);
void notify_status(struct supervisor *s);
void notify_alive(void);
bool notify_wanted(void);
int64_t notify_watchdog_ms(void); /* 0 = none */

/* stop.c */
enum stop_kind { STOP_DRAIN, STOP_FAST };
/* End: workers first. A second call may only hurry, or make the exit code worse. */
void supervisor_stop(struct supervisor *s, enum stop_kind kind, int exit_code, const char *why);
/* All workers are gone: leave the loop. */
void stop_look(struct supervisor *s);
/* After the loop: the reaper, Redis, the last words. */
void stop_finish(struct supervisor *s);
