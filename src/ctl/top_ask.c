/* See the header. */
#include "ctl/top_ask.h"

#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/clock.h"

enum { END_WAIT_MS = 300 };

struct top_asker {
	struct ctl ctl; /* the thread's alone */
	struct top_collector *collector;
	int64_t interval_ms;
	locale_t locale; /* of the screen's thread: widths are the same in both */
	int bell;
	pthread_t thread;
	pthread_mutex_t lock; /* for all below */
	pthread_cond_t changed;
	bool stop;
	struct top_request wanted;
	struct top_frame *frame;
	bool has_answer;
	struct top_answered answer;
};

void top_answered_done(struct top_answered *answered)
{
	buf_done(&answered->words);
	buf_done(&answered->text);
}

static void ring(struct top_asker *a)
{
	uint64_t one = 1;
	(void)!write(a->bell, &one, sizeof(one));
}

/* A request, or TOP_NOTHING when it is time for a frame; false: stop. */
static bool wait_for_work(struct top_asker *a, int64_t next_ms, struct top_request *ret_request)
{
	(void)pthread_mutex_lock(&a->lock);
	while (!a->stop && a->wanted.kind == TOP_NOTHING && clock_mono_ms() < next_ms) {
		struct timespec until = { .tv_sec = next_ms / 1000, .tv_nsec = next_ms % 1000 * 1000000 };
		(void)pthread_cond_timedwait(&a->changed, &a->lock, &until);
	}
	bool go_on = !a->stop;
	*ret_request = a->wanted;
	a->wanted.kind = TOP_NOTHING;
	(void)pthread_mutex_unlock(&a->lock);
	return go_on;
}

static void act(struct top_asker *a, const struct top_request *request)
{
	struct top_answered answered = { .request = *request };
	answered.done = top_act(&a->ctl, request, &answered.words, &answered.text);
	(void)pthread_mutex_lock(&a->lock);
	if (a->has_answer)
		top_answered_done(&a->answer);
	a->answer = answered;
	a->has_answer = true;
	(void)pthread_mutex_unlock(&a->lock);
	ring(a);
}

static void collect(struct top_asker *a)
{
	struct top_frame *frame = top_collect(a->collector);
	(void)pthread_mutex_lock(&a->lock);
	top_frame_free(a->frame);
	a->frame = frame;
	(void)pthread_mutex_unlock(&a->lock);
	ring(a);
}

static void *run(void *user)
{
	struct top_asker *a = user;
	struct top_request request;
	int64_t next_ms = clock_mono_ms();
	(void)uselocale(a->locale);
	while (wait_for_work(a, next_ms, &request)) {
		if (request.kind != TOP_NOTHING)
			act(a, &request);
		/* What was changed is to be seen at once. */
		if (request.kind != TOP_NOTHING && request.kind != TOP_LOOK)
			next_ms = clock_mono_ms();
		if (clock_mono_ms() < next_ms)
			continue;
		collect(a);
		next_ms += a->interval_ms;
		if (next_ms < clock_mono_ms())
			next_ms = clock_mono_ms() + a->interval_ms;
	}
	return NULL;
}

static void free_asker(struct top_asker *a)
{
	top_collector_free(a->collector);
	connection_free(a->ctl.redis);
	top_frame_free(a->frame);
	if (a->has_answer)
		top_answered_done(&a->answer);
	if (a->bell >= 0)
		(void)close(a->bell);
	(void)pthread_cond_destroy(&a->changed);
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}

/* Signals are for the screen's thread. */
static int start_thread(struct top_asker *a)
{
	sigset_t all, before;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &before);
	int r = pthread_create(&a->thread, NULL, run, a);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

struct top_asker *top_asker_start(const struct ctl *ctl, int64_t interval_ms)
{
	pthread_condattr_t monotonic;
	struct top_asker *a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->ctl = (struct ctl){ .args = ctl->args, .config = ctl->config, .keys = ctl->keys, .out = ctl->out };
	a->interval_ms = interval_ms;
	a->locale = uselocale((locale_t)0);
	(void)pthread_mutex_init(&a->lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&a->changed, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	a->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	a->collector = top_collector_new(&a->ctl, interval_ms);
	if (a->bell < 0 || !a->collector || start_thread(a) != 0) {
		free_asker(a);
		return NULL;
	}
	return a;
}

int top_asker_fd(const struct top_asker *a)
{
	return a->bell;
}

void top_asker_want(struct top_asker *a, const struct top_request *request)
{
	(void)pthread_mutex_lock(&a->lock);
	a->wanted = *request;
	(void)pthread_cond_signal(&a->changed);
	(void)pthread_mutex_unlock(&a->lock);
}

struct top_frame *top_asker_frame(struct top_asker *a)
{
	uint64_t count;
	(void)!read(a->bell, &count, sizeof(count));
	(void)pthread_mutex_lock(&a->lock);
	struct top_frame *frame = a->frame;
	a->frame = NULL;
	(void)pthread_mutex_unlock(&a->lock);
	return frame;
}

bool top_asker_answer(struct top_asker *a, struct top_answered *ret)
{
	(void)pthread_mutex_lock(&a->lock);
	bool has = a->has_answer;
	if (has)
		*ret = a->answer;
	a->has_answer = false;
	(void)pthread_mutex_unlock(&a->lock);
	return has;
}

bool top_asker_stop(struct top_asker *a)
{
	struct timespec until;
	(void)pthread_mutex_lock(&a->lock);
	a->stop = true;
	(void)pthread_cond_signal(&a->changed);
	(void)pthread_mutex_unlock(&a->lock);
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += END_WAIT_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	if (pthread_timedjoin_np(a->thread, NULL, &until) != 0)
		return false;
	free_asker(a);
	return true;
}
