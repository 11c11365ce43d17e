/* What a privileged daemon does not trust: a file of its configuration, or a handler, that anybody on the
 * machine may change or replace. Who could, would be root, or whoever the job runs as. Without privileges
 * there is nothing to gain, and nothing is asked. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/load.h"
#include "config/program.h"

/* What the error is about: a job's handler, or (job NULL) a file of the configuration. */
struct subject {
	const struct job *job;
	const char *path;
};

static void complain(struct buf *report, const struct subject *s, const char *open_path, const char *what)
{
	if (s->job)
		buf_addf(report, "jobs.%s.%s: handler ", s->job->name, s->job->exec ? "exec" : "shell");
	buf_addf(report, "%s: ", s->path);
	if (strcmp(s->path, open_path) != 0)
		buf_addf(report, "%s ", open_path);
	buf_addf(report, "%s, and xackd is privileged (chmod o-w %s)\n", what, open_path);
}

/* In a folder like /tmp, whose sticky bit is set, nobody can replace what is somebody else's. */
static bool folder_open(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && (status.st_mode & S_IWOTH) && !(status.st_mode & S_ISVTX);
}

static bool check_folder(const struct subject *s, const char *path, struct buf *report)
{
	const char *slash = strrchr(path, '/');
	AUTO_BUF folder = { 0 };

	if (slash)
		buf_add(&folder, path, slash > path ? (size_t)(slash - path) : 1);
	else
		buf_add_text(&folder, ".");
	if (folder.failed || !folder_open(folder.p))
		return false;
	complain(report, s, folder.p, "is a folder in which everybody may replace files");
	return true;
}

/* The file, the folder of its name, and where links lead to. */
static size_t check(const struct subject *s, struct buf *report)
{
	struct stat status;
	AUTO_FREE char *real = realpath(s->path, NULL);

	if (!real || stat(s->path, &status) < 0)
		return 0; /* gone: not for us to say */
	if (status.st_mode & S_IWOTH) {
		complain(report, s, s->path, "is writable by everybody");
		return 1;
	}
	return check_folder(s, s->path, report) || check_folder(s, real, report) ? 1 : 0;
}

int config_rights(const struct config_source *s, const struct config *c, struct buf *report)
{
	size_t count = 0;

	if (geteuid() != 0 && !user_may_change())
		return 0;
	for (size_t i = 0; i < s->count; i++)
		count += check(&(struct subject){ NULL, i == 0 ? s->file : s->texts[i].name }, report);
	for (size_t i = 0; i < c->job_count; i++) {
		AUTO_BUF path = { 0 };

		if (program_find(&c->jobs[i], &path) == 0)
			count += check(&(struct subject){ &c->jobs[i], path.p }, report);
	}
	return count > 0 ? -EPERM : 0;
}

bool config_has_secret(const struct config *c)
{
	return c->redis.password_file || c->redis.password_env;
}
