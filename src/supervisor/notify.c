/* What systemd is told, when it listens. Without libsystemd, or without a socket to speak to, nothing. */
#include "supervisor/state.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>

static void say(const char *text)
{
	(void)sd_notify(0, text);
}

bool notify_wanted(void)
{
	const char *socket = getenv("NOTIFY_SOCKET");
	return socket && *socket;
}

int64_t notify_watchdog_ms(void)
{
	uint64_t usec = 0;
	return sd_watchdog_enabled(0, &usec) > 0 ? (int64_t)(usec / 1000) : 0;
}
#else
static void say(const char *text)
{
	(void)text;
}

bool notify_wanted(void)
{
	return false;
}

int64_t notify_watchdog_ms(void)
{
	return 0;
}
#endif

enum { STATUS_EVERY_MS = 1000 };

void notify_ready(struct supervisor *s)
{
	s->status_mono_ms = 0;
	say("READY=1");
	notify_status(s);
}

void notify_reloading(void)
{
	char text[80];
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_mono_us());
	say(text);
}

void notify_stopping(int64_t within_ms)
{
	char text[120];
	snprintf(text, sizeof(text), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRId64 "\nSTATUS=Stopping: waits for running handlers", within_ms * 1000);
	say(text);
}

void notify_alive(void)
{
	say("WATCHDOG=1");
}

static void add_figures(struct supervisor *s, struct buf *text)
{
	int64_t waiting = 0, pending = 0, parked = 0, dead = 0;

	(void)reaper_figures(s->reaper, s->config, INT64_MAX, s->gauges);
	for (size_t i = 0; i < s->config->queue_count; i++) {
		const struct queue_gauges *g = &s->gauges[i];
		waiting += g->waiting > 0 ? g->waiting : 0;
		pending += g->pending;
		parked += g->parked;
		dead += g->dead;
	}
	buf_addf(text, "STATUS=%zu workers, %zu busy; entries: %" PRId64 " waiting, %" PRId64 " running, %" PRId64 " parked, %" PRId64 " dead",
		 s->config->slot_count, slots_count_state(s, WORKER_BUSY), waiting, pending > parked ? pending - parked : 0, parked, dead);
	if (!atomic_load(&board_header(s->board)->redis_connected))
		buf_add_text(text, "; Redis is away");
	if (s->reload_error[0])
		buf_addf(text, "; the new configuration was refused: %s", s->reload_error);
}

/* Only when it changed and not oftener than once a second: what is left out comes with the reaper's next look. */
void notify_status(struct supervisor *s)
{
	int64_t now = clock_mono_ms();
	AUTO_BUF text = { 0 };

	if (!s->ready || s->stopping || !notify_wanted() || now - s->status_mono_ms < STATUS_EVERY_MS)
		return;
	add_figures(s, &text);
	if (text.failed || strcmp(text.p, s->status) == 0)
		return;
	s->status_mono_ms = now;
	snprintf(s->status, sizeof(s->status), "%s", text.p);
	say(text.p);
}
