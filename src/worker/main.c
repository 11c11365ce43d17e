/* A worker's start: what it inherited, its configuration, its name, its loop; and its end. */
#include "worker/worker.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/privacy.h"
#include "worker/state.h"

#include <errno.h>

static const struct pool *pool_of(const struct config *c, const struct worker_place *place)
{
	for (size_t i = 0; i < c->pool_count; i++) {
		if (strcmp(c->pools[i].name, place->pool) == 0)
			return c->pools[i].queue_count > 0 ? &c->pools[i] : NULL;
	}
	return NULL;
}

static int close_on_exec(void)
{
	for (int fd = WORKER_FD_SOURCE; fd < WORKER_FD_SOURCE + WORKER_FD_COUNT; fd++) {
		int r = fd_set_cloexec(fd);
		if (r < 0)
			return r;
	}
	return 0;
}

static int load_config(struct worker *w)
{
	AUTO_BUF report = { 0 };
	int r = config_source_from_fd(WORKER_FD_SOURCE, &w->source);
	if (r == 0)
		r = config_load(w->source, &w->config, &report);
	if (r == 0)
		privacy_set(config_has_secret(w->config));
	config_source_free(TAKE(w->source)); /* a worker never needs the texts again */
	return r;
}

static int open_log(struct worker *w)
{
	void *shared = mmap(NULL, log_shared_size(), PROT_READ | PROT_WRITE, MAP_SHARED, WORKER_FD_LOG, 0);
	if (shared == MAP_FAILED)
		return -errno;
	w->log = log_new(STDERR_FILENO, (enum log_style)w->config->log_format, (enum event_level)w->config->log_level, w->config->name, shared);
	return w->log ? 0 : -ENOMEM;
}

/* A name that no process ever had: what is pending under it is ours alone. */
static void take_identity(struct worker *w)
{
	struct slot_identity id = { .slot = w->slot_in_pool, .pid = getpid() };
	unsigned long long start = 0;
	char hex[17];

	fd_random_hex(hex, 8);
	snprintf(w->name, sizeof(w->name), "%s/%d", w->pool->name, w->slot_in_pool);
	snprintf(w->consumer, sizeof(w->consumer), "%s/%s/%s", w->config->name, w->name, hex);
	snprintf(id.pool, sizeof(id.pool), "%s", w->pool->name);
	snprintf(id.consumer, sizeof(id.consumer), "%s", w->consumer);
	if (fd_process_start(getpid(), &start) == 0)
		id.pid_start = start;
	slot_set_identity(w->slot, &id);
	(void)prctl(PR_SET_NAME, "xackd-worker");
}

static int open_queues(struct worker *w)
{
	size_t n = w->pool->queue_count;
	w->queues = calloc(n, sizeof(*w->queues));
	w->read_keys = calloc(n, sizeof(*w->read_keys));
	w->read_queues = calloc(n, sizeof(*w->read_queues));
	if (!w->queues || !w->read_keys || !w->read_queues)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct work_queue *q = &w->queues[i];
		q->index = w->pool->queues[i];
		q->def = &w->config->queues[q->index];
		int r = queue_keys_init(&q->keys, q->def->stream, q->def->group);
		if (r < 0)
			return r;
	}
	w->queue_count = n;
	return 0;
}

static void read_clocks(struct worker *w)
{
	w->turn_mono_ms = clock_mono_ms();
	w->turn_boot_ms = clock_boot_ms();
}

static int setup(struct worker *w)
{
	int r = close_on_exec();
	if (r == 0)
		r = load_config(w);
	if (r == 0)
		r = board_attach(WORKER_FD_BOARD, &w->board);
	if (r == 0)
		r = board_bind(w->board, &(struct board_rows){ w->config->jobs, w->config->job_count, w->config->queues, w->config->queue_count });
	if (r != 0)
		return r;
	w->slot = board_slot(w->board, w->place.row);
	w->pool = pool_of(w->config, &w->place);
	if (!w->pool || !w->slot)
		return -EINVAL;
	w->slot_in_pool = w->place.number;
	w->host_workers = w->config->slot_count;
	r = open_log(w);
	if (r == 0)
		r = open_queues(w);
	if (r < 0)
		return r;
	take_identity(w);
	w->group_home = group_enter(WORKER_FD_GROUP);
	w->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	if (!w->loop)
		return -ENOMEM;
	read_clocks(w);
	w->run = &w->the_run;
	acks_init(w);
	put_back_init(w);
	r = speak_init(w);
	if (r == 0)
		r = limits_init(w);
	if (r == 0)
		r = ahead_init(w);
	if (r == 0)
		r = stop_init(w);
	if (r == 0)
		r = cancel_init(w);
	if (r == 0)
		r = fetch_init(w);
	if (r == 0)
		r = run_init(w);
	if (r == 0)
		r = window_init(w);
	if (r == 0)
		r = link_init(w);
	return r;
}

/* libev calls this before any other callback of the turn: nobody decides by a clock from before the sleep. */
static void after_sleep(struct ev_loop *loop, ev_check *watcher, int events)
{
	(void)loop;
	(void)events;
	read_clocks(watcher->data);
}

static void before_sleep(struct ev_loop *loop, ev_prepare *watcher, int events)
{
	struct worker *w = watcher->data;
	(void)loop;
	(void)events;
	atomic_store(&w->slot->beat_mono_ms, clock_mono_ms()); /* the loop turned: who does not do this for long is hung */
	if (w->window.news) {
		w->window.news = false;
		worker_step(w);
	}
	window_before_sleep(w);
	speak_before_sleep(w);
	link_watch(w);
}

static void teardown(struct worker *w)
{
	window_done(w);
	handler_free(w->handler);
	link_done(w);
	entry_done(&w->the_run.entry);
	result_done(&w->the_run.result);
	acks_done(w);
	ahead_done(w);
	limits_done(w);
	entry_list_done(&w->surplus);
	for (size_t i = 0; i < w->queue_count; i++)
		queue_keys_done(&w->queues[i].keys);
	for (size_t i = 0; w->numbers && i < w->config->job_count; i++)
		free(w->numbers[i]);
	free(w->numbers);
	free(w->queues);
	free(w->read_keys);
	free(w->read_queues);
	buf_done(&w->note);
	command_done(&w->cmd);
	if (w->loop)
		ev_loop_destroy(w->loop);
	log_free(w->log);
	config_free(w->config);
	board_free(w->board);
	free(w);
}

static void never(struct ev_loop *loop, ev_periodic *watcher, int events)
{
	(void)loop;
	(void)watcher;
	(void)events;
}

/* libev wakes up each minute to look whether the clock was set, unless a timer of the kernel tells it: then a worker that has nothing to do sleeps. */
static void sleep_long(struct worker *w)
{
	const double year_s = 365.25 * 24 * 3600;

	ev_periodic_init(&w->no_minutes, never, ev_time() + 100 * year_s, 0., NULL);
	ev_periodic_start(w->loop, &w->no_minutes);
	ev_unref(w->loop);
}

int worker_main(const struct worker_place *place)
{
	struct worker *w = calloc(1, sizeof(*w));
	if (!w)
		return WORKER_EXIT_SETUP;
	w->place = *place;
	(void)signal(SIGPIPE, SIG_IGN);
	int r = setup(w);
	if (r < 0) {
		fprintf(stderr, "xackd: worker %s/%d cannot start: %s\n", place->pool, place->number, strerror(-r));
		return WORKER_EXIT_SETUP;
	}
	event(w->log, WORKER_STARTED, (&(struct event_about){ .worker = w->name, .pid = getpid() }), F_TEXT("consumer", w->consumer));
	ev_prepare prepare;
	ev_prepare_init(&prepare, before_sleep);
	prepare.data = w;
	ev_prepare_start(w->loop, &prepare);
	ev_check check;
	ev_check_init(&check, after_sleep);
	ev_set_priority(&check, EV_MAXPRI);
	check.data = w;
	ev_check_start(w->loop, &check);
	sleep_long(w);
	worker_step(w);
	ev_run(w->loop, 0);
	speak_before_sleep(w);
	speak_summary(w);
	int code = w->exit_code;
	teardown(w);
	return code;
}
