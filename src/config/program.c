/* Finding a job's program: a path as it stands, a name along PATH as execvp looks. */
#include "config/program.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

/* 0, or why it cannot be executed. */
static int program_fault(const char *path)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return errno;
	if (!S_ISREG(status.st_mode))
		return EISDIR;
	return status.st_mode & 0111 ? 0 : EACCES;
}

/* As execvp looks: the first that can be executed. */
static int search(const char *name, const char *folders, struct buf *ret_path)
{
	int fault = ENOENT;

	for (const char *folder = folders; folder;) {
		const char *end = strchrnul(folder, ':');
		AUTO_BUF path = { 0 };

		buf_addf(&path, "%.*s/%s", (int)(end - folder), folder, name);
		int found = path.failed ? ENOMEM : program_fault(path.p);
		if (found == 0) {
			buf_add(ret_path, path.p, path.n);
			return ret_path->failed ? ENOMEM : 0;
		}
		if (found != ENOENT && found != ENOTDIR)
			fault = found;
		folder = *end ? end + 1 : NULL;
	}
	return fault;
}

/* The PATH that the handler will see: its own, else the daemon's. */
static const char *job_path(const struct job *job)
{
	for (size_t i = 0; i < job->env_count; i++) {
		if (strcmp(job->env[i].name, "PATH") == 0)
			return job->env[i].value;
	}
	const char *path = getenv("PATH");
	return path && *path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

const char *program_name(const struct job *job)
{
	return job->exec ? job->exec[0] : "/bin/sh";
}

int program_find(const struct job *job, struct buf *ret_path)
{
	const char *name = program_name(job);

	if (!strchr(name, '/'))
		return search(name, job_path(job), ret_path);
	int fault = program_fault(name);
	if (fault == 0)
		buf_add_text(ret_path, name);
	return ret_path->failed ? ENOMEM : fault;
}
