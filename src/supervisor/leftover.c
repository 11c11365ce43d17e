/* A redis-server of an earlier life that still has this folder's files: two writers to one AOF would ruin it, so it is stopped and waited for before
 * ours is started. It is found by who listens on the socket, or, while it does not listen yet or no longer, by its pid file and working folder. */
#include "supervisor/state.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/num.h"

enum { LEFTOVER_TERM_MS = 10 * 1000, LEFTOVER_KILL_MS = 2000 };

int leftover_wait(pid_t pid, int64_t limit_ms)
{
	AUTO_FD fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd < 0)
		return errno == ESRCH ? 0 : -errno;
	int n = poll(&p, 1, (int)limit_ms);
	return n > 0 ? 0 : n == 0 ? -ETIMEDOUT : -errno;
}

/* Who listens on the socket: 0 = nobody, -1 = somebody whom we cannot see. */
static pid_t listener_of(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ucred peer = { .pid = -1 };
	socklen_t size = sizeof(peer);
	AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		return 0;
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 && errno != EAGAIN)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.pid <= 0)
		return -1;
	return peer.pid;
}

static bool link_is(pid_t pid, const char *what, const char *wanted)
{
	char path[48], target[4096];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	return strcmp(target, wanted) == 0;
}

/* From the pid file, if that process really works in this folder; else 0. */
static pid_t noted_pid(const char *state_dir)
{
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *folder = realpath(state_dir, NULL);
	AUTO_BUF text = { 0 };
	int64_t pid = 0;

	if (!folder || asprintf(&path, "%s/redis.pid", state_dir) < 0) {
		path = NULL;
		return 0;
	}
	if (fd_read_file(path, 64, &text) < 0 || num_i64((struct bytes){ text.p, strcspn(text.p, "\r\n") }, &pid) < 0 || pid <= 1 || pid > INT32_MAX)
		return 0;
	return link_is((pid_t)pid, "cwd", folder) ? (pid_t)pid : 0;
}

static int stop_process(pid_t pid)
{
	(void)kill(pid, SIGTERM);
	(void)kill(pid, SIGCONT);
	int r = leftover_wait(pid, LEFTOVER_TERM_MS);
	if (r != -ETIMEDOUT)
		return r;
	(void)kill(pid, SIGKILL);
	return leftover_wait(pid, LEFTOVER_KILL_MS);
}

int leftover_stop(const char *state_dir, struct fault *ret_fault)
{
	AUTO_FREE char *socket_path = NULL;

	if (asprintf(&socket_path, "%s/redis.sock", state_dir) < 0) {
		socket_path = NULL;
		return fault_set(ret_fault, -ENOMEM, "out of memory");
	}
	pid_t pid = listener_of(socket_path);
	if (pid < 0)
		return fault_set(ret_fault, -EBUSY, "a process that cannot be seen from here (another container?) answers on %s", socket_path);
	if (pid == 0)
		pid = noted_pid(state_dir);
	if (pid == 0)
		return 0;
	int r = stop_process(pid);
	if (r < 0)
		return fault_set(ret_fault, r, "a redis-server that was left over (pid %d) still has %s: %s", (int)pid, state_dir, strerror(-r));
	return 0;
}
