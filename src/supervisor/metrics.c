/* Where the metrics go: a page that Prometheus fetches, a file that node_exporter reads, both, or neither.
 * Only the file needs a timer. */
#include "supervisor/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "supervisor/http.h"

enum { TEXTFILE_EVERY_S = 15 };

struct metrics {
	struct supervisor *sup;
	struct http_server *server; /* NULL: no page */
	char *listen;
	char *textfile;       /* NULL: no file */
	bool textfile_failed; /* that was said */
	ev_timer timer;
};

/* ---- the page ---- */

static void write_page(void *user, bool openmetrics, struct buf *out)
{
	metrics_write(user, !openmetrics, out);
}

static void close_page(struct metrics *m)
{
	http_server_free(TAKE(m->server));
	free(TAKE(m->listen));
}

static void open_page(struct metrics *m, const char *listen)
{
	struct supervisor *s = m->sup;
	struct fault fault = { 0 };

	m->listen = strdup(listen);
	if (m->listen && http_server_start(s->loop, listen, write_page, s, &m->server, &fault) == 0)
		return;
	free(TAKE(m->listen));
	event(s->log, DAEMON_WARNING, NULL, F_TEXT("why", fault.text),
	      F_TEXT("advice", "no metrics are served; see metrics.listen, a reload tries again"));
}

/* ---- the file ---- */

/* A reader finds the old file or the new one, never a part. */
static int replace_file(const char *path, struct bytes text, struct fault *f)
{
	AUTO_FREE char *fresh = NULL;

	if (asprintf(&fresh, "%s.new", path) < 0)
		return fault_set(f, -ENOMEM, "out of memory");
	(void)unlink(fresh);
	AUTO_FD fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return fault_set(f, -errno, "%.150s cannot be made: %s", fresh, strerror(errno));
	int r = fchmod(fd, 0644) < 0 ? -errno : fd_write_all(fd, text);
	if (r == 0 && rename(fresh, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(fresh);
		return fault_set(f, r, "%.150s cannot be written: %s", path, strerror(-r));
	}
	return 0;
}

static void write_file(struct metrics *m)
{
	AUTO_BUF text = { 0 };
	struct fault fault = { 0 };

	metrics_write(m->sup, true, &text);
	int r = text.failed ? fault_set(&fault, -ENOMEM, "out of memory")
			    : replace_file(m->textfile, buf_bytes(&text), &fault);
	if (r < 0 && !m->textfile_failed)
		event(m->sup->log, DAEMON_WARNING, NULL, F_TEXT("why", fault.text),
		      F_TEXT("advice", "see metrics.textfile; it is tried again every 15 s"));
	m->textfile_failed = r < 0;
}

static void on_textfile(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	write_file(timer->data);
}

/* What nobody writes any more must not be read as if it were true. */
static void close_file(struct metrics *m)
{
	ev_timer_stop(m->sup->loop, &m->timer);
	if (m->textfile)
		(void)unlink(m->textfile);
	free(TAKE(m->textfile));
}

static void open_file(struct metrics *m, const char *path)
{
	m->textfile = strdup(path);
	if (!m->textfile)
		return;
	m->textfile_failed = false;
	write_file(m);
	ev_now_update(m->sup->loop);
	ev_timer_set(&m->timer, TEXTFILE_EVERY_S, TEXTFILE_EVERY_S);
	ev_timer_start(m->sup->loop, &m->timer);
}

/* ---- for the supervisor ---- */

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static struct metrics *metrics_new(struct supervisor *s)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->sup = s;
	ev_init(&m->timer, on_textfile);
	m->timer.data = m;
	return m;
}

void metrics_change(struct supervisor *s)
{
	const char *listen = s->config->metrics_listen, *textfile = s->config->metrics_textfile;

	if (!s->metrics && !listen && !textfile)
		return;
	if (!s->metrics)
		s->metrics = metrics_new(s);
	struct metrics *m = s->metrics;
	if (!m)
		return;
	if (!same(m->listen, listen)) {
		close_page(m);
		if (listen)
			open_page(m, listen);
	}
	if (!same(m->textfile, textfile)) {
		close_file(m);
		if (textfile)
			open_file(m, textfile);
	}
}

void metrics_stop(struct supervisor *s)
{
	if (!s->metrics)
		return;
	close_page(s->metrics);
	close_file(s->metrics);
	free(TAKE(s->metrics));
}
