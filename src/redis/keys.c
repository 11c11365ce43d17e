/* All keys of a queue carry the stream's hash tag, so that in a cluster one script may touch them all. */
#include "redis/keys.h"

#include <errno.h>

/* The text in the braces of the name, or the whole of it. */
static struct bytes hash_tag(const char *stream)
{
	const char *open = strchr(stream, '{');
	const char *close = open ? strchr(open, '}') : NULL;

	if (!close || close == open + 1)
		return bytes_of(stream);
	return (struct bytes){ open + 1, (size_t)(close - open - 1) };
}

static char *make(const char *stream, const char *group, const char *last)
{
	struct bytes tag = hash_tag(stream);
	AUTO_BUF b = { 0 };

	buf_add_text(&b, "xackd:{");
	buf_add_bytes(&b, tag);
	buf_add_text(&b, "}:");
	buf_add_text(&b, stream);
	if (group) {
		buf_add_char(&b, ':');
		buf_add_text(&b, group);
	}
	buf_add_char(&b, ':');
	buf_add_text(&b, last);
	return buf_take(&b);
}

char *queue_job_key(const char *stream, const char *group, const char *what, const char *job)
{
	AUTO_BUF last = { 0 };

	buf_addf(&last, "%s:%s", what, job);
	return last.failed ? NULL : make(stream, group, last.p);
}

int queue_keys_init(struct queue_keys *k, const char *stream, const char *group)
{
	*k = (struct queue_keys){
		.stream = strdup(stream),
		.group = strdup(group),
		.due = make(stream, group, "due"),
		.given = make(stream, group, "given"),
		.note = make(stream, group, "note"),
		.dead = make(stream, group, "dead"),
		.hosts = make(stream, group, "hosts"),
		.paused = make(stream, group, "paused"),
		.remade = make(stream, group, "remade"),
		.replay = make(stream, group, "replay"),
		.later = make(stream, NULL, "later"),
		.later_data = make(stream, NULL, "later:data"),
		.cron = make(stream, NULL, "cron"),
		.result = make(stream, NULL, "result:"),
		.promoted = make(stream, NULL, "promoted"),
	};
	if (k->stream && k->group && k->due && k->given && k->note && k->dead && k->hosts && k->paused && k->remade && k->replay && k->later &&
	    k->later_data && k->cron && k->result && k->promoted)
		return 0;
	queue_keys_done(k);
	return -ENOMEM;
}

void queue_keys_done(struct queue_keys *k)
{
	free(k->stream);
	free(k->group);
	free(k->due);
	free(k->given);
	free(k->note);
	free(k->dead);
	free(k->hosts);
	free(k->paused);
	free(k->remade);
	free(k->replay);
	free(k->later);
	free(k->later_data);
	free(k->cron);
	free(k->result);
	free(k->promoted);
	*k = (struct queue_keys){ 0 };
}

void queue_keys_add_once(const struct queue_keys *k, struct bytes name, struct buf *out)
{
	buf_add_bytes(out, (struct bytes){ k->later, strlen(k->later) - strlen("later") });
	buf_add_text(out, "once:");
	buf_add_bytes(out, name);
}
