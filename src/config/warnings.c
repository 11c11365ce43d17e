/* What --check says beside errors: right configurations that will probably not do what was meant on this
 * machine. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "config/config.h"
#include "config/program.h"
#include "config/value.h"

static void warn(struct buf *out, size_t *count, const struct job *job, const char *key, const char *what)
{
	buf_addf(out, "jobs.%s.%s: warning: %s\n", job->name, key, what);
	(*count)++;
}

static void check_program(const struct job *job, struct buf *out, size_t *count)
{
	const char *program = program_name(job);
	AUTO_BUF path = { 0 };
	int fault = program_find(job, &path);
	char what[512];

	if (fault == 0)
		return;
	const char *why = fault == ENOENT || fault == ENOTDIR ? "does not exist"
			  : fault == EISDIR                   ? "is not a file"
			  : fault == EACCES                   ? "is not executable"
							      : "cannot be looked at";
	(void)snprintf(what, sizeof(what), "%.300s %s: the job will be suspended", program, why);
	warn(out, count, job, job->exec ? "exec" : "shell", what);
}

static void check_folder(const struct job *job, struct buf *out, size_t *count)
{
	struct stat status;
	char what[512];

	if (stat(job->cwd, &status) == 0 && S_ISDIR(status.st_mode))
		return;
	(void)snprintf(what, sizeof(what), "%.300s is not a folder: the job will be suspended", job->cwd);
	warn(out, count, job, "cwd", what);
}

static void check_user(const struct job *job, struct buf *out, size_t *count)
{
	char what[512];
	bool root = job->user ? job->user->uid == 0 : geteuid() == 0;

	if (job->user_missing) {
		(void)snprintf(what, sizeof(what), "there is no user %.300s: the job will be suspended",
			       job->user_missing);
		warn(out, count, job, "user", what);
	}
	if (root && !job->user_missing && job->limits.processes > 0 &&
	    access("/sys/fs/cgroup/cgroup.controllers", W_OK) != 0)
		warn(out, count, job, "limits.processes",
		     "root is not bound by it without a writable cgroup (give the job a user:)");
}

static void check_limits(const struct job *job, struct buf *out, size_t *count)
{
	if (job->retry.max_ms < job->retry.initial_ms)
		warn(out, count, job, "retry.max", "is shorter than retry.initial: every wait is `max`");
	if (job->stdin_kind != STDIN_PAYLOAD && strcmp(job->payload_field, "payload") != 0)
		warn(out, count, job, "payload_field", "is used with `stdin: payload` alone");
}

/* Does every entry that b wants fit a, too? */
static bool match_covers(const struct job *a, const struct job *b)
{
	for (size_t i = 0; i < a->match_count; i++) {
		bool found = false;

		for (size_t k = 0; k < b->match_count && !found; k++)
			found = strcmp(a->matches[i].name, b->matches[k].name) == 0 &&
				strcmp(a->matches[i].value, b->matches[k].value) == 0;
		if (!found)
			return false;
	}
	return true;
}

static void check_queue(const struct queue *q, struct buf *out, size_t *count)
{
	char what[160];

	for (size_t i = 1; i < q->job_count; i++) {
		for (size_t k = 0; k < i; k++) {
			if (!match_covers(q->jobs[k], q->jobs[i]))
				continue;
			(void)snprintf(what, sizeof(what),
				       "never gets an entry: job %s, which stands before it, takes them all",
				       q->jobs[k]->name);
			warn(out, count, q->jobs[i], "match", what);
			break;
		}
	}
}

/* What one group's rule lets go is gone for the other, too. */
static void check_retain(const struct config *c, const struct queue *q, struct buf *out, size_t *count)
{
	AUTO_BUF mine = { 0 };

	retain_text(&q->retain, &mine);
	for (const struct queue *other = c->queues; other < q; other++) {
		AUTO_BUF others = { 0 };
		char what[320];

		retain_text(&other->retain, &others);
		if (strcmp(other->stream, q->stream) != 0 || (other->retain.kind == q->retain.kind && other->retain.value == q->retain.value))
			continue;
		(void)snprintf(what, sizeof(what),
			       "%.40s here, %.40s for group %.100s of the same stream: whichever keeps less trims it for both",
			       mine.p ? mine.p : "", others.p ? others.p : "", other->group);
		warn(out, count, q->jobs[0], "retain", what);
		return;
	}
}

/* The daemon may run as another user, or with another environment: what is missing here may be there. */
static void check_password(const struct config *c, struct buf *out, size_t *count)
{
	if (c->redis.password_file && access(c->redis.password_file, F_OK) != 0) {
		buf_addf(out, "redis.password_file: warning: %s cannot be found: %s\n",
			 c->redis.password_file, strerror(errno));
		(*count)++;
	}
	if (c->redis.password_env && !getenv(c->redis.password_env)) {
		buf_addf(out, "redis.password_env: warning: %s is not set here\n", c->redis.password_env);
		(*count)++;
	}
}

size_t config_warnings(const struct config *c, struct buf *report)
{
	size_t count = 0;

	check_password(c, report, &count);
	for (size_t i = 0; i < c->job_count; i++) {
		const struct job *job = &c->jobs[i];

		check_program(job, report, &count);
		check_folder(job, report, &count);
		check_user(job, report, &count);
		check_limits(job, report, &count);
	}
	for (size_t i = 0; i < c->queue_count; i++) {
		check_queue(&c->queues[i], report, &count);
		check_retain(c, &c->queues[i], report, &count);
	}
	for (size_t i = 0; i < c->pool_count; i++) {
		if (c->pools[i].queue_count == 0 && i > 0) {
			buf_addf(report, "pools.%s: warning: no job uses it\n", c->pools[i].name);
			count++;
		}
	}
	return count;
}
