/* Limits of a job over all hosts. What counts is decided in the scripts, by Redis's own clock. */
#include "redis/limit.h"

#include <errno.h>
#include <stdio.h>

#include "redis/ask.h"
#include "redis/scripts.h"

/* Two scores for each job, one for each limit, far beyond all times. That two jobs share them does no harm:
 * what is woken too early waits on. */
static void band_of(const char *job, char ret_band[NUM_TEXT_SIZE])
{
	char hash[SCRIPT_HASH_SIZE];
	uint64_t number = 0;

	sha1_hex(bytes_of(job), hash);
	for (size_t i = 0; i < 12; i++)
		number = number * 16 + (uint64_t)(hash[i] <= '9' ? hash[i] - '0' : hash[i] - 'a' + 10);
	(void)num_i64_text(LIMIT_BANDS + 2 * (int64_t)number, ret_band);
}

const char *held_by_name(enum held_by h)
{
	return h == HELD_BY_CONCURRENCY ? "concurrency" : h == HELD_BY_RATE ? "rate" : NULL;
}

enum held_by limit_held_by(int64_t *due_ms)
{
	if (*due_ms < LIMIT_BANDS)
		return HELD_NOT;
	enum held_by by = *due_ms % 2 ? HELD_BY_RATE : HELD_BY_CONCURRENCY;
	if (*due_ms >= LIMIT_BANDS_END)
		by = HELD_NOT;
	*due_ms = -1;
	return by;
}

/* As many in a shorter period, rounded so that the longer one never sees more than it may. */
static void set_rate(struct limit *l, const struct rate *rate)
{
	l->starts_max = rate->count;
	l->period_ms = rate->period_ms;
	if (rate->count > LIMIT_STARTS_MAX) {
		l->starts_max = LIMIT_STARTS_MAX;
		l->period_ms = (rate->period_ms * LIMIT_STARTS_MAX + rate->count - 1) / rate->count;
	}
}

int limit_init(struct limit *l, const struct queue *queue, const struct job *job)
{
	*l = (struct limit){ 0 };
	if (!job_limited(job))
		return 0;
	l->running = queue_job_key(queue->stream, queue->group, "running", job->name);
	l->starts = queue_job_key(queue->stream, queue->group, "starts", job->name);
	if (!l->running || !l->starts) {
		limit_done(l);
		return -ENOMEM;
	}
	band_of(job->name, l->band);
	l->concurrency = job->concurrency;
	l->lease_ms = queue->lease_ms;
	l->alone = queue->job_count == 1;
	set_rate(l, &job->rate);
	return 0;
}

void limit_done(struct limit *l)
{
	free(l->running);
	free(l->starts);
	*l = (struct limit){ 0 };
}

/* ---- admit ---- */

static void admit(struct command *c, const struct queue_keys *k, const struct limit *l, const char *me,
		  const char *id, int64_t number)
{
	command_script(c, "admit", 6);
	command_text(c, k->stream);
	command_text(c, k->due);
	command_text(c, k->given);
	command_text(c, k->paused);
	command_text(c, l->running);
	command_text(c, l->starts);
	command_text(c, k->group);
	command_text(c, me);
	command_text(c, XACKD_PARKED);
	command_text(c, id);
	command_i64(c, number);
	command_i64(c, l->concurrency);
	command_i64(c, l->starts_max);
	command_i64(c, l->period_ms);
	command_i64(c, l->lease_ms);
	command_text(c, l->band);
	command_text(c, l->alone ? "1" : "0");
}

void limit_build_admit(struct command *c, const struct queue_keys *k, const struct limit *l, const char *me,
		       const char *id, int64_t delivery)
{
	admit(c, k, l, me, id, delivery);
}

void limit_build_read(struct command *c, const struct queue_keys *k, const struct limit *l, const char *me,
		      int64_t count)
{
	admit(c, k, l, me, "", count);
}

enum { ADMIT_CODE, ADMIT_FREE, ADMIT_WAIT, ADMIT_NOW, ADMIT_READ };

int limit_parse_admit(struct connection *conn, struct redisReply *reply, const struct queue_keys *k,
		      struct admit_answer *ret, struct redis_error *ret_error)
{
	struct admit_answer a = { 0 };

	*ret = a;
	int r = decode_check(reply, ret_error);
	if (r < 0)
		return r;
	int64_t code = decode_is_array(reply, ADMIT_READ) ? decode_i64(reply->element[ADMIT_CODE], -1) : -1;
	if (code < ADMITTED || code > ADMIT_PAUSED)
		return decode_odd("the script admit", ret_error);
	a.code = (enum admission)code;
	a.free = decode_i64(reply->element[ADMIT_FREE], -1);
	a.wait_ms = decode_i64(reply->element[ADMIT_WAIT], 0);
	a.redis_now_ms = decode_i64(reply->element[ADMIT_NOW], 0);
	if (reply->elements > ADMIT_READ) {
		r = queue_parse_read_in(conn, reply, reply->element[ADMIT_READ], &k, 1, &a.list, ret_error);
		for (size_t i = 0; r == 0 && i < a.list.count; i++)
			a.list.entries[i].admitted = true;
	}
	if (r == 0)
		*ret = a;
	return r;
}

/* ---- leave ---- */

void limit_build_leave(struct command *c, const struct queue_keys *k, const struct limit *l, const char *me,
		       int64_t make_due)
{
	command_script(c, "leave", 2);
	command_text(c, k->due);
	command_text(c, l->running);
	command_text(c, me);
	command_text(c, l->band);
	command_i64(c, make_due);
}

/* ---- the reaper and the operator ---- */

enum { TEND_DUE, TEND_WAIT, TEND_NOW, TEND_FIGURES };

static void read_figures(const redisReply *reply, size_t count, struct limit_figures *figures)
{
	for (size_t i = 0; i < count && decode_is_array(reply, TEND_FIGURES + i + 1); i++) {
		const redisReply *row = reply->element[TEND_FIGURES + i];
		if (!decode_is_array(row, 3))
			continue;
		figures[i] = (struct limit_figures){ .running = decode_i64(row->element[0], 0),
						     .free = decode_i64(row->element[1], -1),
						     .started = decode_i64(row->element[2], 0) };
	}
}

int limit_tend(struct connection *c, const struct queue_keys *k, const struct limit *limits, size_t count,
	       const char *dead, int64_t make_due, int64_t *ret_due, int64_t *ret_wait_ms,
	       struct limit_figures *ret_figures, struct redis_error *ret_error)
{
	AUTO_COMMAND cmd = { 0 };
	AUTO_REPLY *reply = NULL;

	command_script(&cmd, "limits", 2 + 2 * count);
	command_text(&cmd, k->stream);
	command_text(&cmd, k->due);
	for (size_t i = 0; i < count; i++) {
		command_text(&cmd, limits[i].running);
		command_text(&cmd, limits[i].starts);
	}
	command_text(&cmd, k->group);
	command_text(&cmd, dead);
	command_i64(&cmd, make_due);
	for (size_t i = 0; i < count; i++) {
		command_text(&cmd, limits[i].band);
		command_i64(&cmd, limits[i].concurrency);
		command_i64(&cmd, limits[i].starts_max);
		command_i64(&cmd, limits[i].period_ms);
	}
	int r = ask_array(c, &cmd, TEND_FIGURES, &reply, ret_error);
	if (r < 0)
		return r;
	*ret_due = decode_i64(reply->element[TEND_DUE], 0);
	*ret_wait_ms = decode_i64(reply->element[TEND_WAIT], -1);
	if (ret_figures)
		read_figures(reply, count, ret_figures);
	return 0;
}
