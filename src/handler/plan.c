/* Making the plan. Everything that needs memory or looks at the file system happens here, so that the child has only system calls left. */
#include "handler/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "domain/template.h"
#include "handler/cgroup.h"
#include "handler/refusal.h"

enum { KEEP_BYTES = 256 * 1024 }; /* a worker that once saw a huge entry does not stay huge */

void plan_init(struct plan *p, char *const *inherit)
{
	struct rlimit files = { 0 };

	memset(p, 0, sizeof(*p));
	p->inherit = inherit;
	p->files_at_start = getrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_cur : RLIM_INFINITY;
}

void plan_done(struct plan *p)
{
	for (size_t i = 0; i < p->base_count; i++)
		environment_base_done(&p->bases[i].base);
	free(TAKE(p->bases));
	p->base_count = 0;
	buf_done(&p->text);
	buf_done(&p->vector);
	buf_done(&p->path);
	environment_done(&p->environment);
}

/* ---- the environment ---- */

static int grow_bases(struct plan *p, size_t count)
{
	if (count <= p->base_count)
		return 0;
	struct plan_base *bases = reallocarray(p->bases, count, sizeof(*bases));
	if (!bases)
		return -ENOMEM;
	memset(bases + p->base_count, 0, (count - p->base_count) * sizeof(*bases));
	p->bases = bases;
	p->base_count = count;
	return 0;
}

static int base_of(struct plan *p, const struct job *job, const struct environment_base **ret_base)
{
	int r = grow_bases(p, job->index + 1);
	if (r < 0)
		return r;
	struct plan_base *row = &p->bases[job->index];
	if (row->job != job) {
		environment_base_done(&row->base);
		row->job = NULL;
		r = environment_base_init(&row->base, job, p->inherit);
		if (r < 0) {
			environment_base_done(&row->base);
			return r;
		}
		row->job = job;
	}
	*ret_base = &row->base;
	return 0;
}

/* ---- the arguments ---- */

static enum plan_answer refuse_argument(int answer, const struct fault *fault, size_t number, struct run_end *ret_end)
{
	if (answer == -ENOMEM)
		return refusal_resources(ret_end, "the arguments", ENOMEM);
	ret_end->kind = answer == TEMPLATE_MISSING_FIELD ? END_MISSING_FIELD : END_MALFORMED;
	snprintf(ret_end->text, sizeof(ret_end->text), "exec[%zu]: %.150s", number, fault->text);
	return PLAN_REFUSED;
}

static void add_argument(struct plan *p, const char *text)
{
	buf_add(&p->text, text, strlen(text) + 1);
}

static enum plan_answer expand_arguments(struct plan *p, const struct run_facts *facts, struct run_end *ret_end)
{
	const struct job *job = facts->job;
	const struct template_values values = { facts->entry->id, job->name, job->stream, facts->attempt };
	struct fault fault = { 0 };

	add_argument(p, job->exec[0]);
	for (size_t i = 1; i < job->exec_count; i++) {
		if (!job->templates[i]) {
			add_argument(p, job->exec[i]);
			continue;
		}
		int r = template_expand(job->templates[i], facts->entry, &values, &p->text, &fault);
		if (r != TEMPLATE_OK)
			return refuse_argument(r, &fault, i, ret_end);
	}
	return PLAN_OK;
}

/* Pointers last: the text moves while it grows. */
static void point_to_arguments(struct plan *p, size_t count)
{
	char *end = NULL;
	char *at = p->text.p;

	buf_clear(&p->vector);
	for (size_t i = 0; i < count && at; i++) {
		buf_add(&p->vector, &at, sizeof(at));
		at += strlen(at) + 1;
	}
	buf_add(&p->vector, &end, sizeof(end));
}

static enum plan_answer make_arguments(struct plan *p, const struct run_facts *facts, struct run_end *ret_end)
{
	size_t count = facts->job->exec_count;

	if (p->text.cap > KEEP_BYTES)
		buf_done(&p->text);
	buf_clear(&p->text);
	if (facts->job->shell) {
		add_argument(p, "/bin/sh");
		add_argument(p, "-c");
		add_argument(p, facts->job->shell);
		count = 3;
	} else if (expand_arguments(p, facts, ret_end) != PLAN_OK) {
		return PLAN_REFUSED;
	}
	point_to_arguments(p, count);
	if (p->text.failed || p->vector.failed)
		return refusal_resources(ret_end, "the arguments", ENOMEM);
	p->spawn.argv = (char *const *)(void *)p->vector.p;
	return PLAN_OK;
}

/* ---- the program ---- */

/* One folder of the search path and the name; a relative folder counts from the handler's cwd, as it would for the handler itself. */
static void put_candidate(struct plan *p, const struct job *job, struct bytes folder)
{
	buf_clear(&p->path);
	if (folder.n == 0 || folder.p[0] != '/') {
		buf_add_text(&p->path, job->cwd);
		buf_add_char(&p->path, '/');
	}
	buf_add_bytes(&p->path, folder);
	if (folder.n > 0)
		buf_add_char(&p->path, '/');
	buf_add_text(&p->path, job->exec[0]);
	buf_add_char(&p->path, '\0');
}

static bool may_be_run(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

static enum plan_answer search(struct plan *p, const struct job *job, const char *folders, struct run_end *ret_end)
{
	for (const char *at = folders;;) {
		size_t n = strcspn(at, ":");
		put_candidate(p, job, (struct bytes){ at, n });
		if (p->path.failed)
			return refusal_resources(ret_end, "the path of the command", ENOMEM);
		if (may_be_run(p->path.p))
			return PLAN_OK;
		if (at[n] == '\0')
			return refusal_not_in_path(ret_end, job->exec[0], folders);
		at += n + 1;
	}
}

static enum plan_answer find_program(struct plan *p, const struct run_facts *facts, const struct environment_base *base,
				     struct run_end *ret_end)
{
	const struct job *job = facts->job;

	if (job->shell) {
		p->spawn.path = "/bin/sh";
		return PLAN_OK;
	}
	if (strchr(job->exec[0], '/')) {
		p->spawn.path = job->exec[0];
		return PLAN_OK;
	}
	if (search(p, job, environment_path(base), ret_end) != PLAN_OK)
		return PLAN_REFUSED;
	p->spawn.path = p->path.p;
	return PLAN_OK;
}

/* ---- limits and user ---- */

static void limit(struct plan *p, int resource, rlim_t soft, rlim_t hard)
{
	p->spawn.limits[p->spawn.limit_count++] = (struct spawn_limit){ resource, { .rlim_cur = soft, .rlim_max = hard } };
}

/* A daemon may raise its own soft limit; programs that use select() must not be given descriptors above 1023 by that. */
static void limit_files(struct plan *p, int64_t files)
{
	struct rlimit now;

	if (files > 0) {
		limit(p, RLIMIT_NOFILE, (rlim_t)files, (rlim_t)files);
		return;
	}
	if (getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur > p->files_at_start)
		limit(p, RLIMIT_NOFILE, p->files_at_start, now.rlim_max);
}

/* Its own, where its cgroup does not hold them: those count for a handler with all that it starts. */
static void make_limits(struct plan *p, const struct limits *limits)
{
	p->spawn.limit_count = 0;
	limit_files(p, limits->files);
	if (limits->memory_bytes > 0 && !(p->held & CGROUP_MEMORY))
		limit(p, RLIMIT_AS, (rlim_t)limits->memory_bytes, (rlim_t)limits->memory_bytes);
	if (limits->cpu_s > 0) /* a second between XCPU, which tells what happened, and KILL */
		limit(p, RLIMIT_CPU, (rlim_t)limits->cpu_s, (rlim_t)limits->cpu_s + 1);
	if (limits->processes > 0 && !(p->held & CGROUP_PROCESSES))
		limit(p, RLIMIT_NPROC, (rlim_t)limits->processes, (rlim_t)limits->processes);
}

static void make_user(struct plan *p, const struct run_user *user)
{
	p->spawn.user = NULL;
	/* Already that user, and without the right to say so again. */
	if (!user || (geteuid() != 0 && user->uid == geteuid() && user->gid == getegid()))
		return;
	p->user = (struct spawn_user){ user->uid, user->gid, user->groups, user->group_count };
	p->spawn.user = &p->user;
}

enum plan_answer plan_make(struct plan *p, const struct run_facts *facts, struct run_end *ret_end)
{
	const struct job *job = facts->job;
	const struct environment_base *base = NULL;

	if (job->user_missing)
		return refusal_user_missing(ret_end, job->user_missing);
	if (make_arguments(p, facts, ret_end) != PLAN_OK)
		return PLAN_REFUSED;
	if (p->environment.block.cap > KEEP_BYTES)
		environment_done(&p->environment);
	if (base_of(p, job, &base) < 0 || environment_build(&p->environment, base, facts) < 0)
		return refusal_resources(ret_end, "the environment", ENOMEM);
	if (find_program(p, facts, base, ret_end) != PLAN_OK)
		return PLAN_REFUSED;
	p->spawn.envp = environment_vector(&p->environment);
	p->spawn.cwd = job->cwd;
	p->spawn.umask = job->umask;
	p->spawn.nice = job->nice;
	make_limits(p, &job->limits);
	make_user(p, job->user);
	return PLAN_OK;
}
