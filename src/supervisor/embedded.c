/* The embedded Redis: a redis-server of our own on a unix socket in state_dir, with AOF. It is started before everything that needs it, started again
 * when it dies, and stopped last. It ends with this process however that ends (PR_SET_PDEATHSIG), and what outlives even that is dealt with by the
 * next start (leftover.c). It has a session of its own: a terminal's ^C is not for it. */
#include "supervisor/state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "domain/backoff.h"

enum {
	STARTED_LIMIT_MS = 5000, /* for it to listen; what it then still loads is waited for by whoever asks it */
	STARTED_POLL_MS = 5,
	RESTART_BASE_MS = 100,
	RESTART_CAP_MS = 5000,
	SOON_MS = 10 * 1000,
	STOP_LIMIT_MS = 10 * 1000,
};

struct embedded {
	struct supervisor *sup;
	int lock_fd;
	char *program;     /* redis-server, found in PATH */
	char *config_path;
	char *socket_path;
	char *log_path;
	pid_t pid;
	int64_t started_mono_ms;
	int64_t failures;
	ev_timer timer;
};

static int failed(struct supervisor *s, int error, const char *why, const char *what)
{
	event(s->log, DAEMON_FAILED, NULL, F_TEXT("why", why), F_TEXT("what", what), F_TEXT("error", strerror(-error)));
	return error;
}

/* ---- preparation ---- */

static char *find_program(const char *name)
{
	const char *path = getenv("PATH");
	char *found = NULL;

	for (const char *at = path && *path ? path : "/usr/local/bin:/usr/bin:/bin"; at && !found;) {
		size_t n = strcspn(at, ":");
		if (n > 0 && asprintf(&found, "%.*s/%s", (int)n, at, name) < 0)
			return NULL;
		if (found && access(found, X_OK) != 0)
			free(TAKE(found));
		at = at[n] ? at + n + 1 : NULL;
	}
	return found;
}

/* As redis.conf wants a text: in quotes, everything that is not plain as \xHH. */
static void add_quoted(struct buf *out, const char *key, const char *text)
{
	buf_addf(out, "%s \"", key);
	for (const char *c = text; *c; c++) {
		if (*c == '"' || *c == '\\' || (unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
			buf_addf(out, "\\x%02x", (unsigned)(unsigned char)*c);
		else
			buf_add_char(out, *c);
	}
	buf_add_text(out, "\"\n");
}

static int write_config(const struct embedded *e, const char *state_dir)
{
	AUTO_BUF text = { 0 };
	AUTO_FREE char *fresh = NULL;
	AUTO_FREE char *pid_path = NULL;

	if (asprintf(&fresh, "%s.new", e->config_path) < 0 || asprintf(&pid_path, "%s/redis.pid", state_dir) < 0)
		return -ENOMEM;
	buf_add_text(&text, "# Written by xackd at each start: changes are lost.\nport 0\nunixsocketperm 700\ndaemonize no\nsupervised no\n"
			    "appendonly yes\nappendfsync everysec\nsave \"\"\nmaxmemory-policy noeviction\n");
	add_quoted(&text, "unixsocket", e->socket_path);
	add_quoted(&text, "dir", state_dir);
	add_quoted(&text, "logfile", e->log_path);
	add_quoted(&text, "pidfile", pid_path);
	if (text.failed)
		return -ENOMEM;
	(void)unlink(fresh);
	AUTO_FD fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	int r = fd_write_all(fd, buf_bytes(&text));
	if (r < 0)
		return r;
	return rename(fresh, e->config_path) < 0 ? -errno : 0;
}

static int make_folder(const char *path)
{
	bool there = access(path, F_OK) == 0;
	int r = fd_make_folder(path, 0755);
	if (r == 0 && !there && chmod(path, 0700) < 0)
		r = -errno;
	return r;
}

static int lock_folder(struct supervisor *s, struct embedded *e, const char *state_dir)
{
	AUTO_FREE char *path = NULL;

	if (asprintf(&path, "%s/xackd.lock", state_dir) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	e->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (e->lock_fd < 0)
		return failed(s, -errno, "a lock in state_dir cannot be opened", path);
	if (flock(e->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return failed(s, -errno, "another xackd uses this state_dir", state_dir);
	return 0;
}

/* ---- the process ---- */

/* Between fork and exec: this process has a thread, so nothing but system calls. */
static void __attribute__((noreturn)) become_server(const struct embedded *e, pid_t parent, int log_fd, char **argv, char **envp)
{
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(127);
	(void)setsid();
	int null_fd = open("/dev/null", O_RDWR);
	if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0)
		_exit(127);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGUSR1, SIG_DFL);
	(void)signal(SIGUSR2, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execve(e->program, argv, envp);
	_exit(127);
}

static int spawn_server(struct embedded *e)
{
	char name[] = "redis-server";
	char *argv[] = { name, e->config_path, NULL };
	AUTO_FREE char **envp = child_environment(NULL);
	AUTO_FD log_fd = open(e->log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	pid_t parent = getpid();

	if (!envp)
		return -ENOMEM;
	if (log_fd < 0)
		return -errno;
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		become_server(e, parent, log_fd, argv, envp);
	e->pid = pid;
	e->started_mono_ms = clock_mono_ms();
	return 0;
}

static bool listens(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		return false;
	memcpy(address.sun_path, path, strlen(path) + 1);
	return connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

/* So that the first connection finds it, and a server that cannot start is said to be so. */
static int wait_until_it_listens(struct supervisor *s, struct embedded *e)
{
	const struct timespec pause = { 0, STARTED_POLL_MS * 1000000L };
	int64_t until = clock_mono_ms() + STARTED_LIMIT_MS;
	int status;

	while (!listens(e->socket_path) && clock_mono_ms() < until) {
		if (waitpid(e->pid, &status, WNOHANG) == e->pid) {
			e->pid = 0;
			return failed(s, -EIO, "the embedded redis-server ends at once; its log says why", e->log_path);
		}
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

static void restart_later(struct embedded *e)
{
	struct ev_loop *loop = e->sup->loop;
	int64_t wait = e->failures <= 1 ? 0 : backoff_full_jitter_ms(RESTART_BASE_MS, RESTART_CAP_MS, e->failures - 1, 0.9);

	ev_now_update(loop);
	ev_timer_set(&e->timer, (double)wait / 1000., 0.);
	ev_timer_start(loop, &e->timer);
}

static void on_restart(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct embedded *e = timer->data;
	(void)loop;
	(void)events;
	int r = spawn_server(e);
	if (r == 0)
		return;
	(void)failed(e->sup, r, "the embedded redis-server cannot be started again", e->program);
	e->failures++;
	restart_later(e);
}

/* ---- for the supervisor ---- */

static int prepare(struct supervisor *s, struct embedded *e, const char *state_dir)
{
	struct fault fault;

	if (asprintf(&e->config_path, "%s/redis.conf", state_dir) < 0 || asprintf(&e->socket_path, "%s/redis.sock", state_dir) < 0 ||
	    asprintf(&e->log_path, "%s/redis.log", state_dir) < 0)
		return -ENOMEM;
	e->program = find_program("redis-server");
	if (!e->program)
		return failed(s, -ENOENT, "redis.url is embedded, but redis-server is not in PATH", "install it: apt install redis-server");
	int r = make_folder(state_dir);
	if (r < 0)
		return failed(s, r, "state_dir cannot be made", state_dir);
	r = lock_folder(s, e, state_dir);
	if (r < 0)
		return r;
	r = leftover_stop(state_dir, &fault);
	if (r < 0)
		return failed(s, r, "a redis-server that was left over cannot be stopped", fault.text);
	r = write_config(e, state_dir);
	return r < 0 ? failed(s, r, "the embedded redis-server's configuration cannot be written", e->config_path) : 0;
}

int embedded_start(struct supervisor *s)
{
	if (!s->config->redis.embedded)
		return 0;
	struct embedded *e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->sup = s;
	e->lock_fd = -1;
	ev_init(&e->timer, on_restart);
	e->timer.data = e;
	s->embedded = e;
	int r = prepare(s, e, s->config->state_dir);
	if (r < 0)
		return r;
	r = spawn_server(e);
	return r < 0 ? failed(s, r, "the embedded redis-server cannot be started", e->program) : wait_until_it_listens(s, e);
}

bool embedded_child_ended(struct supervisor *s, pid_t pid, int wait_status)
{
	struct embedded *e = s->embedded;

	if (!e || e->pid != pid)
		return false;
	e->pid = 0;
	e->failures = clock_mono_ms() - e->started_mono_ms < SOON_MS ? e->failures + 1 : 1;
	int64_t code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
	int64_t number = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
	event(s->log, DAEMON_WARNING, NULL, F_TEXT("why", "the embedded redis-server died and is started again"), F_I64_UNLESS("status", code, -1),
	      F_I64_UNLESS("signal", number, 0), F_TEXT("log", e->log_path));
	restart_later(e);
	return true;
}

pid_t embedded_pid(const struct supervisor *s)
{
	return s->embedded ? s->embedded->pid : 0;
}

static void end_server(struct embedded *e)
{
	(void)kill(e->pid, SIGTERM);
	(void)kill(e->pid, SIGCONT);
	if (leftover_wait(e->pid, STOP_LIMIT_MS) < 0)
		(void)kill(e->pid, SIGKILL);
	while (waitpid(e->pid, NULL, 0) < 0 && errno == EINTR)
		;
	e->pid = 0;
}

void embedded_stop(struct supervisor *s)
{
	struct embedded *e = TAKE(s->embedded);

	if (!e)
		return;
	if (s->loop)
		ev_timer_stop(s->loop, &e->timer);
	if (e->pid > 0)
		end_server(e);
	if (e->lock_fd >= 0)
		(void)close(e->lock_fd);
	free(e->program);
	free(e->config_path);
	free(e->socket_path);
	free(e->log_path);
	free(e);
}
