/* `check`: a plugin for Nagios, Icinga and their like: one line with performance data behind |, and 0 OK, 1
 * WARNING, 2 CRITICAL, 3 UNKNOWN. The limits are for each queue by itself. What cannot be told is UNKNOWN,
 * never OK. */
#include <inttypes.h>

#include "ctl/figures.h"
#include "ctl/text.h"
#include "ctl/verb.h"

enum level { LEVEL_OK, LEVEL_WARNING, LEVEL_CRITICAL, LEVEL_UNKNOWN };

struct verdict {
	struct ctl *ctl;
	enum level level;
	struct buf text; /* what is wrong, "; " between */
	struct buf data; /* performance data */
	int64_t queues, waiting, dead;
};

/* The worst wins; what is known to be bad outweighs what is not known. */
static void raise_to(struct verdict *v, enum level level)
{
	static const int weight[] = {
		[LEVEL_OK] = 0, [LEVEL_WARNING] = 1, [LEVEL_UNKNOWN] = 2, [LEVEL_CRITICAL] = 3
	};
	if (weight[level] > weight[v->level])
		v->level = level;
}

static struct buf *finding(struct verdict *v, enum level level, const struct queue *queue)
{
	raise_to(v, level);
	buf_add_text(&v->text, v->text.n ? "; " : "");
	if (queue)
		buf_addf(&v->text, "%s/%s: ", queue->stream, queue->group);
	return &v->text;
}

/* A label may be any text but for = and '. */
static void add_data(struct verdict *v, const struct queue *queue, const char *name, int64_t value,
		     const char *unit, int64_t limit)
{
	size_t start = v->data.n + 2;
	buf_addf(&v->data, " '%s/%s %s", queue->stream, queue->group, name);
	for (size_t i = start; i < v->data.n; i++) {
		if (strchr("='|", v->data.p[i]))
			v->data.p[i] = '_';
	}
	buf_add_text(&v->data, "'=");
	if (value < 0)
		buf_add_text(&v->data, "U");
	else
		buf_addf(&v->data, "%" PRId64 "%s", value, unit);
	buf_add_text(&v->data, ";;");
	if (limit >= 0)
		buf_addf(&v->data, "%" PRId64, limit);
	buf_add_text(&v->data, ";0");
}

static void hold_against(struct verdict *v, const struct queue *queue, int64_t value, int64_t limit,
			 const char *what)
{
	if (limit < 0)
		return;
	if (value < 0)
		buf_addf(finding(v, LEVEL_UNKNOWN, queue), "Redis cannot tell how many are %s", what);
	else if (value > limit)
		buf_addf(finding(v, LEVEL_CRITICAL, queue), "%" PRId64 " %s (at most %" PRId64 ")", value,
			 what, limit);
}

static void hold_age(struct verdict *v, const struct queue *queue, int64_t age_ms)
{
	int64_t limit = v->ctl->args->max_age_ms;
	if (limit < 0 || age_ms <= limit)
		return;
	struct buf *out = finding(v, LEVEL_CRITICAL, queue);
	buf_add_text(out, "the oldest waits for ");
	text_add_duration(out, age_ms);
	buf_add_text(out, " (at most ");
	text_add_duration(out, limit);
	buf_add_char(out, ')');
}

static void judge(struct verdict *v, const struct queue *queue, const struct queue_gauges *g)
{
	const struct args *args = v->ctl->args;
	int64_t waiting = figures_waiting(queue, g), age = figures_age_ms(g->oldest_waiting, g->redis_now_ms);
	v->queues++;
	v->waiting += waiting > 0 ? waiting : 0;
	v->dead += g->dead;
	hold_against(v, queue, waiting, args->max_waiting, "waiting");
	hold_age(v, queue, age);
	hold_against(v, queue, g->dead, args->max_dead, "dead letters");
	if (g->paused)
		buf_add_text(finding(v, LEVEL_WARNING, queue), "paused");
	add_data(v, queue, "waiting", waiting, "", args->max_waiting);
	add_data(v, queue, "age", age < 0 ? 0 : age / 1000, "s",
		 args->max_age_ms < 0 ? -1 : args->max_age_ms / 1000);
	add_data(v, queue, "running", g->pending > g->parked ? g->pending - g->parked : 0, "", -1);
	add_data(v, queue, "parked", g->parked, "", -1);
	add_data(v, queue, "dead", g->dead, "", args->max_dead);
}

static void look_at_queues(struct verdict *v)
{
	AUTO_BUF why = { 0 };
	struct connection *connection;
	if (ctl_redis_try(v->ctl, &connection, &why) != 0) {
		buf_add_bytes(finding(v, LEVEL_UNKNOWN, NULL), buf_bytes(&why));
		return;
	}
	for (size_t i = 0; i < v->ctl->config->queue_count; i++) {
		const struct queue *queue = &v->ctl->config->queues[i];
		struct queue_gauges gauges = { 0 };
		struct redis_error error = { 0 };
		if (!ctl_chooses_queue(v->ctl, i))
			continue;
		if (admin_gauges(connection, &v->ctl->keys[i], /* count_suspended: */ false, &gauges,
				 &error) < 0)
			buf_add_text(finding(v, LEVEL_UNKNOWN, queue),
				     error.text[0] ? error.text : "no answer");
		else
			judge(v, queue, &gauges);
	}
}

/* Only where a daemon runs on this host: the queues may be looked after from anywhere. */
static void look_at_jobs(struct verdict *v)
{
	AUTO_JSON *suspended = ctl_daemon_list_quietly(v->ctl, "suspended");
	size_t i;
	json_t *row;
	json_array_foreach (suspended, i, row) {
		const char *name = json_string_value(json_object_get(row, "job"));
		const struct job *job = name ? config_job(v->ctl->config, name) : NULL;
		if (job && ctl_chooses_queue(v->ctl, job->queue))
			buf_addf(finding(v, LEVEL_WARNING, NULL), "job %s is suspended", name);
	}
}

static void tell(struct verdict *v)
{
	static const char *const names[] = { "OK", "WARNING", "CRITICAL", "UNKNOWN" };
	AUTO_BUF line = { 0 };
	struct output *o = &v->ctl->out;
	if (o->format != OUTPUT_TABLE) {
		buf_add_char(&line, '{');
		json_add_name(&line, "status");
		json_add_text(&line, bytes_of(names[v->level]));
		json_add_name(&line, "text");
		json_add_text(&line, buf_bytes(&v->text));
		json_add_name(&line, "perfdata");
		json_add_text(&line, buf_bytes(&v->data));
		buf_add_char(&line, '}');
		output_json(o, buf_bytes(&line));
		return;
	}
	buf_addf(&line, "XACKD %s - ", names[v->level]);
	size_t from = line.n;
	if (v->text.n)
		text_escape(&line, buf_bytes(&v->text), o->unicode, v->text.n);
	else
		buf_addf(&line, "%" PRId64 " queues, %" PRId64 " waiting, %" PRId64 " dead", v->queues,
			 v->waiting, v->dead);
	for (size_t i = from; i < line.n; i++) /* | begins the performance data */
		line.p[i] = line.p[i] == '|' ? '/' : line.p[i];
	buf_add_text(&line, v->data.n ? " |" : "");
	text_escape(&line, buf_bytes(&v->data), o->unicode, v->data.n);
	buf_add_char(&line, '\n');
	output_write(o, buf_bytes(&line));
}

int verb_check(struct ctl *ctl)
{
	struct verdict v = { .ctl = ctl };
	AUTO_BUF report = { 0 };
	if (ctl_load(ctl, &report) != 0) {
		while (report.n > 0 && report.p[report.n - 1] == '\n')
			report.p[--report.n] = '\0';
		buf_add_bytes(finding(&v, LEVEL_UNKNOWN, NULL), buf_bytes(&report));
	} else if (ctl_check_choice(ctl) != 0) {
		buf_add_text(finding(&v, LEVEL_UNKNOWN, NULL), "there is no such job or queue");
	} else {
		look_at_queues(&v);
		look_at_jobs(&v);
	}
	tell(&v);
	buf_done(&v.text);
	buf_done(&v.data);
	return v.level;
}
