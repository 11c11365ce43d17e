/* The scoreboard: shared memory in a file of the runtime folder. One slot a worker with one writer (that worker), a table of jobs that
 * the workers of this host share (who is suspended), and a few words from the reaper to the workers. No message passes between
 * processes for a job. The file outlives a kill -9 of everything: the next life reads from it which handlers to kill and what was running.
 *
 * Text in a slot is guarded by a sequence lock (writer makes seq odd, writes, makes it even; a reader copies and retries): slot_read. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/fault.h"
#include "domain/job.h"
#include "ipc/cancel.h"
#include "ipc/tally.h"

enum worker_state {
	WORKER_NONE,       /* the slot has no process */
	WORKER_STARTING,
	WORKER_CONNECTING, /* Redis is away */
	WORKER_IDLE,       /* waits in a read (or is about to) */
	WORKER_BUSY,       /* holds an entry */
	WORKER_PAUSED,     /* all its queues are paused or suspended */
	WORKER_STOPPING,
	WORKER_STATE_COUNT,
};
const char *worker_state_name(enum worker_state s); /* "starting" "connecting" "idle" "busy" "paused" "stopping" "none" */

enum { SLOT_ID_SIZE = 48, SLOT_NAME_SIZE = 256, SLOT_RUN_ID_SIZE = 41, SLOT_STATUS_SIZE = 128 };

/* What a worker runs. */
struct slot_run {
	int32_t queue;        /* index in config.queues of this slot's generation; -1 = nothing */
	int32_t job;          /* index in config.jobs, -1 = not known yet */
	char stream[SLOT_NAME_SIZE]; /* in words as well: the next life may have another configuration */
	char group[SLOT_NAME_SIZE];
	char job_name[72];
	char id[SLOT_ID_SIZE];
	int64_t delivery;
	int64_t attempt;
	int32_t handler_pid;  /* = its process group; 0 = not started */
	uint64_t handler_start; /* ticks: with the pid one process for good */
	int64_t started_mono_ms;
	int64_t progress;     /* -1 = not said */
	char status[SLOT_STATUS_SIZE];
};

/* Entries that it has finished and whose acknowledgement is not settled: if it dies now they run again, and that must be told. */
enum { SLOT_DONE_MAX = 40 };
struct slot_done {
	uint32_t count;
	uint64_t ids[SLOT_DONE_MAX][2]; /* ms, seq */
};

struct slot_identity {
	char pool[72];
	int32_t slot;         /* within the pool */
	int32_t pid;
	uint64_t pid_start;
	char consumer[SLOT_NAME_SIZE];
	int64_t client_id;    /* of its connection, 0 = unknown */
	char run_id[SLOT_RUN_ID_SIZE]; /* of the Redis it is connected to: client IDs are only valid with it */
};

struct slot_counters {
	_Atomic uint64_t done, failed, retried, later, dead, released, stale, reconnects, renewals;
};

struct slot {
	_Atomic uint32_t seq;
	_Atomic uint32_t state;            /* enum worker_state */
	_Atomic int64_t state_since_mono_ms;
	_Atomic int64_t beat_mono_ms;      /* the worker's loop turned */
	struct slot_counters counters;
	struct slot_identity identity;     /* private: under seq */
	struct slot_run run;               /* private: under seq */
	struct slot_done done;             /* private: under seq */
	struct cancel_slot cancel;
} __attribute__((aligned(64)));

enum suspension { SUSPENDED_NOT, SUSPENDED_CANNOT_EXEC, SUSPENDED_MISSING_TOOL };

/* The jobs of this host. Any worker writes, by compare and exchange. */
struct job_state {
	char name[72];                     /* whose row it is: written before anybody looks it up */
	uint64_t generation;               /* the last one that has it; the supervisor's alone */
	_Atomic uint32_t suspended;        /* enum suspension */
	_Atomic uint32_t resumed;          /* set by the worker whose probe succeeded, which then rings the bell: the reaper makes due what was put back */
	_Atomic int64_t probe_mono_ms;     /* when the next probe may start; a worker claims it by moving it on */
	_Atomic int64_t probe_delay_ms;    /* 1 s … 15 s */
	_Atomic int64_t full_until_mono_ms; /* as many run as may, over all hosts: not read until then (0 = it is open), by one worker then */
	_Atomic int64_t early_until_mono_ms; /* the same of its rate */
	_Atomic uint32_t missing_count;    /* different entries in a row that ended with 126 or 127 */
	_Atomic uint64_t missing_id[3];    /* their hashes */
	struct job_tally tally;
};

struct board_header {
	uint64_t magic;
	uint32_t version;
	uint32_t slot_room, job_room, queue_room; /* rows there is space for; the file has holes where they are not used */
	_Atomic uint32_t slot_count, job_count, queue_count; /* rows that are or were used: grows with a reload */
	int32_t supervisor_pid;
	uint64_t supervisor_start;
	char name[72];
	int64_t started_wall_ms;
	_Atomic uint64_t resume_epoch;     /* raised by resume and reload: workers look again at once */
	_Atomic int64_t reaper_wakes_mono_ms; /* when the reaper looks next; a worker that parks something earlier writes to the bell */
	_Atomic uint32_t ended_orderly;    /* this life stopped as asked, but Redis was away: what it left pending lost no attempt */
	_Atomic uint32_t hung_suspected;   /* the reaper saw a worker whose loop does not turn: the supervisor should look */
	_Atomic int64_t thawed_mono_ms;    /* this daemon was frozen until then: its workers' loops may not have turned yet */
	_Atomic int64_t reaper_beat_mono_ms;
	_Atomic uint64_t reaper_dead;      /* dead letters that the reaper wrote */
	_Atomic int64_t lease_ms_longest;
	_Atomic uint32_t unblock_denied;   /* ACL forbids CLIENT UNBLOCK or CLIENT ID: workers must not block beyond the next due time, nor beyond 1 s */
	_Atomic uint32_t remakes;          /* the sum of those of the queues */
	_Atomic uint32_t redis_connected;  /* the reaper's connection */
	_Atomic uint32_t look_wanted;      /* a worker was made to look, and rang the bell: the reaper looks at all queues, too */
	_Atomic int64_t redis_since_mono_ms;
	_Atomic uint64_t reaper_reconnects;
	_Atomic uint64_t output_dropped;   /* lines of handlers that wrote too fast */
};

/* From the reaper to the workers. */
struct queue_state {
	char stream[SLOT_NAME_SIZE];       /* whose row it is: written before anybody looks it up */
	char group[SLOT_NAME_SIZE];
	uint64_t generation;               /* the last one that has it; the supervisor's alone */
	_Atomic int64_t due_mono_ms;       /* its earliest due entry; INT64_MAX = none. Look (take) when it has come. A worker that parks lowers it */
	_Atomic uint32_t paused;           /* the reaper saw its `paused` key */
	_Atomic uint32_t delivered_lock;   /* private: of the highest ID that any worker of this host was given */
	uint64_t delivered_ms, delivered_seq; /* private */
	_Atomic uint32_t remakes;          /* raised before the reaper puts back what slots name in a group that was made again: workers put back the rest */
	_Atomic uint32_t remade;           /* a worker made the group again and rang the bell: the reaper puts back what this host runs */
	struct queue_tally tally;
};

struct board; /* the mapping */

/* Supervisor: make it (replaces the file). 0 or -errno. */
MUST_CHECK int board_create(const char *path, const char *name, size_t slots, size_t jobs, size_t queues, struct board **ret_board, struct fault *ret_fault);
/* Worker: from an inherited descriptor. The last life's: read-only, by path; -ENOENT, -EINVAL (not one of ours, another version). */
MUST_CHECK int board_attach(int fd, struct board **ret_board);
MUST_CHECK int board_open_old(const char *path, struct board **ret_board);
void board_free(struct board *b);
int board_fd(const struct board *b);

/* Generations. Rows belong to names: a job or a queue keeps its row, and what is known of it, when a reload moves it to another place of the
 * configuration. So processes with different configurations share one board. */
struct board_rows { /* what a configuration has: job->index and the place in queues are what board_job and board_queue are then asked with */
	const struct job *jobs;
	size_t job_count;
	const struct queue *queues;
	size_t queue_count;
};
/* Supervisor: give each a row, and bind. Rows of generations before `reuse` may be taken for new names. New queues start paused when `hold`: until
 * the reaper has made their group. 0; -ENOSPC when there is no room. */
MUST_CHECK int board_assign(struct board *b, const struct board_rows *rows, uint64_t generation, uint64_t reuse, bool hold);
/* Any process: find the rows. 0, -ENOENT, -ENOMEM. */
MUST_CHECK int board_bind(struct board *b, const struct board_rows *rows);
/* Supervisor: make room for slots 0 … count - 1. 0, -ENOSPC. */
MUST_CHECK int board_grow_slots(struct board *b, size_t count);

struct board_header *board_header(struct board *b);
struct slot *board_slot(struct board *b, size_t index);
struct job_state *board_job(struct board *b, size_t index);
struct queue_state *board_queue(struct board *b, size_t index);

/* The slot's own worker only. */
void slot_set_identity(struct slot *s, const struct slot_identity *identity);
void slot_set_client(struct slot *s, int64_t client_id, const char *run_id);
void slot_set_run(struct slot *s, const struct slot_run *run); /* NULL: runs nothing */
void slot_set_handler(struct slot *s, pid_t pid, uint64_t start);
void slot_set_done(struct slot *s, const struct slot_done *done);
void slot_set_progress(struct slot *s, int64_t progress, struct bytes status);
void slot_set_state(struct slot *s, enum worker_state state, int64_t now_mono_ms);
/* Any process: a consistent copy. After a writer died in the middle (seq stays odd) it copies what there is after a bounded number of tries. */
void slot_read(const struct slot *s, struct slot_identity *ret_identity, struct slot_run *ret_run);
/* Of a dead worker. */
void slot_read_done(const struct slot *s, struct slot_done *ret_done);
bool slot_done_has(const struct slot_done *done, const char *id);
/* Any process: an entry was delivered; the highest is kept: where a group that is made again has to begin. */
void board_note_delivered(struct board *b, size_t queue, const char *id);
/* "" and false: none yet, or nobody can tell (a worker was killed while it wrote). */
bool board_delivered(struct board *b, size_t queue, char ret_id[SLOT_ID_SIZE]);
bool queue_state_delivered(struct queue_state *q, char ret_id[SLOT_ID_SIZE]);
/* Supervisor, before a new worker starts in it: state STARTING, no run, counters stay. */
void slot_reset(struct slot *s);
