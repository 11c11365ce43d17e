/* Events: the only way this daemon speaks. One event is one line (JSON or text), whole, escaped, from whichever process. Writing
 * never blocks: what a stalled reader does not take is dropped and counted (log.dropped). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/bytes.h"

enum event_level { EVENT_DEBUG, EVENT_INFO, EVENT_NOTICE, EVENT_WARNING, EVENT_ERROR };

enum event_id {
#define EVENT(symbol, name, level, text, id) symbol,
#include "log/events.def"
#undef EVENT
	EVENT_COUNT,
};

/* What an event is about; NULL / "" / 0 = absent. Borrowed. */
struct event_about {
	const char *job;
	const char *stream;
	const char *group;
	const char *id;
	int64_t attempt;
	const char *worker; /* POOL/SLOT */
	pid_t pid;
};

enum event_field_type { FIELD_I64, FIELD_TEXT /* NUL-terminated or NULL = null */, FIELD_BYTES, FIELD_BOOL, FIELD_NULL, FIELD_JSON /* a valid JSON text, as it is */, FIELD_SKIP };
struct event_field {
	const char *name;
	enum event_field_type type;
	int64_t number;
	const char *text;
	struct bytes bytes;
};
#define F_I64(name_, value_) { .name = (name_), .type = FIELD_I64, .number = (value_) }
#define F_TEXT(name_, value_) { .name = (name_), .type = FIELD_TEXT, .text = (value_) }
#define F_BYTES(name_, value_) { .name = (name_), .type = FIELD_BYTES, .bytes = (value_) }
#define F_BOOL(name_, value_) { .name = (name_), .type = FIELD_BOOL, .number = (value_) }
#define F_NULL(name_) { .name = (name_), .type = FIELD_NULL }
#define F_JSON(name_, value_) { .name = (name_), .type = FIELD_JSON, .bytes = (value_) }
#define F_SKIP() { .type = FIELD_SKIP }
/* The number, or the field left out / null when it is `absent`. */
#define F_I64_UNLESS(name_, value_, absent_) { .name = (name_), .type = (value_) == (absent_) ? FIELD_SKIP : FIELD_I64, .number = (value_) }
#define F_I64_OR_NULL(name_, value_, absent_) { .name = (name_), .type = (value_) == (absent_) ? FIELD_NULL : FIELD_I64, .number = (value_) }

struct log; /* one a process; its emit may be called by several threads */

/* Shared by all processes of a daemon (a mapping that the supervisor made, see log_shared_size): serialises the writers and keeps
 * the unwritten rest of a line, so that lines stay whole however long. NULL: this process is alone (xackctl, early start). */
size_t log_shared_size(void);
void log_shared_init(void *shared);

enum log_style { LOG_STYLE_AUTO, LOG_STYLE_JSON, LOG_STYLE_TEXT, LOG_STYLE_JOURNAL }; /* in the order of the configuration's enum log_format */
/* auto: the journal when fd leads there, text when it is a terminal, else JSON. */
enum log_style log_style_auto(int fd);

/* fd is borrowed (2 for the daemon), shared may be NULL, host is copied. Gives or NULL. Journal: native fields to its socket (XACKD_JOURNAL_SOCKET says
 * where else than usual); where there is none, JSON to fd. */
struct log *log_new(int fd, enum log_style style, enum event_level level, const char *host, void *shared);
/* A reload changed these. */
void log_change(struct log *log, enum log_style style, enum event_level level);
void log_free(struct log *log);
bool log_wants(const struct log *log, enum event_id id);
/* Write what a stalled reader left in the shared buffer, and say log.dropped for what was dropped since. The supervisor calls it when log_pending. */
void log_flush(struct log *log);
bool log_pending(const struct log *log);
/* Lines that all processes of the daemon could not write since its start. */
uint64_t log_dropped(const struct log *log);
/* Wait at most this long for the reader to take the rest: before a process ends. */
void log_drain(struct log *log, int64_t limit_ms);

const char *event_name(enum event_id id);
enum event_level event_level(enum event_id id);

void event_emit(struct log *log, enum event_id id, enum event_level level, const struct event_about *about, const struct event_field *fields, size_t count);
/* event(log, JOB_RETRY, &about, F_I64("due_ms", due), …): at least one field; F_SKIP() when there is none. about may be NULL. */
#define event(log_, id_, about_, ...)                                                                           \
	event_emit((log_), (id_), event_level(id_), (about_), (const struct event_field[]){ __VA_ARGS__ },     \
		   sizeof((const struct event_field[]){ __VA_ARGS__ }) / sizeof(struct event_field))
#define event_at(log_, id_, level_, about_, ...)                                                                \
	event_emit((log_), (id_), (level_), (about_), (const struct event_field[]){ __VA_ARGS__ },              \
		   sizeof((const struct event_field[]){ __VA_ARGS__ }) / sizeof(struct event_field))
