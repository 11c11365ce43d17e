/* An event of the log: whether it is wanted, and in words. What stands in it came from handlers and entries,
 * and from whoever wrote the file: it is spelled out like everything else. */
#include <fnmatch.h>

#include "ctl/args.h"
#include "ctl/events.h"
#include "ctl/text.h"

enum { LONGEST_VALUE = 2000 };

static const char *const levels[] = { "debug", "info", "notice", "warning", "error" };

int event_level_named(struct bytes name)
{
	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		if (bytes_eq(bytes_of(levels[i]), name))
			return (int)i;
	}
	return -1;
}

static struct bytes member(json_t *event, const char *name)
{
	json_t *value = json_object_get(event, name);
	return json_is_string(value) ? (struct bytes){ json_string_value(value), json_string_length(value) }
				     : (struct bytes){ "", 0 };
}

static bool is(json_t *event, const char *name, const char *wanted)
{
	return !wanted || bytes_eq(member(event, name), bytes_of(wanted));
}

bool event_wanted(const struct args *args, json_t *event)
{
	const char *name = json_string_value(json_object_get(event, "event"));
	if (!name || event_level_named(member(event, "level")) < args->level)
		return false;
	if (args->event && fnmatch(args->event, name, 0) != 0)
		return false;
	return is(event, "job", args->job) && is(event, "id", args->id);
}

static void add_value(struct buf *out, json_t *value, bool unicode)
{
	if (json_is_string(value)) {
		AUTO_BUF text = { 0 };
		text_escape(&text, (struct bytes){ json_string_value(value), json_string_length(value) },
			    unicode, LONGEST_VALUE);
		bool quotes = text.n == 0 || memchr(text.p, ' ', text.n) || memchr(text.p, '=', text.n);
		buf_add_text(out, quotes ? "\"" : "");
		buf_add_bytes(out, buf_bytes(&text));
		buf_add_text(out, quotes ? "\"" : "");
		return;
	}
	char *json = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	text_escape(out, bytes_of(json ? json : "?"), unicode, LONGEST_VALUE);
	free(json);
}

/* What every event has stands in front, in a fixed order; the rest follows as it was written. */
static bool is_head(const char *name)
{
	static const char *const heads[] = { "ts",      "level",  "event", "host",   "job", "id",
					     "attempt", "stream", "group", "worker", "pid" };
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		if (strcmp(heads[i], name) == 0)
			return true;
	}
	return false;
}

static void add_head(struct buf *out, json_t *event, const char *name, size_t width, bool unicode)
{
	size_t before = out->n;
	if (member(event, name).n == 0)
		return;
	text_escape(out, member(event, name), unicode, LONGEST_VALUE);
	while (out->n - before < width)
		buf_add_char(out, ' ');
	buf_add_char(out, ' ');
}

void event_add_text(struct buf *out, json_t *event, bool unicode, bool colour)
{
	enum { WARNING = 3 };
	int level = event_level_named(member(event, "level"));
	const char *name;
	json_t *value;
	add_head(out, event, "ts", 0, unicode);
	buf_add_text(out, colour && level >= WARNING ? (level > WARNING ? "\033[31m" : "\033[33m") : "");
	add_head(out, event, "level", 7, unicode);
	add_head(out, event, "event", 13, unicode);
	buf_add_text(out, colour && level >= WARNING ? "\033[0m" : "");
	add_head(out, event, "host", 0, unicode);
	add_head(out, event, "job", 0, unicode);
	add_head(out, event, "id", 0, unicode);
	if (json_is_integer(json_object_get(event, "attempt")))
		buf_addf(out, "attempt %" JSON_INTEGER_FORMAT " ",
			 json_integer_value(json_object_get(event, "attempt")));
	json_object_foreach (event, name, value) {
		if (is_head(name))
			continue;
		text_escape(out, bytes_of(name), unicode, LONGEST_VALUE);
		buf_add_char(out, '=');
		add_value(out, value, unicode);
		buf_add_char(out, ' ');
	}
	while (out->n > 0 && out->p[out->n - 1] == ' ')
		out->p[--out->n] = '\0';
}
