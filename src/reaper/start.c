/* The reaper comes and goes: what it knows of the host and of the configuration before its thread runs, and what it owns at the end. */
#include "reaper/state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "base/fd.h"

static void read_identity(char *ret_text, size_t size, const char *path)
{
	AUTO_BUF text = { 0 };
	ret_text[0] = '\0';
	if (fd_read_file(path, 4096, &text) < 0 || !text.p)
		return;
	text.p[strcspn(text.p, "\n")] = '\0';
	snprintf(ret_text, size, "%s", text.p);
}

static int init_queues(struct reaper *r)
{
	const struct config *c = r->o.config;
	int fd = fcntl(board_fd(r->o.board), F_DUPFD_CLOEXEC, 3);

	/* A board of our own: which rows ours are changes with a reload, on this thread. */
	if (fd < 0 || board_attach(fd, &r->board) < 0) {
		if (fd >= 0)
			(void)close(fd);
		return -ENOMEM;
	}
	int failed = board_bind(r->board, &(struct board_rows){ c->jobs, c->job_count, c->queues, c->queue_count });
	r->queues = calloc(c->queue_count ? c->queue_count : 1, sizeof(struct reaped_queue *));
	if (failed < 0 || !r->queues)
		return failed < 0 ? failed : -ENOMEM;
	for (size_t i = 0; i < c->queue_count && failed == 0; i++) {
		failed = reaper_queue_new(r, c, i, &r->queues[i]);
		r->queue_count += failed == 0;
	}
	struct reaped_schedule *schedules = failed == 0 ? reaper_cron_room(c) : NULL;
	if (schedules)
		reaper_cron_adopt(r, c, r->queues, schedules);
	return failed == 0 && !schedules ? -ENOMEM : failed;
}

static int init_row(struct reaper *r)
{
	struct host_row *row = &r->row;
	ino_t ns = 0;

	read_identity(r->boot_id, sizeof(r->boot_id), "/proc/sys/kernel/random/boot_id");
	read_identity(r->machine_id, sizeof(r->machine_id), "/etc/machine-id");
	if (!r->machine_id[0]) { /* a container may have none: the kernel's node name then */
		read_identity(r->machine_id, sizeof(r->machine_id), "/proc/sys/kernel/hostname");
	}
	fd_namespace_inode("/proc/self/ns/pid", &ns);
	*row = (struct host_row){
		.name = r->o.config->name,
		.boot = r->boot_id,
		.machine = r->machine_id,
		.pid_ns = ns,
		.pid = getpid(),
		.started = r->o.started_ticks,
		.version = PACKAGE_VERSION,
		.workers = (int64_t)r->o.config->slot_count,
	};
	return 0;
}

static int start_thread(struct reaper *r)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old); /* signals are for the main thread alone */
	int failed = pthread_create(&r->thread, NULL, reaper_thread, r);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	r->started = failed == 0;
	return -failed;
}

int reaper_start(const struct reaper_options *options, struct reaper **ret_reaper)
{
	struct reaper *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->o = *options;
	pthread_mutex_init(&r->lock, NULL);
	int failed = init_queues(r);
	if (failed == 0)
		failed = init_row(r);
	if (failed == 0 && options->earlier_count > 0) {
		r->earlier = calloc(options->earlier_count, sizeof(*r->earlier));
		if (!r->earlier)
			failed = -ENOMEM;
		else
			memcpy(r->earlier, options->earlier, options->earlier_count * sizeof(*r->earlier));
		r->earlier_count = r->earlier ? options->earlier_count : 0;
	}
	char name[128];
	snprintf(name, sizeof(name), "%s/reaper", options->config->name);
	if (failed == 0 && !(r->conn = connection_new(options->target, name, NULL, NULL)))
		failed = -ENOMEM;
	if (failed == 0)
		failed = start_thread(r);
	if (failed < 0) {
		reaper_free(r);
		return failed;
	}
	*ret_reaper = r;
	return 0;
}

void reaper_free(struct reaper *r)
{
	if (!r)
		return;
	if (r->started && !r->joined)
		(void)!reaper_stop(r, 0);
	connection_free(r->conn);
	for (size_t i = 0; i < r->queue_count; i++)
		reaper_queue_free(r->queues[i]);
	free(r->queues);
	free(r->schedules);
	board_free(r->board);
	free(r->inbox.graves);
	free(r->graves);
	free(r->earlier);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
