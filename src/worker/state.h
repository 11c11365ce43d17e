/* What a worker knows: one struct, created in worker_main and passed down. Private to src/worker.
 *
 * The worker is two small state machines: the link (down, recovering, ready) and the run (nothing, handler, settling). Every event ends
 * in worker_step(), which looks at both and does the next thing; so no order of events can leave it waiting for nothing. */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "domain/payload.h"
#include "domain/reply.h"
#include "domain/stats.h"
#include "handler/cpu_home.h"
#include "handler/group.h"
#include "handler/handler.h"
#include "ipc/inherit.h"
#include "ipc/scoreboard.h"
#include "log/event.h"
#include "redis/connection.h"
#include "redis/limit.h"
#include "redis/queue.h"

/* A queue of this worker's pool. */
struct work_queue {
	const struct queue *def;
	size_t index;               /* in config.queues */
	struct queue_keys keys;
	int64_t paused_until_mono_ms; /* a take said "paused": asked again then */
	int64_t refused_until_mono_ms; /* Redis refuses this one (wrong type, no right): the others go on */
	int64_t nothing_due_at;     /* the due time that a take found nothing for: not asked again until it changes */
	int64_t credit;             /* for the weighted order */
	uint32_t remakes;           /* of the scoreboard, when it was last known that what we hold is in the group */
};

enum run_stage {
	RUN_NONE,
	RUN_ADMITTING, /* may it start? Its job has limits */
	RUN_CHECKING, /* the lease is in doubt (we were frozen): renew before the handler starts */
	RUN_HANDLER,
	RUN_SETTLING,
	RUN_WAITING,  /* the process of another job, or one that is worn out, must end first */
};

/* One entry in our hands. */
struct run {
	enum run_stage stage;
	struct entry entry;
	struct work_queue *queue;
	const struct job *job;       /* NULL: matches none */
	int64_t attempt;
	bool probe;                  /* runs although its job is suspended */
	int64_t wait_ms;             /* enqueue → start by Redis's clock, -1 = unknown */
	int64_t began_mono_ms, began_mono_us;
	int64_t lease_boot_ms;       /* when the lease was last surely ours */
	uint64_t link_epoch;         /* the connection that delivered it */
	bool lease_lost;             /* a renewal said so: failures are no longer ours to settle */
	bool payload_gone;           /* it was deleted while we held it */
	bool sent;                   /* the settling call is or was on its way */
	bool resent;                 /* the settling call may have been executed already */
	bool refused;                /* … no: Redis refused it */
	bool put_back_tried;         /* since it was last seen pending */
	bool put_back;               /* it was: it has a row in `due`, which a plain XACK would leave there */
	bool with_pairs;             /* BURY must send the pairs: the entry is gone from the stream */
	enum settle_kind settle;
	struct outcome outcome;
	pid_t handler_pid;           /* the last handler's, for the events after its end */
	struct handler_usage usage;
	bool ended;                  /* a handler ran and ended: usage is valid */
	bool answered;               /* in a window: its outcome is known */
	bool overdue;                /* in a window: its process is ended because its answer did not come in time */
	bool misspoken;              /* in a window: its process is ended because of what it said; `outcome` says so unless an answer follows */
	int64_t line_at;             /* in a window: what the process had been given before its line, in bytes */
	bool cancelled;              /* in a window: its process is ended because of it, … */
	bool cancelled_retry;        /* … and it is to be parked */
	bool many;                   /* acknowledged together with others */
	struct result result;        /* of a success, of a job that keeps results */
};

/* Successes whose acknowledgement is not done yet, oldest first. The first `sent` are plain XACKs on their way, `answered` of those came back. */
enum { AHEAD_MAX = 32, ACKS_MAX = 128 };
struct worker;
struct ack_call { /* one command for those from `first` on */
	struct worker *worker;
	size_t first, count;
};
struct ack_list {
	struct run runs[ACKS_MAX]; /* stage SETTLING; NONE: done, and removed when the last answer is there */
	struct ack_call calls[ACKS_MAX]; /* at the place of the first: a script that Redis did not know answers behind what was sent later */
	size_t count, sent, answered;
	bool keep_known;           /* on this connection the script was answered; before that nothing is read behind it */
	bool keep_awaited;
};

/* Entries that one process is given together (modes batch and persistent). */
struct window {
	struct handler *process; /* NULL: no job of this pool wants one */
	const struct job *job;   /* whose process it is or was */
	struct work_queue *queue;
	struct run *runs;        /* not settled yet, in the order of their delivery; stage HANDLER */
	size_t count, capacity;
	size_t answered;         /* so many of them wait to be settled */
	size_t oldest;           /* all before it are answered */
	bool rearm;              /* the timeout is the new oldest one's: set before the loop sleeps */
	bool news;               /* some were answered */
	bool shown;              /* the slot names the oldest */
	bool gathering;          /* batch: the process is not started yet */
	bool ending;             /* the process gets nothing more */
	bool distrusted;         /* it said something that nobody understands */
	bool timed_out, stopped, cancelling;
	bool mute;               /* the process has closed descriptor 3: it can answer no more */
	bool deaf;               /* it has, or its stdin: it gets nothing more */
	int stdin_fd;            /* -1 = closed */
	ev_io writable;
	struct buf out;
	size_t out_at;
	int64_t written_bytes;   /* to its stdin, … */
	int64_t read_bytes;      /* … and what it had read of that when its stdin was closed */
	int64_t began_mono_ms, born_mono_ms, answers;
	int64_t turn;            /* how many may still follow the first one before other streams are looked at */
	int64_t answered_mono_ms;    /* the last answer came */
	int64_t poll_ms, poll_at_mono_ms;
	ev_timer timeout, poll, grace, renew;
	bool renew_due;
	size_t renewing;
	bool gone;               /* a renewal found one that is not pending */
	int64_t renew_boot_ms;
};

/* What a job's handlers take, as far as this worker knows: the mean and the mean deviation, as TCP does it. */
struct pace {
	int32_t mean_us, deviation_us;
	uint32_t runs;
};

struct job_numbers { /* since the last job.summary */
	uint64_t succeeded, failed, retried, later, dead, released;
	struct histogram wait, duration;
};

/* Successes that the shared tally does not know yet: all workers write there, so each single one would cost a cache line that travels. */
struct fresh {
	const struct job *job; /* NULL: none */
	uint64_t succeeded;
	uint64_t run[TALLY_BUCKETS], run_sum_ms;
	uint64_t wait[TALLY_BUCKETS], wait_sum_ms;
};

enum { ACKED_MEMORY = 1000, RELEASE_MAX = 32 };
struct acked_id {
	uint64_t ms, seq;
	uint32_t queue, life;
};

enum recover_stage { RECOVER_KILL, RECOVER_ACK, RECOVER_RENEW, RECOVER_MINE, RECOVER_DONE };

struct worker {
	struct ev_loop *loop;
	struct config_source *source;
	struct config *config;
	struct board *board;
	struct slot *slot;
	struct log *log;
	struct worker_place place;
	const struct pool *pool;
	int slot_in_pool;
	char name[96];              /* POOL/SLOT */
	char consumer[SLOT_NAME_SIZE];
	struct work_queue *queues;
	const struct queue_keys **read_keys; /* scratch: the keys of a read, in its order, … */
	struct work_queue **read_queues;     /* … and the queues behind them */
	size_t queue_count;
	size_t host_workers;

	/* link.c */
	struct connection *conn;
	ev_io io;
	ev_timer deadline;
	ev_timer retry;              /* reconnect, or the next try after Redis refused */
	bool retry_wanted;
	int64_t link_failures;
	int64_t down_mono_ms, connect_mono_ms; /* lost then, and tried again then (or when the reaper has reached it) */
	bool starved;                /* memory was too short for an answer, and nothing has begun since */
	int64_t refusals;            /* errors in a row on a good connection */
	uint64_t link_epoch;
	int64_t old_client_id;
	char old_run_id[CONNECTION_RUN_ID_SIZE];
	enum recover_stage recover;
	size_t recover_queue;
	bool ever_ready;
	char last_error[256];        /* said once, until it is good again */
	struct command cmd;          /* scratch */

	/* main.c: the clocks when this turn of the loop began, for what is looked at for each of many entries */
	int64_t turn_mono_ms, turn_boot_ms;
	ev_periodic no_minutes;

	/* step.c */
	unsigned requests;           /* answers that must come before the next step */
	bool stepping, step_again;

	/* fetch.c */
	const struct queue_keys *const *asked_keys;
	size_t asked_count;          /* queues in the read that is under way */
	struct work_queue *asked_queue; /* of the take that is under way */
	bool asked_script;           /* the read under way is the script */
	bool asked_limited;          /* … is the script admit: one queue of a job with limits */
	bool limited_was_empty;      /* it found nothing: the next read waits */
	bool script_was_empty;
	bool read_more;              /* the read under way is for the process that has some already */
	int64_t read_mono_ms, read_block_ms, read_count;
	bool look;                   /* ask every queue for due entries once */
	size_t look_left;            /* … those that are left to be asked */
	size_t due_next;
	unsigned takes_in_a_row;
	struct entry_list surplus;   /* delivered, to be given back before anything else */
	size_t surplus_asked;        /* so many of its last ones are on their way */
	bool surplus_put_back;       /* none of them was pending: put back once, for the group may be another one */
	ev_timer nap;                /* nothing may be fetched for now */
	struct work_queue *group_wanted; /* NOGROUP was said for it */

	/* put_back.c */
	uint32_t remakes;            /* of any queue */
	uint32_t put_back_remakes;   /* of the queue whose entries are being put back */
	struct work_queue *put_back_queue;

	/* run.c, settle.c */
	struct group_home group_home;
	struct handler *handler;
	struct run *run;             /* never NULL; stage NONE when idle */
	struct run the_run;
	struct slot_run shown;       /* as the slot was last told */
	struct ack_list acks;
	ev_timer ack_timer;          /* an acknowledgement does not wait longer than this for the next read */
	char stderr_tail[HANDLER_STDERR_TAIL]; /* of w->run's handler */
	size_t stderr_n;
	ev_timer renew;
	bool renew_due;
	int64_t renew_boot_ms;       /* when the renewal under way was sent */
	struct buf note;
	struct acked_id acked[ACKED_MEMORY];
	size_t acked_next;
	bool thawed;                 /* SIGCONT or a suspended machine: what was delivered may be another's by now */
	int64_t boot_minus_mono_ms;
	ev_signal sig_cont;

	/* limits.c */
	struct limit *limits;        /* by job; NULL: none has any */
	struct {
		const struct job *job; /* of whose handlers we are one; NULL: none with a limit */
		struct work_queue *queue;
	} slot_of;

	/* window.c */
	struct window window;

	/* ahead.c */
	struct work_queue *ahead_queue;
	struct pace *paces;          /* by job */
	struct entry_list ahead;     /* read, and not started: not in the slot, given back before anyone waits for them; the next is the last */
	int64_t ahead_boot_ms;       /* when they were read */
	int64_t ahead_count;         /* how many the next read may bring: grows while there is a backlog */
	ev_timer ahead_timer;
	struct cpu_home cpu_home;    /* kept while there is a backlog of the shortest */

	/* speak.c */
	struct job_numbers **numbers; /* by job, NULL until it has work */
	struct job_numbers nowhere;   /* entries of no job: counted by nobody */
	struct fresh fresh;
	ev_timer summary;

	/* stop.c */
	bool stopping;
	bool retiring;               /* without a limit of time */
	ev_signal sig_term, sig_int, sig_usr1;
	ev_signal sig_usr2;          /* cancel.c */
	ev_io lifeline;
	ev_timer stop_handler, stop_hard;
	int exit_code;
};

/* step.c: do what is to be done next. Call it at the end of every callback. */
void worker_step(struct worker *w);
/* Nothing is run: what is held goes on, or the acknowledgements leave together with the next read. Only inside of worker_step. */
void worker_next(struct worker *w);
void worker_set_state(struct worker *w, enum worker_state state);
double worker_random(void);

/* link.c */
MUST_CHECK int link_init(struct worker *w);
void link_done(struct worker *w);
/* Send w->cmd; fn gets the answer. Counts as a request. */
void link_ask(struct worker *w, int64_t timeout_ms, bool flush, connection_reply_fn *fn, void *user);
/* Every callback begins with this: the request is over. False: the connection broke (nothing else to do, recovery follows). */
bool link_answered(struct worker *w, const struct redisReply *reply);
/* Redis refused (reaction): waits, reconnects, makes the group …; the caller leaves its state so that the next step tries again. */
void link_refused(struct worker *w, const struct redis_error *error, struct work_queue *queue);
void link_say(struct worker *w, const struct redis_error *error); /* as redis.error, once until something works again */
/* Redis refuses just this queue: said, and left alone for a while. */
void link_refuse_queue(struct worker *w, const struct redis_error *error, struct work_queue *queue);
void link_good(struct worker *w); /* an answer that was no error */
/* One step of the recovery after a reconnect; true when there is nothing (more) to recover. */
bool link_recover(struct worker *w);
bool link_ready(const struct worker *w);
void link_hold(struct worker *w, bool holding); /* bounds every wait by lease/4 while an entry is held */
/* The loop is about to sleep: watch the right things. */
void link_watch(struct worker *w);

/* fetch.c */
MUST_CHECK int fetch_init(struct worker *w);
void fetch_next(struct worker *w);       /* nothing in our hands: take, read, or nap */
void fetch_arrived(struct worker *w, struct entry_list *list); /* the first begins, the rest is kept or given back; takes the list */
/* paused.c: true: the wait was a long one, so it is asked first whether the first one's queue is paused; takes the list then */
bool paused_ask(struct worker *w, struct entry_list *list, int64_t waited_ms);
void fetch_give_back(struct worker *w);  /* send the surplus back */
/* More of this queue for the process that works on it; block_ms < 0: only what is there. */
void fetch_more(struct worker *w, struct work_queue *q, int64_t count, int64_t block_ms);
bool fetch_queue_due(struct worker *w, const struct work_queue *q, int64_t now_mono_ms);
bool fetch_queue_paused(struct worker *w, const struct work_queue *q, int64_t now_mono_ms);
bool fetch_queue_open(struct worker *w, const struct work_queue *q, int64_t now_mono_ms); /* may its entries start now? */
void fetch_make_group(struct worker *w);
void fetch_tell_due(struct worker *w, const struct work_queue *q, int64_t in_ms); /* something was parked there */

/* run.c */
MUST_CHECK int run_init(struct worker *w);
/* delivered_boot_ms: when it was delivered, from which on its lease counts. */
void run_begin(struct worker *w, struct work_queue *q, struct entry *entry /* taken */, int64_t delivered_boot_ms);
bool run_last_was_lost(const struct entry *e); /* its note says so */
void run_show(struct worker *w, const struct run *r); /* in the slot */
void run_check_lease(struct worker *w);  /* stage CHECKING, or the renewal of a running handler */
void run_renewed_timer(struct worker *w);
void run_admitted(struct worker *w);     /* stage ADMITTING is over: it starts, if the lease is still ours */
void run_give_back(struct worker *w, int64_t delay_ms); /* what has not started */
/* It has given a result: kept, if it is a success of a job that keeps them. Takes what it keeps. */
void run_take_result(struct run *r, struct result *result);
void run_clear(struct worker *w); /* nothing is in our hands but acknowledgements */
void run_idle(struct worker *w);  /* if nothing at all is: the slot says so */

/* put_back.c */
void put_back_init(struct worker *w);
/* An entry of this queue is not pending: was it acknowledged by someone, or was the group made again? Then all that is held of it is put
 * back. False: nothing is held. */
bool put_back_send(struct worker *w, struct work_queue *q);
bool put_back_again(struct worker *w); /* the reaper says that a group was made again: true when something is to be done first */

/* settle.c */
/* Decide how this run is settled, from r->outcome. */
void settle_decide(struct worker *w, struct run *r);
void settle_send(struct worker *w, struct run *r);
/* As settle_decide, if a plain XACK settles it; else false, and nothing was done. */
bool settle_plainly(struct worker *w, struct run *r);
bool settle_lease_surely_ours(const struct worker *w, const struct run *r);
void settle_build(struct worker *w, const struct run *r); /* its settling call, into w->cmd */
void settle_finish(struct worker *w, struct run *r, const struct settle_answer *a);

/* acks.c */
void acks_init(struct worker *w);
void acks_done(struct worker *w);
bool acks_full(const struct worker *w);
/* Nothing may be asked for that could block: an answer must come first. */
bool acks_awaited(const struct worker *w);
/* It was a success that a plain XACK settles: it is kept until acks_send, and r is free for the next. */
void acks_keep(struct worker *w, struct run *r);
void acks_tell(struct worker *w, bool ending); /* into the slot */
/* Write the plain XACKs that are not on their way; with flush at once, else with whatever is sent next, or when the loop sleeps. */
void acks_send(struct worker *w, bool flush);
/* One that may have been executed already, or whose lease may have run out: its script. False: there is none. */
bool acks_again(struct worker *w);
void acks_down(struct worker *w); /* the connection broke: what was on its way is in doubt */
bool acks_hold(const struct worker *w, const struct work_queue *q, const char *id);
bool acks_remember(const struct worker *w, const struct work_queue *q, const struct held_id *held); /* acknowledged lately */
void acks_note_done(struct worker *w, const struct run *r);

/* window.c */
MUST_CHECK int window_init(struct worker *w);
void window_done(struct worker *w);
void window_begin(struct worker *w);
bool window_settle(struct worker *w);
void window_next(struct worker *w);
void window_renew(struct worker *w);
void window_read_done(struct worker *w, size_t got);
bool window_busy(const struct worker *w);
size_t window_unanswered(const struct worker *w);
bool window_hold(const struct worker *w, const struct work_queue *q, const char *id);
int64_t window_want(const struct worker *w); /* 0: no such job */
void window_stop(struct worker *w, enum end_kind kind);
bool window_stopped(struct worker *w);
void window_kill(struct worker *w);

struct run *window_oldest(struct window *win); /* unanswered; NULL: none is */
struct run *window_find(struct window *win, const char *id); /* unanswered; NULL: none is */
void window_before_sleep(struct worker *w);
void window_new_oldest(struct worker *w);
void window_decided(struct worker *w, struct run *r);
void window_decide_release(struct worker *w, struct run *r, const char *why);

/* process.c */
MUST_CHECK int process_init(struct worker *w);
void process_launch(struct worker *w);
void process_give(struct worker *w, struct run *r);
void process_flush(struct worker *w);
void process_end(struct worker *w); /* it gets nothing more */
bool process_worn_out(struct worker *w);
/* End the process because of this entry; the others that it works on are given back. */
void process_cancel(struct worker *w, struct run *r, enum end_kind kind);

/* cancel.c: what an operator wants ended. */
MUST_CHECK int cancel_init(struct worker *w);

/* ahead.c */
MUST_CHECK int ahead_init(struct worker *w);
void ahead_done(struct worker *w);
int64_t ahead_want(struct worker *w); /* the COUNT of the next read of the only stream */
void ahead_read(struct worker *w, size_t got, int64_t waited_ms); /* a read of read_count brought so many */
void ahead_keep(struct worker *w, struct work_queue *q, struct entry_list *list /* taken */);
bool ahead_start(struct worker *w);   /* begin the next of those that are held; false: there is none, or they are given back */
void ahead_give_back(struct worker *w, const char *why);
void ahead_note(struct worker *w, const struct run *r, const struct run_end *end); /* what a run took */
void ahead_watch(struct worker *w);   /* a handler started while entries are held */

/* suspend.c */
bool suspend_queue_blocked(struct worker *w, const struct work_queue *q, int64_t now_mono_ms);
bool suspend_job_blocked(struct worker *w, const struct job *job); /* true: give the entry back. Claims the probe otherwise */
void suspend_claim(struct worker *w, const struct job *job, bool *ret_probe);
void suspend_started(struct worker *w, struct run *r);
void suspend_ended(struct worker *w, struct run *r);
enum { SUSPEND_PARK_MS = 15 * 1000 }; /* how long entries of a suspended job are put aside: the longest probe interval */

/* limits.c: jobs with limits over all hosts. */
MUST_CHECK int limits_init(struct worker *w);
void limits_done(struct worker *w);
bool limits_job_closed(struct worker *w, const struct job *job, int64_t now_mono_ms); /* it is at a limit, as far as this host knows */
int64_t limits_open_mono_ms(struct worker *w, int64_t now_mono_ms); /* when one that is closed is looked at again; INT64_MAX: none is closed */
bool limits_must_ask(const struct worker *w, const struct run *r); /* before it starts: stage ADMITTING */
void limits_admit(struct worker *w);
bool limits_leave(struct worker *w); /* true: a slot that we do not need any more is being given back */
const char *limits_running_key(const struct worker *w, const struct run *r); /* of the slot that it runs in, or NULL */
bool limits_read_wanted(const struct worker *w, const struct work_queue *q); /* new entries come by the script */
bool limits_claim(struct worker *w, const struct work_queue *q, int64_t now_mono_ms); /* false: another worker asks */
void limits_build_read(struct worker *w, const struct work_queue *q, int64_t count);
MUST_CHECK int limits_parse_read(struct worker *w, struct work_queue *q, struct redisReply *reply, struct entry_list *ret_list, bool *ret_empty,
				 struct redis_error *ret_error);

/* speak.c */
struct event_about speak_about(const struct worker *w, const struct run *r);
MUST_CHECK int speak_init(struct worker *w);
void speak_started(struct worker *w, const struct run *r);
void speak_failed(struct worker *w, const struct run *r);
void speak_settled(struct worker *w, struct run *r, const struct settle_answer *answer);
void speak_undying(struct worker *w, const struct event_about *about, const char *why); /* killed, and does not end */
void speak_result_dropped(struct worker *w, const struct run *r, const char *why);
void speak_lease_lost(struct worker *w, const struct run *r, const char *owner, int64_t delivery);
void speak_summary(struct worker *w);
void speak_before_sleep(struct worker *w); /* what was counted of successes goes to the shared tally */

/* stop.c */
MUST_CHECK int stop_init(struct worker *w);
bool stop_finished(struct worker *w); /* stopping and nothing left to do: the loop was told to end */
