/* `cron:` becomes schedules: each finds its job, its zone, and the fields of its entries. What would reach
 * another job, or none, is an error here and not a dead letter each night. */
#include <errno.h>

#include "config/load.h"
#include "domain/route.h"

enum { SCHEDULES_MAX = 1000 };

/* A schedule while it is being made. */
struct schedule_load {
	struct schedule *schedule;
	const struct yaml_node *name;
	const struct yaml_node *at[KEY_COUNT];
};

static struct place place_of(const struct schedule_load *s, enum key_id key)
{
	return s->at[key] ? s->at[key]->at : s->name->at;
}

static void find_job(struct loading *l, struct schedule_load *s, const struct key_path *path)
{
	const struct key_path step = { path, "job", 0 };
	AUTO_FREE struct choice *known = calloc(l->config->job_count + 1, sizeof(*known));
	struct advice advice = { "" };

	s->schedule->job = config_job(l->config, s->schedule->job_name);
	if (s->schedule->job)
		return;
	for (size_t i = 0; known && i < l->config->job_count; i++)
		known[i] = (struct choice){ l->config->jobs[i].name, 0 };
	const char *near = known ? choice_advice(&advice, known, s->schedule->job_name) : "";
	report_add(l->loader.report, place_of(s, KEY_CRON_JOB), &step, "there is no job %s%s",
		   QUOTED_TEXT(s->schedule->job_name), *near ? near : " (name one of jobs:)");
}

static int make_pairs(struct loading *l, struct schedule *s)
{
	s->pairs = arena_array(l->loader.arena, s->field_count + s->job->match_count + 1, sizeof(*s->pairs));
	if (!s->pairs)
		return -ENOMEM;
	for (size_t i = 0; i < s->field_count; i++)
		s->pairs[s->pair_count++] =
			(struct entry_pair){ bytes_of(s->fields[i].name), bytes_of(s->fields[i].value) };
	s->pair_count = route_fill(s->job, s->pairs, s->pair_count);
	s->pairs[s->pair_count++] = (struct entry_pair){ bytes_of(SCHEDULE_FIELD_NAME), bytes_of(s->name) };
	return 0;
}

/* What a worker would make of an entry. */
static void check_route(struct loading *l, const struct schedule_load *s, const struct key_path *path)
{
	const struct entry entry = { .pairs = s->schedule->pairs, .pair_count = s->schedule->pair_count };
	const struct job *job = s->schedule->job, *takes = route_job(&l->config->queues[job->queue], &entry);
	const struct key_path step = { path, "fields", 0 };

	if (takes == job)
		return;
	if (takes)
		report_add(l->loader.report, place_of(s, KEY_CRON_FIELDS), &step,
			   "with these fields the entries would be of job %s, which stands before %s and has "
			   "the same stream and group",
			   takes->name, job->name);
	else
		report_add(
			l->loader.report, place_of(s, KEY_CRON_FIELDS), &step,
			"with these fields the entries would be of no job: they contradict the match of %s",
			job->name);
}

/* Schedules of one zone share it. */
static int find_zone(struct loading *l, struct schedule_load *s, size_t index, const struct key_path *path)
{
	const struct key_path step = { path, "timezone", 0 };
	struct config_store *store = l->config->store;
	const char *name = s->schedule->timezone;
	struct zone *zone = NULL;
	struct fault fault = { 0 };

	if (l->to_read || l->source->handed_on)
		return 0;
	for (size_t i = 0; i < index; i++) {
		const struct schedule *other = &l->config->schedules[i];
		if (other->zone && (name && other->timezone ? strcmp(name, other->timezone) == 0
							    : name == other->timezone)) {
			s->schedule->zone = other->zone;
			return 0;
		}
	}
	struct zone **grown = reallocarray(store->zones, store->zone_count + 1, sizeof(struct zone *));
	if (!grown)
		return -ENOMEM;
	store->zones = grown;
	int r = zone_load(name, &zone, &fault);
	if (r == -EINVAL)
		report_add(l->loader.report, place_of(s, KEY_CRON_TIMEZONE), &step, "%s", fault.text);
	if (r == 0 && zone)
		store->zones[store->zone_count++] = zone;
	s->schedule->zone = zone;
	return r == -ENOMEM ? r : 0;
}

static int make_rule(struct loading *l, struct schedule *s)
{
	AUTO_BUF rule = { 0 };

	buf_add_text(&rule, s->expression);
	if (s->timezone)
		buf_addf(&rule, " %s", s->timezone);
	if (rule.failed || !(s->rule = arena_text(l->loader.arena, rule.p, rule.n)))
		return -ENOMEM;
	return 0;
}

/* What of it is not told by one key alone. Only where nothing was wrong with the jobs: what they are is known
 * then. */
static int resolve(struct loading *l, struct schedule_load *s, size_t index, const struct key_path *path,
		   bool jobs_known)
{
	struct report *report = l->loader.report;
	size_t errors = report->count;
	int r = make_rule(l, s->schedule);

	if (jobs_known)
		find_job(l, s, path);
	if (r == 0)
		r = find_zone(l, s, index, path);
	if (r < 0 || !s->schedule->job || report->count != errors)
		return r;
	r = make_pairs(l, s->schedule);
	if (r == 0)
		check_route(l, s, path);
	return r;
}

static void check_name(struct loading *l, const struct schedule_load *all, size_t index,
		       const struct key_path *path)
{
	const struct yaml_node *name = all[index].name;

	if (!name_valid(name->text, name->length))
		report_add(l->loader.report, name->at, path,
			   "%s is not a name for a schedule (1 to 64 of A-Z a-z 0-9 . _ -)",
			   QUOTED(name->text, name->length));
	for (size_t i = 0; i < index; i++) {
		const struct place *first = &all[i].name->at;
		if (strcmp(all[i].schedule->name, name->text) != 0)
			continue;
		report_add(l->loader.report, name->at, path,
			   "there is a schedule of this name already (%s:%u:%u)",
			   l->source->texts[first->file].name, first->line, first->column);
		return;
	}
}

static int load_schedule(struct loading *l, struct schedule_load *all, size_t index,
			 const struct yaml_node *value, bool jobs_known)
{
	struct schedule_load *s = &all[index];
	const struct key_path top = { NULL, "cron", 0 }, path = { &top, s->name->text, 0 };
	struct report *report = l->loader.report;
	size_t errors = report->count;

	s->schedule->name = arena_text(l->loader.arena, s->name->text, s->name->length);
	if (!s->schedule->name)
		return -ENOMEM;
	check_name(l, all, index, &path);
	int r = section_preset(&l->loader, SECTION_CRON, s->schedule);
	if (r == 0 && !(value->kind == YAML_SCALAR && value->null))
		r = section_load(&l->loader, SECTION_CRON, value, &path, s->schedule, s->at);
	if (r < 0)
		return r;
	if (report->count != errors && !s->schedule->expression)
		return 0;
	if (!s->at[KEY_CRON_SCHEDULE])
		report_add(report, s->name->at, &path,
			   "never comes (give it schedule:, such as \"0 3 * * *\")");
	if (!s->at[KEY_CRON_JOB])
		report_add(report, s->name->at, &path, "does nothing (give it job:)");
	return report->count == errors ? resolve(l, s, index, &path, jobs_known) : 0;
}

int resolve_schedules(struct loading *l)
{
	const struct yaml_node **maps = arena_array(l->loader.scratch, l->source->count, sizeof(*maps));
	bool jobs_known = l->loader.report->count == 0;
	size_t index = 0;

	if (!maps)
		return -ENOMEM;
	size_t count = collect_maps(l, "cron", l->settings->cron,
				    "cron: { nightly: { schedule: \"0 3 * * *\", job: hello } }", maps);
	if (count > SCHEDULES_MAX) {
		report_add(l->loader.report, (struct place){ 0, 0, 0 }, &(struct key_path){ NULL, "cron", 0 },
			   "has %zu schedules (%d at most)", count, SCHEDULES_MAX);
		return 0;
	}
	struct schedule_load *all = arena_array(l->loader.scratch, count, sizeof(*all));
	l->config->schedules = arena_array(l->loader.arena, count, sizeof(struct schedule));
	if (!all || !l->config->schedules)
		return -ENOMEM;
	for (size_t i = 0; i < l->source->count; i++) {
		for (size_t k = 0; maps[i] && k < maps[i]->count; k++, index++) {
			all[index].schedule = &l->config->schedules[index];
			all[index].name = maps[i]->pairs[k].name;
			int r = load_schedule(l, all, index, maps[i]->pairs[k].value, jobs_known);
			if (r < 0)
				return r;
		}
	}
	l->config->schedule_count = count;
	return 0;
}
