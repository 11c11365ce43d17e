/* `status`: the whole in one look. It needs neither of the two to say what it can of the other: without the
 * daemon its part is null and that is no error; without Redis there are no queues to speak of, which is
 * exit 69. */
#include <errno.h>

#include "ctl/figures.h"
#include "ctl/text.h"
#include "ctl/verb.h"

static void add_member(struct buf *out, json_t *object, const char *name)
{
	json_t *value = object ? json_object_get(object, name) : NULL;
	char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
	json_add_name(out, name);
	buf_add_text(out, text ? text : "null");
	free(text);
}

static int status_json(struct ctl *ctl, json_t *answer)
{
	AUTO_BUF out = { 0 };
	buf_add_char(&out, '{');
	add_member(&out, answer, "daemon");
	add_member(&out, answer, "workers");
	json_add_name(&out, "queues");
	size_t before = out.n;
	int r = figures_json(ctl, &out);
	if (r != 0 && out.n == before)
		buf_add_text(&out, "null");
	buf_add_char(&out, '}');
	output_json(&ctl->out, buf_bytes(&out));
	return r;
}

static void add_ms(struct buf *out, json_t *object, const char *name, const char *before)
{
	json_t *ms = json_object_get(object, name);
	if (!json_is_integer(ms))
		return;
	buf_add_text(out, before);
	text_add_duration(out, json_integer_value(ms));
}

static const char *member_text(json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text ? text : "?";
}

static void print_daemon(struct ctl *ctl, json_t *daemon)
{
	AUTO_BUF line = { 0 };
	buf_addf(&line, "daemon   %s, pid %" JSON_INTEGER_FORMAT ", version %s", member_text(daemon, "state"),
		 json_integer_value(json_object_get(daemon, "pid")), member_text(daemon, "version"));
	add_ms(&line, daemon, "uptime_ms", ", up for ");
	output_line(&ctl->out, "%s", line.p ? line.p : "");
	json_t *redis = json_object_get(daemon, "redis");
	buf_clear(&line);
	buf_addf(&line, "redis    %s, %s", member_text(redis, "url"),
		 json_is_true(json_object_get(redis, "connected")) ? "connected" : "NOT connected");
	add_ms(&line, redis, "since_ms", " for ");
	output_line(&ctl->out, "%s", line.p ? line.p : "");
}

static void print_workers(struct ctl *ctl, json_t *workers)
{
	static const char *const names[] = { "total", "busy", "idle", "starting" };
	AUTO_BUF line = { 0 };
	buf_add_text(&line, "workers ");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		buf_addf(&line, "%s %" JSON_INTEGER_FORMAT " %s", i ? "," : "",
			 json_integer_value(json_object_get(workers, names[i])), names[i]);
	output_line(&ctl->out, "%s", line.p ? line.p : "");
}

static int status_table(struct ctl *ctl, json_t *answer, const char *unasked)
{
	json_t *daemon = answer ? json_object_get(answer, "daemon") : NULL;
	if (json_is_object(daemon)) {
		print_daemon(ctl, daemon);
		print_workers(ctl, json_object_get(answer, "workers"));
	} else if (unasked) {
		output_line(&ctl->out, "daemon   cannot be asked: %s", unasked);
	} else {
		output_line(&ctl->out, "daemon   does not run (nobody answers at %s)",
			    ctl->config->control_socket);
	}
	struct connection *connection;
	int r = ctl_redis(ctl, &connection);
	if (r != 0)
		return r;
	output_write(&ctl->out, bytes_of("\n"));
	struct list list;
	if (list_begin(&list, &ctl->out, figure_columns, FIGURE_COLUMNS) < 0)
		return ctl_say(CTL_NO, "out of memory");
	r = figures_list(ctl, &list);
	list_end(&list, NULL);
	return r;
}

int verb_status(struct ctl *ctl)
{
	AUTO_JSON *answer = NULL;
	struct fault fault;
	int r = ctl_daemon(ctl, json_pack("{s:s}", "verb", "status"), &answer, &fault);
	bool runs_not = r == -ECONNREFUSED;
	if (r < 0 && !(runs_not && ctl->out.format == OUTPUT_TABLE)) /* the table says it itself */
		(void)ctl_no_daemon(ctl, &fault);
	int said = ctl->out.format == OUTPUT_TABLE ? status_table(ctl, answer, runs_not || r >= 0 ? NULL : fault.text) :
						     status_json(ctl, answer);
	return said != 0 ? said : r < 0 && !runs_not ? CTL_UNAVAILABLE : 0; /* it may well run: then null would be a lie */
}
