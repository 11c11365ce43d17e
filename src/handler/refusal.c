/* Three kinds of refusal, told apart by errno: the machine is short of something (the attempt is given back), this entry cannot be an
 * argument (its dead letter), the deployment is wrong (the job is suspended). */
#include "handler/refusal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"

enum plan_answer refusal_resources(struct run_end *ret_end, const char *what, int error)
{
	ret_end->kind = END_NO_RESOURCES;
	snprintf(ret_end->text, sizeof(ret_end->text), "no resources for %s: %s", what, strerror(error));
	return PLAN_REFUSED;
}

enum plan_answer refusal_not_in_path(struct run_end *ret_end, const char *name, const char *folders)
{
	ret_end->kind = END_CANNOT_EXEC;
	snprintf(ret_end->text, sizeof(ret_end->text), "%s: not found in PATH %s", name, folders);
	return PLAN_REFUSED;
}

enum plan_answer refusal_user_missing(struct run_end *ret_end, const char *name)
{
	ret_end->kind = END_CANNOT_EXEC;
	snprintf(ret_end->text, sizeof(ret_end->text), "there is no user %s", name);
	return PLAN_REFUSED;
}

enum plan_answer refusal_no_payload(struct run_end *ret_end, const char *field)
{
	ret_end->kind = END_MISSING_FIELD;
	snprintf(ret_end->text, sizeof(ret_end->text), "stdin: the entry has no field %s", field);
	return PLAN_REFUSED;
}

static bool short_of_something(int error)
{
	static const int errors[] = { EAGAIN, ENOMEM, EMFILE, ENFILE, ENOSPC, ETXTBSY, EINTR, ESRCH };

	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		if (errors[i] == error)
			return true;
	}
	return false;
}

/* The path as seen from here: the child was in the job's cwd. */
static void put_path(struct buf *b, const struct job *job, const char *path)
{
	if (path[0] != '/') {
		buf_add_text(b, job->cwd);
		buf_add_char(b, '/');
	}
	buf_add_text(b, path);
}

/* "#!/bin/python3 -S": the path behind the mark, in place. NULL if there is none. */
static char *interpreter_in(struct buf *head)
{
	if (head->n < 2 || head->p[0] != '#' || head->p[1] != '!')
		return NULL;
	char *at = head->p + 2;
	at += strspn(at, " \t");
	at[strcspn(at, " \t\r\n")] = '\0';
	return *at ? at : NULL;
}

/* The program is there and yet "no such file": what it wants to be run by is missing. */
static bool tell_interpreter(struct run_end *end, const char *path)
{
	AUTO_BUF head = { 0 };
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && buf_reserve(&head, 256) == 0) {
		ssize_t n = pread(fd, head.p, 255, 0);
		head.n = n > 0 ? (size_t)n : 0;
		head.p[head.n] = '\0';
	}
	const char *interpreter = interpreter_in(&head);
	if (interpreter)
		snprintf(end->text, sizeof(end->text), "%s: its interpreter %s is missing", path, interpreter);
	else
		snprintf(end->text, sizeof(end->text), "%s: its interpreter (loader) is missing", path);
	return true;
}

static void tell_exec(struct run_end *end, const char *path, int error)
{
	struct stat st;

	if (error == ENOENT && tell_interpreter(end, path))
		return;
	const char *why = strerror(error);
	if (error == EACCES && stat(path, &st) == 0)
		why = S_ISDIR(st.st_mode) ? "is a folder" : !(st.st_mode & 0111) ? "is not executable" : "permission denied";
	else if (error == ENOENT)
		why = "not found";
	else if (error == ENOEXEC)
		why = "is neither a program of this machine nor a script with #!";
	snprintf(end->text, sizeof(end->text), "%s: %s", path, why);
}

static void tell_stage(struct run_end *end, const struct job *job, enum spawn_stage stage, int error)
{
	static const char *const what[] = {
		[SPAWN_CLONE] = "a new process",
		[SPAWN_GROUP] = "a process group of its own",
		[SPAWN_DESCRIPTORS] = "stdin, stdout, stderr and fd 3",
		[SPAWN_LIMITS] = "limits",
		[SPAWN_NICE] = "nice",
		[SPAWN_PARENT] = "the death signal",
		[SPAWN_EXEC] = "exec",
	};

	if (stage == SPAWN_CWD)
		snprintf(end->text, sizeof(end->text), "cwd %s: %s", job->cwd, strerror(error));
	else if (stage == SPAWN_USER)
		snprintf(end->text, sizeof(end->text), "user %s: %s", job->user ? job->user->name : "?", strerror(error));
	else
		snprintf(end->text, sizeof(end->text), "%s: %s", what[stage], strerror(error));
}

void refusal_spawn(struct run_end *ret_end, const struct job *job, const char *path, enum spawn_stage stage, int error)
{
	AUTO_BUF full = { 0 };

	if (stage == SPAWN_EXEC && error == E2BIG) {
		ret_end->kind = END_MALFORMED;
		snprintf(ret_end->text, sizeof(ret_end->text), "the arguments and the environment together are longer than the kernel allows");
		return;
	}
	ret_end->kind = short_of_something(error) ? END_NO_RESOURCES : END_CANNOT_EXEC;
	put_path(&full, job, path);
	if (stage == SPAWN_EXEC)
		tell_exec(ret_end, full.failed ? path : full.p, error);
	else
		tell_stage(ret_end, job, stage, error);
}
