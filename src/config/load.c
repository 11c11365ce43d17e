/* Texts become a configuration: trees, then the main file's settings, then `defaults:` on top of the table's,
 * then each job on top of those. A job starts as a copy of what all share, so merging key by key is nothing
 * but reading the job's own keys into it. What concerns several jobs is checked afterwards. Errors are
 * collected to the end; the trees are freed. */
#include "config/load.h"

#include <errno.h>
#include <malloc.h>

#include "domain/template.h"

struct place job_place(const struct job_load *j, enum key_id key)
{
	return j->at[key] ? j->at[key]->at : j->name->at;
}

static const char *text_name(const void *user, unsigned file)
{
	const struct config_source *source = user;

	return file < source->count ? source->texts[file].name : "?";
}

static int load_trees(struct loading *l)
{
	l->roots = arena_array(l->loader.scratch, l->source->count, sizeof(struct yaml_node *));
	if (!l->roots)
		return -ENOMEM;
	for (size_t i = 0; i < l->source->count; i++) {
		const struct config_text *text = &l->source->texts[i];

		if (text->fault) {
			report_add(l->loader.report, text->named, NULL, "include: %s cannot be read: %s",
				   QUOTED_TEXT(text->name), text->fault);
			continue;
		}
		int r = yaml_tree_parse(l->loader.scratch, (unsigned)i,
					(struct bytes){ text->text, text->length }, l->loader.report,
					&l->roots[i]);
		if (r < 0)
			return r;
		if (l->roots[i] && l->roots[i]->kind == YAML_SCALAR && l->roots[i]->null)
			l->roots[i] = NULL;
	}
	return 0;
}

static int load_main(struct loading *l)
{
	int r = section_preset(&l->loader, SECTION_MAIN, l->settings);

	if (r == 0 && l->roots[0])
		r = section_load(&l->loader, SECTION_MAIN, l->roots[0], NULL, l->settings, l->main_at);
	return r == 0 ? resolve_main(l) : r;
}

/* An included file holds jobs and schedules, and nothing else. */
static void check_included(struct loading *l, const struct yaml_node *root)
{
	if (!root)
		return;
	if (root->kind != YAML_MAP) {
		report_add(l->loader.report, root->at, NULL, "must be a mapping of keys (such as jobs: ...)");
		return;
	}
	for (size_t i = 0; i < root->count; i++) {
		const struct yaml_pair *pair = &root->pairs[i];
		struct key_path step = { NULL, pair->name->text, 0 };

		if (strcmp(pair->name->text, "jobs") == 0 || strcmp(pair->name->text, "cron") == 0)
			continue;
		if (key_find(SECTION_MAIN, pair->name->text))
			report_add(l->loader.report, pair->name->at, &step,
				   "belongs into the main file (an included one may hold only jobs and cron)");
		else if (key_is_not_yet(SECTION_MAIN, pair->name->text))
			report_add(l->loader.report, pair->name->at, &step,
				   "is not supported in this version");
		else
			report_add(l->loader.report, pair->name->at, &step,
				   "unknown key (an included file may hold only jobs and cron)");
	}
}

size_t collect_maps(struct loading *l, const char *key, const struct yaml_node *in_main, const char *example,
		    const struct yaml_node **maps)
{
	const struct key_path path = { NULL, key, 0 };
	size_t count = 0;

	for (size_t i = 0; i < l->source->count; i++) {
		const struct yaml_node *root = l->roots[i];
		const struct yaml_node *map = i == 0			      ? in_main
					      : root && root->kind == YAML_MAP ? yaml_find(root, key)
									       : NULL;

		if (map && map->kind == YAML_SCALAR && map->null)
			map = NULL;
		if (map && map->kind != YAML_MAP) {
			report_add(l->loader.report, map->at, &path, "must be a mapping of names (such as %s)",
				   example);
			map = NULL;
		}
		maps[i] = map;
		count += map ? map->count : 0;
	}
	return count;
}

static void check_command(struct loading *l, struct job_load *j, const struct key_path *path)
{
	const struct yaml_node *exec = j->at[KEY_JOB_EXEC], *shell = j->at[KEY_JOB_SHELL];

	if (!exec && !shell)
		report_add(l->loader.report, j->name->at, path, "does nothing (give it exec: or shell:)");
	else if (exec && shell)
		report_add(l->loader.report, exec->at.line > shell->at.line ? exec->at : shell->at, path,
			   "has exec: (line %u) and shell: (line %u), but can only have one", exec->at.line,
			   shell->at.line);
}

/* A process for many entries has no one entry to take values from. */
static void check_many(struct loading *l, struct job_load *j, const struct key_path *path)
{
	const struct job *job = j->job;
	const struct yaml_node *exec = j->at[KEY_JOB_EXEC], *input = j->at[KEY_JOB_STDIN];

	if (job->mode == MODE_EXEC)
		return;
	for (size_t i = 1; exec && job->templates && i < job->exec_count; i++) {
		if (!job->templates[i] || template_is_fixed(job->templates[i]))
			continue;
		report_add(l->loader.report, exec->at, path, "has values of an entry in exec:, but mode: %s starts one process for many (they are on its stdin)",
			   job->mode == MODE_BATCH ? "batch" : "persistent");
		break;
	}
	if (job->stdin_kind != STDIN_JSON)
		report_add(l->loader.report, input ? input->at : j->name->at, path, "mode: %s needs stdin: json",
			   job->mode == MODE_BATCH ? "batch" : "persistent");
}

/* One job on top of what all share. */
static int load_job(struct loading *l, const struct job_load *base, const struct yaml_pair *pair,
		    struct job_load *j)
{
	const struct yaml_node *name = pair->name;
	struct key_path top = { NULL, "jobs", 0 };
	struct key_path path = { &top, name->text, 0 };
	size_t errors = l->loader.report->count;
	struct job *job = j->job;

	*job = *base->job;
	*j = *base;
	j->job = job;
	j->name = name;
	job->name = arena_text(l->loader.arena, name->text, name->length);
	if (!job->name)
		return -ENOMEM;
	if (!name_valid(name->text, name->length))
		report_add(l->loader.report, name->at, &path,
			   "%s is not a name for a job (1 to 64 of A-Z a-z 0-9 . _ -)",
			   QUOTED(name->text, name->length));

	if (!(pair->value->kind == YAML_SCALAR && pair->value->null)) {
		int r = section_load(&l->loader, SECTION_JOB, pair->value, &path, job, j->at);
		if (r < 0)
			return r;
	}
	if (!job->stream)
		job->stream = job->name;
	if (job->mode == MODE_PERSISTENT && !j->at[KEY_JOB_SUCCESS])
		job->success = SUCCESS_SUMMARY; /* a line for each of a hundred thousand a second helps nobody */
	j->broken = l->loader.report->count != errors;
	/* A mapping that is none has no keys to miss. */
	if (!j->broken || pair->value->kind == YAML_MAP)
		check_command(l, j, &path);
	check_many(l, j, &path);
	return 0;
}

static int load_base(struct loading *l, struct job_load *base)
{
	struct key_path path = { NULL, "defaults", 0 };
	struct job *job = base->job;
	int r = section_preset(&l->loader, SECTION_JOB, job);

	job->group = l->settings->group;
	job->success = l->settings->log_success;
	memset(base->at, 0, sizeof(base->at));
	if (r == 0 && l->settings->defaults)
		r = section_load(&l->loader, SECTION_JOB, l->settings->defaults, &path, job, base->at);
	return r;
}

static int compare_names(const void *left, const void *right)
{
	const struct job_load *a = *(struct job_load *const *)left;
	const struct job_load *b = *(struct job_load *const *)right;
	int order = strcmp(a->job->name, b->job->name);

	return order ? order : a < b ? -1 : a > b;
}

static int check_names(struct loading *l)
{
	struct config_store *store = l->loader.store;

	store->by_name = arena_array(l->loader.arena, l->job_count, sizeof(struct job *));
	l->by_name = arena_array(l->loader.scratch, l->job_count, sizeof(struct job_load *));
	if (!store->by_name || !l->by_name)
		return -ENOMEM;
	for (size_t i = 0; i < l->job_count; i++)
		l->by_name[i] = &l->jobs[i];
	qsort(l->by_name, l->job_count, sizeof(struct job_load *), compare_names);

	for (size_t i = 0; i < l->job_count; i++) {
		store->by_name[i] = l->by_name[i]->job;
		if (i == 0 || strcmp(l->by_name[i]->job->name, l->by_name[i - 1]->job->name) != 0)
			continue;

		const struct place *first = &l->by_name[i - 1]->name->at;
		report_add(l->loader.report, l->by_name[i]->name->at, NULL,
			   "jobs.%s: there is a job of this name already (%s:%u:%u)",
			   l->by_name[i]->job->name, text_name(l->source, first->file), first->line,
			   first->column);
		l->by_name[i]->broken = true;
	}
	return 0;
}

static int load_jobs(struct loading *l)
{
	const struct yaml_node **maps = arena_array(l->loader.scratch, l->source->count, sizeof(*maps));
	struct job base_job = { 0 };
	struct job_load base = { .job = &base_job };
	size_t count = 0, n = 0;
	int r = maps ? load_base(l, &base) : -ENOMEM;

	if (r < 0)
		return r;
	for (size_t i = 1; i < l->source->count; i++)
		check_included(l, l->roots[i]);
	count = collect_maps(l, "jobs", l->settings->jobs, "jobs: { hello: { exec: [ /bin/echo ] } }", maps);
	l->config->jobs = arena_array(l->loader.arena, count, sizeof(struct job));
	l->jobs = arena_array(l->loader.scratch, count, sizeof(struct job_load));
	if (!l->config->jobs || !l->jobs)
		return -ENOMEM;
	for (size_t i = 0; i < l->source->count; i++) {
		for (size_t k = 0; maps[i] && k < maps[i]->count; k++, n++) {
			l->jobs[n].job = &l->config->jobs[n];
			r = load_job(l, &base, &maps[i]->pairs[k], &l->jobs[n]);
			if (r < 0)
				return r;
			l->config->jobs[n].index = n;
		}
	}
	l->job_count = l->config->job_count = count;
	if (count == 0 && l->loader.report->count == 0)
		report_add(l->loader.report, (struct place){ 0, 1, 1 }, NULL,
			   "there are no jobs (give it jobs:, or include: files that have some)");
	return check_names(l);
}

static int load_all(struct loading *l)
{
	static int (*const steps[])(struct loading * l) = {
		load_trees, load_main, load_jobs, resolve_users, resolve_pools, resolve_queues, resolve_schedules,
	};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		int r = steps[i](l);
		if (r < 0)
			return r;
	}
	return l->loader.report->no_memory ? -ENOMEM : 0;
}

static struct config *config_new(void)
{
	struct config *config = calloc(1, sizeof(*config));
	struct config_store *store = calloc(1, sizeof(*store));
	struct arena *arena = calloc(1, sizeof(*arena));

	if (!config || !store || !arena) {
		free(config);
		free(store);
		free(arena);
		return NULL;
	}
	config->store = store;
	store->arena = arena;
	return config;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	redis_target_done(&c->redis);
	if (c->store) {
		for (size_t i = 0; i < c->store->template_count; i++)
			template_free(c->store->templates[i]);
		free(c->store->templates);
		for (size_t i = 0; i < c->store->zone_count; i++)
			zone_free(c->store->zones[i]);
		free(c->store->zones);
		arena_done(c->store->arena);
		free(c->store->arena);
		free(c->store);
	}
	free(c);
}

static int load(const struct config_source *s, bool to_read, struct config **ret_config, struct buf *out)
{
	struct arena scratch = { 0 };
	struct report report = { .arena = &scratch };
	struct config *config = config_new();

	if (!config)
		return -ENOMEM;

	struct loading l = {
		.loader = { .store = config->store,
			    .arena = config->store->arena,
			    .scratch = &scratch,
			    .report = &report,
			    .folder = s->folder },
		.source = s,
		.config = config,
		.settings = &config->store->settings,
		.to_read = to_read,
	};
	int r = load_all(&l);
	if (r == 0 && report.count > 0) {
		report_write(&report, text_name, s, out);
		r = -EINVAL;
	} else if (r < 0)
		buf_addf(out, "%s: cannot be loaded: %s\n", s->texts[0].name, strerrordesc_np(-r));
	config->store->settings.pools = config->store->settings.defaults = config->store->settings.jobs =
		config->store->settings.cron = NULL;
	arena_done(&scratch);
	/* Hundreds of workers do this: what parsing left behind goes back to the system. */
	(void)malloc_trim(0);
	if (r < 0) {
		config_free(config);
		return r;
	}
	*ret_config = config;
	return 0;
}

int config_load(const struct config_source *s, struct config **ret_config, struct buf *report)
{
	return load(s, false, ret_config, report);
}

int config_load_to_read(const struct config_source *s, struct config **ret_config, struct buf *report)
{
	return load(s, true, ret_config, report);
}

static int compare_name_job(const void *name, const void *element)
{
	const struct job *job = *(const struct job *const *)element;

	return strcmp(name, job->name);
}

const struct job *config_job(const struct config *c, const char *name)
{
	const struct job **found =
		bsearch(name, c->store->by_name, c->job_count, sizeof(*found), compare_name_job);

	return found ? *found : NULL;
}
