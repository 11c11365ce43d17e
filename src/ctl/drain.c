/* `drain`: the daemon of this host is asked to end as by SIGTERM. With --wait until it has: then its name is
 * free for the next one. */
#include <errno.h>
#include <poll.h>
#include <sys/pidfd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ctl/ctl.h"
#include "ctl/verb.h"

enum {
	STEP_MS = 100,
	BEHIND_SOCKET_MS = 2000, /* where the process cannot be watched (another PID namespace): what it may
				    still need */
	DRAIN_TIMED_OUT = 75,    /* EX_TEMPFAIL */
};

static const struct column columns[] = {
	{ .key = "pid", .title = "Pid" },
	{ .key = "state", .title = "State" },
	{ .key = "running", .title = "Handlers that run" },
	{ .key = "drain_timeout_ms", .title = "Their time at most", .show = SHOW_DURATION },
};

static bool answers(const struct ctl *ctl, json_int_t pid)
{
	AUTO_JSON *answer = NULL;
	struct fault fault;
	if (ctl_daemon(ctl, json_pack("{s:s}", "verb", "status"), &answer, &fault) != 0)
		return false;
	return json_integer_value(json_object_get(json_object_get(answer, "daemon"), "pid")) == pid;
}

/* Until the process is gone: a new daemon is refused for as long as the old one holds its name. */
static int wait_for_end(const struct ctl *ctl, json_int_t pid)
{
	int64_t until = ctl->args->timeout_ms >= 0 ? clock_mono_ms() + ctl->args->timeout_ms : INT64_MAX;
	AUTO_FD fd = pidfd_open((pid_t)pid, 0);
	int64_t silent_since = 0;
	for (;;) {
		struct pollfd end = { .fd = fd, .events = POLLIN };
		int64_t now = clock_mono_ms();
		int64_t left = until - now;
		if (left <= 0)
			return ctl_say(DRAIN_TIMED_OUT, "the daemon (pid %d) has not ended yet", (int)pid);
		if (poll(&end, fd >= 0 ? 1 : 0, (int)(left < STEP_MS ? left : STEP_MS)) > 0)
			return 0;
		if (answers(ctl, pid))
			silent_since = 0;
		else if (silent_since == 0)
			silent_since = now;
		else if (fd < 0 && now - silent_since >= BEHIND_SOCKET_MS)
			return 0;
	}
}

int verb_drain(struct ctl *ctl)
{
	AUTO_JSON *answer = NULL;
	struct fault fault;
	int r = ctl_daemon(ctl, json_pack("{s:s}", "verb", "drain"), &answer, &fault);
	if (r != 0)
		return r < 0 ? ctl_no_daemon(ctl, &fault) : r;
	json_int_t pid = json_integer_value(json_object_get(answer, "pid"));
	if (pid <= 1)
		return ctl_say(
			CTL_NO,
			"the daemon's answer to \"drain\" is not understood (is it of another version?)");
	bool waits = args_given(ctl->args, OPTION_WAIT);
	if (waits)
		r = wait_for_end(ctl, pid);
	struct cell cells[ARRAY_LEN(columns)];
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		cells[i] = cell_member(answer, columns[i].key);
	if (waits && r == 0) {
		cells[1] = cell_text("stopped");
		cells[2] = cell_number(0);
	}
	output_record(&ctl->out, columns, cells, ARRAY_LEN(columns));
	return r;
}
