/* Events become lines, lines go to the sink. */
#include "log/event.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "log/journal.h"
#include "log/line.h"
#include "log/sink.h"

enum { DRAIN_STEP_MS = 20 };

struct log {
	struct sink sink;
	struct journal journal;
	enum log_style style;
	_Atomic int level; /* enum event_level */
	bool colour;
	char host[72];
	pthread_mutex_t lock; /* this process's threads share the line */
	struct buf line;      /* kept from event to event: no allocation in steady state */
};

static const struct {
	const char *name;
	enum event_level level;
	const char *says;
	const char *message_id;
} catalogue[] = {
#define EVENT(symbol, name, level, text, id) [symbol] = { name, EVENT_##level, text, id },
#include "log/events.def"
#undef EVENT
};
_Static_assert(ARRAY_LEN(catalogue) == EVENT_COUNT, "every event is in the catalogue");

const char *event_name(enum event_id id)
{
	return catalogue[id].name;
}

enum event_level event_level(enum event_id id)
{
	return catalogue[id].level;
}

size_t log_shared_size(void)
{
	return sizeof(struct sink_shared);
}

void log_shared_init(void *shared)
{
	sink_shared_init(shared);
}

enum log_style log_style_auto(int fd)
{
	if (journal_is(fd))
		return LOG_STYLE_JOURNAL;
	return isatty(fd) ? LOG_STYLE_TEXT : LOG_STYLE_JSON;
}

/* Under the lock, or before anybody else has it. */
static void set_style(struct log *log, int fd, enum log_style style)
{
	if (style == LOG_STYLE_AUTO)
		style = log_style_auto(fd);
	if (style == LOG_STYLE_JOURNAL && !journal_open(&log->journal))
		style = LOG_STYLE_JSON;
	log->style = style;
}

struct log *log_new(int fd, enum log_style style, enum event_level level, const char *host, void *shared)
{
	struct log *log = calloc(1, sizeof(*log));
	if (!log)
		return NULL;
	if (sink_init(&log->sink, fd, shared) < 0) {
		free(log);
		return NULL;
	}
	pthread_mutex_init(&log->lock, NULL);
	log->journal.fd = -1;
	set_style(log, fd, style);
	log->level = (int)level;
	log->colour = isatty(fd) && !getenv("NO_COLOR");
	snprintf(log->host, sizeof(log->host), "%s", host);
	return log;
}

void log_change(struct log *log, enum log_style style, enum event_level level)
{
	pthread_mutex_lock(&log->lock);
	set_style(log, log->sink.fd, style);
	log->level = (int)level;
	pthread_mutex_unlock(&log->lock);
}

void log_free(struct log *log)
{
	if (!log)
		return;
	journal_close(&log->journal);
	sink_done(&log->sink);
	pthread_mutex_destroy(&log->lock);
	buf_done(&log->line);
	free(log);
}

bool log_wants(const struct log *log, enum event_id id)
{
	return log && (int)catalogue[id].level >= log->level;
}

static bool to_journal(struct log *log, struct bytes fields)
{
	if (journal_send(&log->journal, fields))
		return true;
	sink_count_dropped(&log->sink);
	return false;
}

/* Under the lock. */
static bool write_event(struct log *log, enum event_id id, enum event_level level, const struct event_about *about,
			const struct event_field *fields, size_t count)
{
	struct buf *line = &log->line;
	struct line_head head = { .wall_us = clock_wall_us(), .level = level, .name = catalogue[id].name, .host = log->host };

	buf_clear(line);
	if (log->style == LOG_STYLE_JOURNAL) {
		line_journal(line, &head, &(struct line_kind){ catalogue[id].says, catalogue[id].message_id }, about, fields, count);
		return !line->failed && to_journal(log, buf_bytes(line));
	}
	if (log->style == LOG_STYLE_JSON)
		line_json(line, &head, about, fields, count);
	else
		line_text(line, &head, catalogue[id].says, log->colour, about, fields, count);
	return !line->failed && sink_write(&log->sink, buf_bytes(line));
}

/* As soon as something could be written again: how much could not. */
static void tell_dropped(struct log *log)
{
	uint64_t dropped = sink_take_dropped(&log->sink);
	if (dropped == 0)
		return;
	const struct event_field fields[] = { F_I64("count", (int64_t)dropped), F_TEXT("why", "the log's reader is too slow or gone") };
	if (!write_event(log, LOG_DROPPED, EVENT_WARNING, NULL, fields, ARRAY_LEN(fields)))
		atomic_fetch_add(&log->sink.shared->dropped, dropped - 1); /* this very event was counted by the sink */
}

void event_emit(struct log *log, enum event_id id, enum event_level level, const struct event_about *about, const struct event_field *fields,
		size_t count)
{
	if (!log || (int)level < log->level)
		return;
	pthread_mutex_lock(&log->lock);
	if (write_event(log, id, level, about, fields, count))
		tell_dropped(log);
	pthread_mutex_unlock(&log->lock);
}

uint64_t log_dropped(const struct log *log)
{
	return atomic_load(&log->sink.shared->dropped_ever);
}

bool log_pending(const struct log *log)
{
	return sink_pending(&log->sink);
}

void log_flush(struct log *log)
{
	pthread_mutex_lock(&log->lock);
	if (sink_flush(&log->sink))
		tell_dropped(log);
	pthread_mutex_unlock(&log->lock);
}

void log_drain(struct log *log, int64_t limit_ms)
{
	int64_t until = clock_mono_ms() + limit_ms;

	while (log_pending(log)) {
		int64_t left = until - clock_mono_ms();
		struct pollfd p = { .fd = log->sink.fd, .events = POLLOUT };
		if (log->style == LOG_STYLE_JOURNAL) {
			if (left <= 0)
				return;
			(void)poll(NULL, 0, DRAIN_STEP_MS); /* its socket does not tell when there is room */
		} else if (left <= 0 || poll(&p, 1, (int)left) <= 0 || (p.revents & (POLLERR | POLLHUP)))
			return;
		log_flush(log);
	}
}
