/* The workers' slots as a table: for each state and event one answer. A worker that dies is replaced at once, with backoff when it keeps dying; what
 * it was running is killed before its entry is released. */
#include "supervisor/state.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/killpoint.h"
#include "domain/backoff.h"
#include "domain/outcome.h"
#include "handler/strays.h"
#include "ipc/inherit.h"

enum {
	RESTART_BASE_MS = 100,
	RESTART_CAP_MS = 10 * 1000,
	SOON_MS = 10 * 1000, /* a death within this time of the start counts as one in a row */
	STRAYS_LIMIT_MS = 2000,
};

typedef void slot_action(struct worker_slot *w);

static void backoff_for(struct worker_slot *w, int64_t wait_ms)
{
	struct ev_loop *loop = w->sup->loop;
	w->state = SLOT_BACKOFF;
	ev_timer_stop(loop, &w->timer);
	ev_now_update(loop);
	ev_timer_set(&w->timer, (double)wait_ms / 1000., 0.);
	ev_timer_start(loop, &w->timer);
}

static const char *name_of(const struct worker_slot *w, char *text, size_t size)
{
	snprintf(text, size, "%s/%d", w->pool->name, w->number);
	return text;
}

static void ignore(struct worker_slot *w)
{
	(void)w;
}

static void start(struct worker_slot *w)
{
	struct supervisor *s = w->sup;

	KILL_POINT("worker_spawn.before");
	slot_reset(board_slot(s->board, w->index));
	int r = worker_spawn(s, w, &w->pid);
	if (r < 0) {
		char name[96];
		w->pid = 0;
		event(s->log, WORKER_EXITED, (&(struct event_about){ .worker = name_of(w, name, sizeof(name)) }),
		      F_TEXT("why", "it could not be started"), F_TEXT("error", strerror(-r)));
		backoff_for(w, backoff_full_jitter_ms(RESTART_BASE_MS, RESTART_CAP_MS, ++w->failures, 0.9));
		return;
	}
	KILL_POINT("worker_spawn.after");
	w->state = SLOT_RUNNING;
	w->started_mono_ms = clock_mono_ms();
}

static void close_slot(struct worker_slot *w)
{
	ev_timer_stop(w->sup->loop, &w->timer);
	w->state = SLOT_CLOSED;
}

static void drain(struct worker_slot *w)
{
	(void)kill(w->pid, SIGCONT); /* first: a process that ends must not be disturbed by it */
	(void)kill(w->pid, SIGTERM);
	w->state = SLOT_DRAINING;
}

static void retire(struct worker_slot *w)
{
	(void)kill(w->pid, SIGCONT); /* first: a process that ends must not be disturbed by it */
	(void)kill(w->pid, SIGUSR1);
	w->state = SLOT_RETIRING;
}

/* It fetches nothing any more, and would count by the drain_timeout of its own generation: what is in force counts here. */
static void drain_retiring(struct worker_slot *w)
{
	struct ev_loop *loop = w->sup->loop;

	w->state = SLOT_DRAINING;
	ev_timer_stop(loop, &w->timer);
	ev_now_update(loop);
	ev_timer_set(&w->timer, (double)w->sup->config->drain_timeout_ms / 1000., 0.);
	ev_timer_start(loop, &w->timer);
}

static void hurry(struct worker_slot *w)
{
	(void)kill(w->pid, SIGCONT); /* first: a process that ends must not be disturbed by it */
	(void)kill(w->pid, SIGINT);
	w->state = SLOT_DRAINING;
}

static void kill_worker(struct worker_slot *w)
{
	(void)kill(w->pid, SIGKILL);
	w->state = SLOT_DRAINING;
}

/* ---- death ---- */

static size_t living(struct supervisor *s, pid_t *pids)
{
	size_t n = 0;
	for (size_t i = 0; i < s->slot_count; i++) {
		if (s->slots[i]->pid > 0)
			pids[n++] = s->slots[i]->pid;
	}
	if (embedded_pid(s) > 0)
		pids[n++] = embedded_pid(s);
	return n;
}

static bool orderly(int status)
{
	return WIFEXITED(status) && (WEXITSTATUS(status) == WORKER_EXIT_OK || WEXITSTATUS(status) == WORKER_EXIT_UNSETTLED);
}

static void say_end(struct worker_slot *w, const struct slot_identity *id, bool asked)
{
	struct supervisor *s = w->sup;
	int status = w->wait_status;
	char name[96], signal_text[16];
	struct event_about about = { .worker = name_of(w, name, sizeof(name)), .pid = w->pid };

	int64_t code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	int64_t number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	const struct event_field named = F_TEXT("signal_name", signal_name((int)number, signal_text));
	event(s->log, asked && orderly(status) ? WORKER_STOPPED : WORKER_EXITED, &about, F_I64_UNLESS("status", code, -1),
	      F_I64_UNLESS("signal", number, 0), number ? named : (struct event_field)F_SKIP(), F_TEXT("consumer", id->consumer));
}

/* In this order: the handler's group dies, then what escaped it and fell to us, and only then is the entry released. */
static void bury(struct worker_slot *w)
{
	struct supervisor *s = w->sup;
	struct dead_worker dead = { .crashed = !orderly(w->wait_status), .everywhere = w->gen != s->gen };
	AUTO_FREE pid_t *keep = calloc(s->slot_count + 1, sizeof(*keep));
	bool asked = w->state == SLOT_DRAINING || w->state == SLOT_RETIRING;

	KILL_POINT("worker_bury.before");
	slot_read(board_slot(s->board, w->index), &dead.identity, &dead.run);
	slot_read_done(board_slot(s->board, w->index), &dead.done);
	if (dead.run.handler_pid > 0)
		strays_kill_group(dead.run.handler_pid, dead.run.handler_start);
	groups_kill(s, w);
	say_end(w, &dead.identity, asked);
	w->pid = 0;
	if (keep)
		(void)strays_kill(keep, living(s, keep), STRAYS_LIMIT_MS);
	if (s->stopping && w->wait_status != 0)
		s->exit_code = 1; /* an outcome was not settled, or it had to be killed */
	KILL_POINT("worker_bury.killed");
	if (dead.identity.consumer[0])
		reaper_worker_died(s->reaper, &dead);
	slot_reset(board_slot(s->board, w->index));
	atomic_store(&board_slot(s->board, w->index)->state, WORKER_NONE);
	KILL_POINT("worker_bury.after");
}

static void replace(struct worker_slot *w)
{
	bool soon = clock_mono_ms() - w->started_mono_ms < SOON_MS;

	bury(w);
	w->sup->worker_restarts++;
	w->failures = soon ? w->failures + 1 : 0;
	if (w->failures <= 1)
		start(w);
	else
		backoff_for(w, backoff_full_jitter_ms(RESTART_BASE_MS, RESTART_CAP_MS, w->failures - 1, 0.9));
}

static void drained(struct worker_slot *w)
{
	bury(w);
	groups_remove(w->sup, w);
	close_slot(w);
}

static void bug(struct worker_slot *w)
{
	event(w->sup->log, DAEMON_WARNING, NULL, F_TEXT("why", "a worker slot got an event that its state cannot have"), F_I64("state", w->state));
}

static slot_action *const slot_table[SLOT_STATE_COUNT][SLOT_EVENT_COUNT] = {
	/* clang-format off */
	/*                  START    EXIT      TIMER    RETIRE      STOP        FAST        KILL */
	[SLOT_EMPTY]    = { start,   bug,      ignore,  close_slot, close_slot, close_slot, close_slot },
	[SLOT_RUNNING]  = { ignore,  replace,  ignore,  retire,     drain,      hurry,      kill_worker },
	[SLOT_BACKOFF]  = { ignore,  bug,      start,   close_slot, close_slot, close_slot, close_slot },
	[SLOT_RETIRING] = { ignore,  drained,  ignore,  ignore,     drain_retiring, hurry,  kill_worker },
	[SLOT_DRAINING] = { ignore,  drained,  hurry,   ignore,     ignore,     hurry,      kill_worker },
	[SLOT_CLOSED]   = { ignore,  bug,      ignore,  ignore,     ignore,     ignore,     ignore },
	/* clang-format on */
};

static void happen(struct worker_slot *w, enum slot_event event_id)
{
	slot_table[w->state][event_id](w);
}

/* ---- for the supervisor ---- */

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	happen(timer->data, SLOT_EV_TIMER);
}

static bool index_used(struct worker_slot *const *list, size_t count, size_t index)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i] && list[i]->index == index)
			return true;
	}
	return false;
}

/* The lowest row of the board that neither list has. */
static int slot_new(struct supervisor *s, const struct pool *pool, int number, struct worker_slot *const *list, size_t count,
		    struct worker_slot **ret_slot)
{
	size_t index = 0;

	while (index_used(s->slots, s->slot_count, index) || index_used(list, count, index))
		index++;
	int r = board_grow_slots(s->board, index + 1);
	if (r < 0)
		return r;
	struct worker_slot *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	*w = (struct worker_slot){ .sup = s, .index = index, .gen = s->gen, .pool = pool, .number = number };
	ev_init(&w->timer, on_timer);
	w->timer.data = w;
	*ret_slot = w;
	return 0;
}

int slots_init(struct supervisor *s)
{
	struct slot_changes changes;
	return slots_change(s, NULL, &changes);
}

static struct worker_slot *find_slot(struct supervisor *s, const char *pool, int number)
{
	for (size_t i = 0; i < s->slot_count; i++) {
		struct worker_slot *w = s->slots[i];
		bool stays = w->state == SLOT_RUNNING || w->state == SLOT_BACKOFF;
		if (stays && w->number == number && strcmp(w->pool->name, pool) == 0)
			return w;
	}
	return NULL;
}

/* One place of the new generation: the worker that is there already, if its pool is the same, else a new one. */
static int fill_place(struct supervisor *s, const struct pool *pool, int number, bool same, struct worker_slot **list, size_t at,
		      struct slot_changes *changes)
{
	struct worker_slot *there = find_slot(s, pool->name, number);

	if (there && same) {
		list[at] = there;
		changes->kept++;
		return 0;
	}
	*(there ? &changes->replaced : &changes->added) += 1;
	return slot_new(s, pool, number, list, at, &list[at]);
}

static bool pool_is_same(const struct generation *from, const struct config *c, const struct pool *pool)
{
	for (size_t i = 0; from && i < from->config->pool_count; i++) {
		const struct pool *old = &from->config->pools[i];
		if (strcmp(old->name, pool->name) == 0)
			return generation_same_pool(from->config, old, c, pool);
	}
	return false;
}

static int make_places(struct supervisor *s, const struct generation *from, struct worker_slot **list, size_t *used,
		       struct slot_changes *changes)
{
	const struct config *c = s->config;
	int r = 0;

	for (size_t p = 0; p < c->pool_count && r == 0; p++) {
		const struct pool *pool = &c->pools[p];
		bool same = pool_is_same(from, c, pool);
		for (size_t i = 0; pool->queue_count > 0 && i < pool->workers && r == 0; i++) {
			r = fill_place(s, pool, (int)i, same, list, *used, changes);
			*used += r == 0;
		}
	}
	return r;
}

static bool in_list(struct worker_slot *const *list, size_t count, const struct worker_slot *w)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i] == w)
			return true;
	}
	return false;
}

/* New ones first, so that somebody reads while the old ones end. */
static void go_over(struct supervisor *s, struct worker_slot **list, size_t places, size_t all, struct slot_changes *changes)
{
	for (size_t i = 0; i < places; i++) {
		struct worker_slot *w = list[i];
		for (size_t p = 0; p < s->config->pool_count; p++) { /* also those that stay belong to this generation now */
			if (strcmp(s->config->pools[p].name, w->pool->name) == 0) {
				w->pool = &s->config->pools[p];
				break;
			}
		}
		w->gen = s->gen;
		if (w->state == SLOT_EMPTY && s->workers_started)
			happen(w, SLOT_EV_START);
	}
	for (size_t i = places; i < all; i++) {
		changes->removed += list[i]->state == SLOT_RUNNING || list[i]->state == SLOT_BACKOFF;
		happen(list[i], SLOT_EV_RETIRE);
	}
	changes->removed -= changes->replaced < changes->removed ? changes->replaced : changes->removed;
}

int slots_change(struct supervisor *s, const struct generation *from, struct slot_changes *ret_changes)
{
	struct worker_slot **list = calloc(s->config->slot_count + s->slot_count + 1, sizeof(struct worker_slot *));
	size_t places = 0;

	*ret_changes = (struct slot_changes){ 0 };
	int r = list ? make_places(s, from, list, &places, ret_changes) : -ENOMEM;
	if (r < 0) {
		for (size_t i = 0; i < places; i++) {
			if (!in_list(s->slots, s->slot_count, list[i]))
				free(list[i]);
		}
		free(list);
		return r;
	}
	size_t all = places;
	for (size_t i = 0; i < s->slot_count; i++) {
		if (!in_list(list, places, s->slots[i]))
			list[all++] = s->slots[i];
	}
	free(s->slots);
	s->slots = list;
	s->slot_count = all;
	go_over(s, list, places, all, ret_changes);
	return 0;
}

uint64_t slots_sweep(struct supervisor *s)
{
	uint64_t oldest = s->gen->number;
	size_t kept = 0;

	for (size_t i = 0; i < s->slot_count; i++) {
		struct worker_slot *w = s->slots[i];
		if (w->state == SLOT_CLOSED && !s->stopping) {
			free(w);
			continue;
		}
		oldest = w->gen->number < oldest ? w->gen->number : oldest;
		s->slots[kept++] = w;
	}
	s->slot_count = kept;
	return oldest;
}

void slots_event_all(struct supervisor *s, enum slot_event event_id)
{
	for (size_t i = 0; i < s->slot_count; i++)
		happen(s->slots[i], event_id);
}

void slots_reap_children(struct supervisor *s)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (embedded_child_ended(s, pid, status))
			continue;
		for (size_t i = 0; i < s->slot_count; i++) {
			if (s->slots[i]->pid != pid)
				continue;
			s->slots[i]->wait_status = status;
			happen(s->slots[i], SLOT_EV_EXIT);
			break;
		} /* none of them: a stray that fell to us, now gone */
	}
}

bool slots_all_closed(const struct supervisor *s)
{
	for (size_t i = 0; i < s->slot_count; i++) {
		if (s->slots[i]->state != SLOT_CLOSED)
			return false;
	}
	return true;
}

size_t slots_count(const struct supervisor *s)
{
	size_t n = 0;
	for (size_t i = 0; i < s->slot_count; i++)
		n += s->slots[i]->state != SLOT_CLOSED;
	return n;
}

size_t slots_count_state(struct supervisor *s, enum worker_state state)
{
	size_t n = 0;
	for (size_t i = 0; i < s->slot_count; i++)
		n += atomic_load(&board_slot(s->board, s->slots[i]->index)->state) == (uint32_t)state;
	return n;
}

void slots_done(struct supervisor *s)
{
	for (size_t i = 0; i < s->slot_count; i++)
		free(s->slots[i]);
	free(TAKE(s->slots));
	s->slot_count = 0;
}
