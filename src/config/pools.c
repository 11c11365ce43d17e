/* The pools: `default` is always there, then what `pools:` names. Each job finds its pool; a pool has one
 * group. */
#include "config/load.h"

#include <errno.h>
#include <stdio.h>

enum { WORKERS_MAX = 1024 };

static size_t default_workers(const struct loading *l)
{
	return l->source->cpus < 1 ? 1 : l->source->cpus > WORKERS_MAX ? WORKERS_MAX : l->source->cpus;
}

static int load_pool(struct loading *l, const struct yaml_pair *pair, struct pool *pool)
{
	const struct key_path top = { NULL, "pools", 0 }, path = { &top, pair->name->text, 0 };
	const struct yaml_node *at[KEY_COUNT] = { NULL };
	struct pool_settings settings = { 0 };

	if (!(pair->value->kind == YAML_SCALAR && pair->value->null)) {
		int r = section_load(&l->loader, SECTION_POOL, pair->value, &path, &settings, at);
		if (r < 0)
			return r;
	}
	if (settings.workers > 0)
		pool->workers = (size_t)settings.workers;
	if (strcmp(pair->name->text, "default") == 0 && l->main_at[KEY_MAIN_WORKERS])
		report_add(
			l->loader.report, pair->name->at, &path,
			"workers: (line %u) gives the size of this pool already (take one of the two away)",
			l->main_at[KEY_MAIN_WORKERS]->at.line);
	return 0;
}

static int load_pools(struct loading *l)
{
	const struct yaml_node *map = l->settings->pools;
	const struct key_path path = { NULL, "pools", 0 };
	struct config *c = l->config;

	if (map && map->kind != YAML_MAP) {
		report_add(l->loader.report, map->at, &path,
			   "must be a mapping of names (such as pools: { video: { workers: 1 } })");
		map = NULL;
	}
	c->pools = arena_array(l->loader.arena, (map ? map->count : 0) + 1, sizeof(struct pool));
	if (!c->pools)
		return -ENOMEM;
	c->pools[0].name = arena_text(l->loader.arena, "default", strlen("default"));
	c->pools[0].workers = l->settings->workers > 0 ? (size_t)l->settings->workers : default_workers(l);
	c->pool_count = 1;
	if (!c->pools[0].name)
		return -ENOMEM;

	for (size_t i = 0; map && i < map->count; i++) {
		const struct yaml_node *name = map->pairs[i].name;
		const struct key_path step = { &path, name->text, 0 };
		struct pool *pool = &c->pools[0];

		if (!name_valid(name->text, name->length)) {
			report_add(l->loader.report, name->at, &step,
				   "%s is not a name for a pool (1 to 64 of A-Z a-z 0-9 . _ -)",
				   QUOTED(name->text, name->length));
			continue;
		}
		if (strcmp(name->text, "default") != 0) {
			pool = &c->pools[c->pool_count++];
			pool->workers = default_workers(l);
			pool->name = arena_text(l->loader.arena, name->text, name->length);
			if (!pool->name)
				return -ENOMEM;
		}
		int r = load_pool(l, &map->pairs[i], pool);
		if (r < 0)
			return r;
	}
	return 0;
}

static int compare_pools(const void *left, const void *right)
{
	return strcmp((*(struct pool *const *)left)->name, (*(struct pool *const *)right)->name);
}

static int compare_name_pool(const void *name, const void *element)
{
	return strcmp(name, (*(struct pool *const *)element)->name);
}

static void unknown_pool(struct loading *l, struct job_load *j)
{
	const struct key_path top = { NULL, "jobs", 0 }, job = { &top, j->job->name, 0 },
			      path = { &job, "pool", 0 };
	AUTO_FREE struct choice *known = calloc(l->config->pool_count + 1, sizeof(*known));
	struct advice advice = { "" };

	for (size_t i = 0; known && i < l->config->pool_count; i++)
		known[i] = (struct choice){ l->config->pools[i].name, 0 };
	const char *near = known ? choice_advice(&advice, known, j->job->pool) : "";
	report_add(l->loader.report, job_place(j, KEY_JOB_POOL), &path, "there is no pool %s%s",
		   QUOTED_TEXT(j->job->pool), *near ? near : " (name it under pools:)");
	j->broken = true;
}

static void check_group(struct loading *l, const struct job_load *first, struct job_load *j)
{
	struct place at = job_place(j, KEY_JOB_GROUP), other = job_place(first, KEY_JOB_GROUP);
	const struct key_path top = { NULL, "jobs", 0 }, job = { &top, j->job->name, 0 },
			      path = { &job, "group", 0 };

	report_add(l->loader.report, at, &path,
		   "%s, but job %s of the same pool %s has %s (%s:%u:%u): a pool has one group",
		   QUOTED_TEXT(j->job->group), first->job->name, QUOTED_TEXT(j->job->pool),
		   QUOTED_TEXT(first->job->group), l->source->texts[other.file].name, other.line,
		   other.column);
	j->broken = true;
}

int resolve_pools(struct loading *l)
{
	int r = load_pools(l);

	if (r < 0)
		return r;
	struct pool **sorted = arena_array(l->loader.scratch, l->config->pool_count, sizeof(struct pool *));
	const struct job_load **first = arena_array(l->loader.scratch, l->config->pool_count, sizeof(*first));
	if (!sorted || !first)
		return -ENOMEM;
	for (size_t i = 0; i < l->config->pool_count; i++)
		sorted[i] = &l->config->pools[i];
	qsort(sorted, l->config->pool_count, sizeof(struct pool *), compare_pools);

	for (size_t i = 0; i < l->job_count; i++) {
		struct job_load *j = &l->jobs[i];
		struct pool **found = bsearch(j->job->pool, sorted, l->config->pool_count,
					      sizeof(struct pool *), compare_name_pool);

		if (!found) {
			unknown_pool(l, j);
			continue;
		}
		j->pool = (size_t)(*found - l->config->pools);
		if (j->broken)
			continue;
		if (!first[j->pool])
			first[j->pool] = j;
		else if (strcmp(first[j->pool]->job->group, j->job->group) != 0)
			check_group(l, first[j->pool], j);
	}
	return 0;
}
