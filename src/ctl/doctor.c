/* `doctor`: looks at all that xackd stands on, and says what is wrong, a line each, with what to do about it.
 * Where all is well it says nothing. It changes nothing but, with --fix, what cannot lose anything: rights of
 * files that are too wide, due times that are missing, consumers that hold nothing. */
#include "ctl/doctor.h"

#include <stdio.h>

#include "ctl/text.h"
#include "ctl/verb.h"

enum { COL_LEVEL, COL_CHECK, COL_WHAT, COL_TODO, COL_COUNT };
static const struct column columns[COL_COUNT] = {
	[COL_LEVEL] = { .key = "level" },
	[COL_CHECK] = { .key = "check" },
	[COL_WHAT] = { .key = "what" },
	[COL_TODO] = { .key = "todo" },
};

static void say(struct doctor *d, const char *level, enum tone tone, const char *todo, const char *what)
{
	struct output *o = &d->ctl->out;
	const struct cell cells[COL_COUNT] = { cell_text(level), cell_text(d->check), cell_text(what),
					       cell_text(todo) };
	AUTO_BUF line = { 0 };
	if (o->format != OUTPUT_TABLE) {
		(void)list_row(&d->list, cells);
		return;
	}
	d->list.rows++;
	buf_add_text(&line, !o->colour          ? ""
			    : tone == TONE_BAD  ? "\033[31m"
			    : tone == TONE_WARN ? "\033[33m"
						: "\033[32m");
	buf_addf(&line, "%-8s%s%s: ", level, o->colour ? "\033[0m" : "", d->check);
	text_escape(&line, bytes_of(what), o->unicode, 4096);
	if (todo && *todo) {
		buf_add_text(&line, ": ");
		text_escape(&line, bytes_of(todo), o->unicode, 4096);
	}
	buf_add_char(&line, '\n');
	output_write(o, buf_bytes(&line));
}

void doctor_say(struct doctor *d, enum finding_level level, const char *todo, const char *format, ...)
{
	char what[1024];
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	d->worst = (int)level > d->worst ? (int)level : d->worst;
	say(d, level == FINDING_ERROR ? "error" : "warning", level == FINDING_ERROR ? TONE_BAD : TONE_WARN,
	    todo, what);
}

void doctor_fixed(struct doctor *d, const char *format, ...)
{
	char what[1024];
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	say(d, "fixed", TONE_GOOD, NULL, what);
}

/* In the order of what stands on what. */
static const struct {
	const char *name;
	doctor_fn *fn;
	doctor_queue_fn *queue_fn;
	bool redis, info; /* what it cannot do without */
} checks[] = {
	{ "configuration", doctor_warnings, NULL, false, false },
	{ "files", doctor_files, NULL, false, false },
	{ "handlers", doctor_handlers, NULL, false, false },
	{ "daemon", doctor_daemon, NULL, false, false },
	{ "limits", doctor_limits, NULL, false, false },
	{ "suspended", doctor_suspended, NULL, false, false },
	{ "version", doctor_version, NULL, true, true },
	{ "rights", doctor_rights, NULL, true, false },
	{ "role", doctor_role, NULL, true, true },
	{ "persistence", doctor_persistence, NULL, true, true },
	{ "eviction", doctor_eviction, NULL, true, true },
	{ "memory", doctor_memory, NULL, true, true },
	{ "clients", doctor_clients, NULL, true, true },
	{ "clock", doctor_clock, NULL, true, false },
	{ "keys", NULL, doctor_types, true, false },
	{ "group", NULL, doctor_group, true, false },
	{ "consumers", NULL, doctor_consumers, true, false },
	{ "parked", NULL, doctor_parked, true, false },
	{ "later", NULL, doctor_later, true, false },
	{ "sizes", NULL, doctor_sizes, true, false },
	{ "retain", NULL, doctor_retain, true, false },
};

static void reach(struct doctor *d)
{
	AUTO_BUF why = { 0 };
	struct redis_error error = { 0 };
	struct fault fault;
	d->check = "redis";
	if (ctl_redis_try(d->ctl, &d->redis, &why) != 0)
		doctor_say(d, FINDING_ERROR, "start Redis, or put redis.url, username and password right",
			   "%s", why.p ? why.p : "?");
	else if (inspect_info(d->redis, &d->info, &error) < 0)
		doctor_say(d, FINDING_WARNING, "ACL SETUSER ... +info",
			   "INFO is refused, so persistence, memory and role cannot be looked at: %s",
			   error.text);
	(void)!ctl_daemon(d->ctl, json_pack("{s:s}", "verb", "status"), &d->status, &fault);
}

static void run(struct doctor *d)
{
	reach(d);
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		if ((checks[i].redis && !d->redis) || (checks[i].info && !d->info))
			continue;
		d->check = checks[i].name;
		if (checks[i].fn)
			checks[i].fn(d);
		for (size_t q = 0; checks[i].queue_fn && q < d->ctl->config->queue_count; q++)
			checks[i].queue_fn(d, q);
	}
	json_decref(d->status);
	free(d->info);
}

/* Each line of the report is a finding by itself. */
static void tell_config(struct doctor *d, const struct buf *report)
{
	d->check = "configuration";
	for (const char *line = report->p; line && *line;) {
		size_t n = strcspn(line, "\n");
		doctor_say(d, FINDING_ERROR, "xackd --check says it too", "%.*s", (int)n, line);
		line += n + (line[n] == '\n');
	}
}

int verb_doctor(struct ctl *ctl)
{
	AUTO_BUF report = { 0 };
	struct doctor d = { .ctl = ctl, .fix = args_given(ctl->args, OPTION_FIX) };
	/* In words a line is written whole, whatever the width: what to do must not be cut. */
	if (ctl->out.format != OUTPUT_TABLE && list_begin(&d.list, &ctl->out, columns, COL_COUNT) < 0)
		return ctl_say(CTL_NO, "out of memory");
	if (ctl_load(ctl, &report) == 0)
		run(&d);
	else
		tell_config(&d, &report);
	if (ctl->out.format != OUTPUT_TABLE)
		list_end(&d.list, NULL);
	else if (d.list.rows == 0 && ctl->out.terminal)
		(void)fputs("All is well.\n", stderr);
	return d.worst;
}
