/* --print verbs: the tables of verbs and options as JSON. The manual page and the completion are made from
 * it. */
#include <stdio.h>

#include "base/json.h"
#include "ctl/verb.h"

static void add_member(struct buf *out, const char *name, const char *value)
{
	json_add_name(out, name);
	if (value)
		json_add_text(out, bytes_of(value));
	else
		buf_add_text(out, "null");
}

static void add_option_names(struct buf *out, const char *name, uint64_t which)
{
	bool first = true;
	json_add_name(out, name);
	buf_add_char(out, '[');
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (!(which & TAKES(i)))
			continue;
		if (!first)
			buf_add_char(out, ',');
		json_add_text(out, bytes_of(option_rows[i].name));
		first = false;
	}
	buf_add_char(out, ']');
}

static void add_verb(struct buf *out, const struct verb *verb)
{
	buf_add_text(out, "\n  {");
	add_member(out, "name", verb->name);
	add_member(out, "arguments", verb->arguments);
	add_member(out, "summary", verb->summary);
	add_member(out, "text", verb->text);
	add_option_names(out, "options", verb->options & TAKES_ANY);
	buf_add_char(out, '}');
}

static void add_option(struct buf *out, const struct option_row *row)
{
	const char letter[] = { row->letter, '\0' };
	buf_add_text(out, "\n  {");
	add_member(out, "name", row->name);
	add_member(out, "letter", row->letter ? letter : NULL);
	add_member(out, "argument", row->argument);
	add_member(out, "help", row->help);
	buf_add_char(out, '}');
}

void verb_print_all(void)
{
	AUTO_BUF out = { 0 };
	size_t count;
	const struct verb *verbs = verb_table(&count);
	buf_add_text(&out, "{\"verbs\": [");
	for (size_t i = 0; i < count; i++) {
		buf_add_text(&out, i ? "," : "");
		add_verb(&out, &verbs[i]);
	}
	buf_add_text(&out, "\n ],\n \"options\": [");
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		buf_add_text(&out, i ? "," : "");
		add_option(&out, &option_rows[i]);
	}
	buf_add_text(&out, "\n ]");
	add_option_names(&out, "everywhere", TAKES_EVERYWHERE);
	buf_add_text(&out, "}\n");
	(void)fputs(out.p && !out.failed ? out.p : "", stdout);
}
