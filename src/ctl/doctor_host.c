/* `doctor`: this host: the configuration's warnings, who may change the files, the handlers, the daemon, the
 * kernel's limits. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/num.h"
#include "config/program.h"
#include "ctl/doctor.h"

/* Handlers are looked at one by one elsewhere, with what to do. */
static bool is_about_program(const char *line, size_t n)
{
	static const char mark[] = ": the job will be suspended";
	size_t m = sizeof(mark) - 1;
	return n >= m && memcmp(line + n - m, mark, m) == 0 &&
	       (memmem(line, n, ".exec: ", 7) || memmem(line, n, ".shell: ", 8));
}

void doctor_warnings(struct doctor *d)
{
	AUTO_BUF report = { 0 };
	(void)config_warnings(d->ctl->config, &report);
	for (const char *line = report.p; line && *line;) {
		size_t n = strcspn(line, "\n");
		if (!is_about_program(line, n))
			doctor_say(d, FINDING_WARNING, "put the configuration right", "%.*s", (int)n, line);
		line += n + (line[n] == '\n');
	}
}

/* Bits that should not be set on it; with --fix they are taken away, which locks out only whom it should. */
static void check_mode(struct doctor *d, const char *path, mode_t wrong, enum finding_level level,
		       const char *what)
{
	struct stat status;
	char todo[600];
	if (!path || stat(path, &status) < 0 || !(status.st_mode & wrong))
		return;
	if (S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX))
		return;
	mode_t good = status.st_mode & 07777 & ~wrong;
	if (d->fix && chmod(path, good) == 0) {
		doctor_fixed(d, "%s: %s no more (mode %o)", path, what, (unsigned)good);
		return;
	}
	(void)snprintf(todo, sizeof(todo), "chmod %o %.500s", (unsigned)good, path);
	doctor_say(d, level, todo, "%s: %s", path, what);
}

void doctor_files(struct doctor *d)
{
	const struct config *c = d->ctl->config;
	struct stat status;
	AUTO_BUF folder = { 0 };
	const char *slash = strrchr(c->file, '/');
	check_mode(d, c->file, S_IWOTH, FINDING_ERROR, "everybody may change the configuration");
	if (slash)
		buf_add(&folder, c->file, slash > c->file ? (size_t)(slash - c->file) : 1);
	check_mode(d, folder.p, S_IWOTH, FINDING_ERROR,
		   "everybody may replace files in the configuration's folder");
	check_mode(d, c->runtime_dir, S_IWOTH, FINDING_ERROR,
		   "everybody may replace the control socket and the locks");
	check_mode(d, c->control_socket, S_IRWXO, FINDING_ERROR, "everybody may give orders to the daemon");
	check_mode(d, c->redis.password_file, S_IRWXO, FINDING_ERROR,
		   "everybody may read the password of Redis");
	if (c->redis.password_file && stat(c->redis.password_file, &status) < 0)
		doctor_say(d, FINDING_ERROR, "write the password into it, mode 0600", "%s: %s",
			   c->redis.password_file, strerror(errno));
	if (c->redis.embedded)
		check_mode(d, c->state_dir, S_IRWXO, FINDING_ERROR,
			   "everybody may look into the data of the embedded Redis");
	if (c->redis.password_env && !getenv(c->redis.password_env))
		doctor_say(d, FINDING_WARNING, "set it, or use password_file",
			   "the environment has no %s, which is to hold the password of Redis",
			   c->redis.password_env);
}

void doctor_handlers(struct doctor *d)
{
	for (size_t i = 0; i < d->ctl->config->job_count; i++) {
		const struct job *job = &d->ctl->config->jobs[i];
		AUTO_BUF path = { 0 };
		int why = program_find(job, &path);
		if (why == ENOENT || why == ENOTDIR)
			doctor_say(d, FINDING_ERROR, "put it there; the job goes on by itself",
				   "job %s: %s does not exist", job->name, program_name(job));
		else if (why == EACCES)
			doctor_say(d, FINDING_ERROR, "chmod +x; the job goes on by itself",
				   "job %s: %s is not executable", job->name, program_name(job));
		else if (why != 0)
			doctor_say(d, FINDING_ERROR, "name a program", "job %s: %s cannot be executed: %s",
				   job->name, program_name(job), strerror(why));
		else
			check_mode(d, path.p, S_IWOTH, FINDING_ERROR, "everybody may change the handler");
	}
}

void doctor_daemon(struct doctor *d)
{
	json_t *daemon = d->status ? json_object_get(d->status, "daemon") : NULL;
	const char *version = json_string_value(json_object_get(daemon, "version"));
	struct stat status;
	if (!json_is_object(daemon)) {
		bool there = stat(d->ctl->config->control_socket, &status) == 0;
		doctor_say(d, FINDING_WARNING,
			   there ? "start xackd, or use its user or group if it runs" : "start xackd",
			   "nobody answers at %s", d->ctl->config->control_socket);
		return;
	}
	if (version && strcmp(version, PACKAGE_VERSION) != 0)
		doctor_say(d, FINDING_WARNING, "restart xackd",
			   "the daemon that runs is of version %s, xackctl of %s", version, PACKAGE_VERSION);
	if (!json_is_true(json_object_get(json_object_get(daemon, "redis"), "connected")))
		doctor_say(d, FINDING_ERROR, "see its log (redis.error, redis.lost)",
			   "the daemon has no connection to Redis");
}

/* A soft limit as /proc/PID/limits shows it; -1 = none, or not to be told. */
static int64_t limit_of(const char *text, const char *name)
{
	const char *line = text ? strstr(text, name) : NULL;
	int64_t value;
	if (!line)
		return -1;
	line += strlen(name);
	line += strspn(line, " ");
	return num_i64((struct bytes){ line, strcspn(line, " ") }, &value) == 0 ? value : -1;
}

static int64_t kernel_number(const char *path)
{
	AUTO_BUF text = { 0 };
	int64_t value = -1;
	if (fd_read_file(path, 4096, &text) < 0 ||
	    num_i64((struct bytes){ text.p ? text.p : "", strcspn(text.p ? text.p : "", "\n") }, &value) < 0)
		return -1;
	return value;
}

/* The daemon's own where it runs, else what this shell would give it. */
void doctor_limits(struct doctor *d)
{
	enum { FILES_OF_ONE = 4, FILES_ELSE = 64, PROCESSES_OF_ONE = 2 };
	int64_t workers = (int64_t)d->ctl->config->slot_count;
	json_t *pid = d->status ? json_object_get(json_object_get(d->status, "daemon"), "pid") : NULL;
	char path[64] = "/proc/self/limits";
	AUTO_BUF text = { 0 };
	if (json_is_integer(pid))
		(void)snprintf(path, sizeof(path), "/proc/%" JSON_INTEGER_FORMAT "/limits",
			       json_integer_value(pid));
	if (fd_read_file(path, 65536, &text) < 0)
		return;
	int64_t files = limit_of(text.p, "Max open files"), processes = limit_of(text.p, "Max processes");
	int64_t files_wanted = FILES_ELSE + FILES_OF_ONE * workers,
		processes_wanted = 1 + PROCESSES_OF_ONE * workers;
	int64_t pids = kernel_number("/proc/sys/kernel/pid_max");
	if (files >= 0 && files < files_wanted)
		doctor_say(d, FINDING_WARNING, "raise LimitNOFILE= of the unit, or ulimit -n",
			   "%" PRId64 " open files are few for %" PRId64 " workers", files, workers);
	if (processes >= 0 && processes < processes_wanted)
		doctor_say(d, FINDING_WARNING, "raise LimitNPROC= of the unit, or ulimit -u",
			   "%" PRId64 " processes are few for %" PRId64 " workers with a handler each",
			   processes, workers);
	if (pids >= 0 && pids < 4 * processes_wanted)
		doctor_say(d, FINDING_WARNING, "sysctl kernel.pid_max",
			   "the kernel allows %" PRId64 " processes in all", pids);
}

void doctor_suspended(struct doctor *d)
{
	AUTO_JSON *suspended = d->status ? ctl_daemon_list_quietly(d->ctl, "suspended") : NULL;
	size_t i;
	json_t *row;
	json_array_foreach (suspended, i, row) {
		const char *job = json_string_value(json_object_get(row, "job")),
			   *detail = json_string_value(json_object_get(row, "detail"));
		doctor_say(d, FINDING_ERROR,
			   "put its command right; it is probed, xackctl resume does so at once",
			   "job %s is suspended%s%s", job ? job : "?", detail ? ": " : "",
			   detail ? detail : "");
	}
}
