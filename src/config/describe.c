/* What the table says of itself: a JSON schema for editors, a reference for people, a sample to start from.
 */
#include <errno.h>
#include <stdio.h>

#include "base/json.h"
#include "base/num.h"
#include "config/config.h"
#include "config/keys.h"

/* How a value of each type is written: for the reference, and as a fragment of JSON schema. */
static const struct {
	const char *words;
	const char *schema;
} type_words[KEY_TYPE_COUNT] = {
	[KEY_TEXT] = { "text", "\"type\":[\"string\",\"number\",\"boolean\"]" },
	[KEY_NAME] = { "name", "\"type\":[\"string\",\"number\"],\"pattern\":\"^[A-Za-z0-9._-]{1,64}$\"" },
	[KEY_QUEUE] = { "name of a stream or group", "\"type\":\"string\",\"minLength\":1" },
	[KEY_VARIABLE] = { "name of an environment variable",
			   "\"type\":\"string\",\"pattern\":\"^[A-Za-z_][A-Za-z0-9_]*$\"" },
	[KEY_USER] = { "user", "\"type\":[\"string\",\"integer\"]" },
	[KEY_ADDRESS] = { "address and port",
			  "\"type\":\"string\",\"pattern\":\"^([0-9.]+|\\\\[[0-9A-Fa-f:.]+\\\\]):[0-9]{1,5}$\"" },
	[KEY_PATH] = { "path", "\"type\":\"string\",\"minLength\":1" },
	[KEY_DURATION] = { "duration", "\"type\":[\"string\",\"integer\"],\"pattern\":\"^([0-9]+(ms|s|m|h|d)|"
				       "0)$\",\"maximum\":0,\"minimum\":0" },
	[KEY_SECONDS] = { "duration", "\"type\":[\"string\",\"integer\"],\"pattern\":\"^([0-9]+(ms|s|m|h|d)|"
				      "0)$\",\"maximum\":0,\"minimum\":0" },
	[KEY_SIZE] = { "size", "\"type\":[\"string\",\"integer\"],\"pattern\":\"^[0-9]+[KMGT]?$\"" },
	[KEY_WHOLE] = { "number", "\"type\":\"integer\"" },
	[KEY_NICE] = { "number", "\"type\":\"integer\"" },
	[KEY_RATIO] = { "number from 0 to 1", "\"type\":\"number\",\"minimum\":0,\"maximum\":1" },
	[KEY_RATE] = { "rate",
		       "\"type\":[\"string\",\"integer\"],\"pattern\":\"^([1-9][0-9]*/[smh]|0)$\",\"maximum\":0,\"minimum\":0" },
	[KEY_OCTAL] = { "octal mask in quotes",
			"\"type\":[\"string\",\"integer\"],\"pattern\":\"^[0-7]+$\"" },
	[KEY_CHOICE] = { "word", "" },
	[KEY_TEXTS] = { "list of texts", "\"type\":\"array\",\"items\":{\"type\":\"string\"}" },
	[KEY_COMMAND] = { "list: the program and its arguments",
			  "\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":[\"string\",\"number\","
			  "\"boolean\"]}" },
	[KEY_ENV] = { "mapping of variables", "\"type\":\"object\",\"additionalProperties\":{\"type\":["
					      "\"string\",\"number\",\"boolean\"]}" },
	[KEY_MATCH] = { "mapping of fields", "\"type\":\"object\",\"additionalProperties\":{\"type\":["
					     "\"string\",\"number\",\"boolean\"]}" },
	[KEY_SCHEDULE] = { "times as in crontab", "\"type\":\"string\",\"minLength\":1" },
	[KEY_ZONE] = { "name of a time zone", "\"type\":\"string\",\"minLength\":1" },
	[KEY_FIELDS] = { "mapping of fields", "\"type\":\"object\",\"additionalProperties\":{\"type\":["
					      "\"string\",\"number\",\"boolean\"]}" },
	[KEY_CODES] = { "list of exit codes and signals",
			"\"type\":\"array\",\"items\":{\"type\":[\"integer\",\"string\"]}" },
	[KEY_RETAIN] = { "all, acked, { age: DURATION } or { maxlen: NUMBER }",
			 "\"oneOf\":[{\"enum\":[\"all\",\"acked\"]},{\"type\":\"object\",\"minProperties\":1,"
			 "\"maxProperties\":1,\"additionalProperties\":false,\"properties\":{\"age\":{\"type\":"
			 "\"string\",\"pattern\":\"^[0-9]+(ms|s|m|h|d)$\"},\"maxlen\":{\"type\":\"integer\","
			 "\"minimum\":1}}}]" },
	[KEY_SECTION] = { "mapping", "" },
	[KEY_LATER] = { "mapping", "" },
	[KEY_MAP] = { "mapping of names", "" },
};

static bool is_number(const struct key *key)
{
	return key->type == KEY_WHOLE || key->type == KEY_NICE;
}

static void schema_section(struct buf *out, enum key_section section);

static void schema_choice(struct buf *out, const struct key *key)
{
	bool first = true;

	buf_add_text(out, "\"enum\":[");
	for (const struct choice *c = key->choices; c->name; c++) {
		if (c->value == CHOICE_NOT_YET)
			continue;
		if (!first)
			buf_add_char(out, ',');
		first = false;
		json_add_text(out, bytes_of(c->name));
		if (strcmp(c->name, "0") == 0)
			buf_add_text(out, ",0");
	}
	buf_add_char(out, ']');
}

static void schema_key(struct buf *out, const struct key *key)
{
	json_add_text(out, bytes_of(key->name));
	buf_add_text(out, ":{\"description\":");
	json_add_text(out, bytes_of(key->help));
	if (key->preset || key->preset_words) {
		buf_add_text(out, ",\"$comment\":");
		AUTO_BUF words = { 0 };
		buf_addf(&words, "default: %s", key->preset ? key->preset : key->preset_words);
		json_add_text(out, buf_bytes(&words));
	}
	buf_add_char(out, ',');
	if (key->type == KEY_CHOICE)
		schema_choice(out, key);
	else if (key->type == KEY_SECTION || key->type == KEY_LATER)
		schema_section(out, key->inner);
	else if (key->type == KEY_MAP) {
		buf_add_text(out, "\"type\":[\"object\",\"null\"],\"propertyNames\":{\"pattern\":\"^[A-Za-z0-"
				  "9._-]{1,64}$\"},\"additionalProperties\":{");
		schema_section(out, key->inner);
		buf_add_char(out, '}');
	} else {
		buf_add_text(out, type_words[key->type].schema);
	}
	if (is_number(key))
		buf_addf(out, ",\"minimum\":%lld,\"maximum\":%lld", (long long)key->min, (long long)key->max);
	buf_add_char(out, '}');
}

static void schema_section(struct buf *out, enum key_section section)
{
	bool first = true;

	buf_add_text(out, "\"type\":[\"object\",\"null\"],\"additionalProperties\":false,\"properties\":{");
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (key_table[i].section != section)
			continue;
		if (!first)
			buf_add_char(out, ',');
		first = false;
		schema_key(out, &key_table[i]);
	}
	buf_add_char(out, '}');
}

int config_print_schema(struct buf *out)
{
	buf_add_text(out,
		     "{\"$schema\":\"http://json-schema.org/draft-07/schema#\",\"title\":\"xackd.yaml\",");
	schema_section(out, SECTION_MAIN);
	buf_add_text(out, "}\n");
	return out->failed ? -ENOMEM : 0;
}

static void reference_key(struct buf *out, const struct key *key)
{
	AUTO_BUF choices = { 0 };
	char least[NUM_DURATION_SIZE];

	if (key->type == KEY_CHOICE)
		choice_list(key->choices, &choices);
	buf_addf(out, "  %s: %s", key->name, choices.n ? choices.p : type_words[key->type].words);
	if (is_number(key))
		buf_addf(out, ", %lld to %lld", (long long)key->min, (long long)key->max);
	if (key->type == KEY_DURATION && key->min > 0)
		buf_addf(out, ", at least %s", num_duration_text(key->min, least));
	if (key->preset || key->preset_words)
		buf_addf(out, "; default: %s", key->preset ? key->preset : key->preset_words);
	else if (key->type == KEY_SECTION || key->type == KEY_LATER || key->type == KEY_MAP)
		buf_addf(out, " of the keys of \"%s\"", key_section_help[key->inner]);
	buf_addf(out, "\n      %s\n", key->help);
	if (key->example)
		buf_addf(out, "      Example: %s: %s\n", key->name, key->example);
}

int config_print_reference(struct buf *out)
{
	buf_add_text(out, "Durations are written 500ms, 30s, 5m, 2h, 7d or 0; sizes 64K, 10M, 2G.\n"
			  "Relative paths start at the folder of the main file.\n");
	for (int section = 0; section < SECTION_COUNT; section++) {
		buf_addf(out, "\n%s\n", key_section_help[section]);
		for (size_t i = 0; i < KEY_COUNT; i++) {
			if (key_table[i].section == (enum key_section)section)
				reference_key(out, &key_table[i]);
		}
	}
	return out->failed ? -ENOMEM : 0;
}

static void sample_indent(struct buf *out, unsigned depth, const char *mark)
{
	for (unsigned i = 0; i < depth; i++)
		buf_add_text(out, "  ");
	buf_add_text(out, mark);
}

/* A key without a default is a comment, so that the sample as it stands is the default. */
static void sample_section(struct buf *out, enum key_section section, unsigned depth)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		const struct key *key = &key_table[i];

		if (key->section != section || i == KEY_MAIN_JOBS || i == KEY_JOB_EXEC)
			continue;
		buf_add_char(out, '\n');
		sample_indent(out, depth, "# ");
		buf_addf(out, "%s\n", key->help);
		if (key->type == KEY_SECTION) {
			sample_indent(out, depth, "");
			buf_addf(out, "%s:\n", key->name);
			sample_section(out, key->inner, depth + 1);
			continue;
		}
		sample_indent(out, depth, key->preset ? "" : "#");
		buf_addf(out, "%s: %s\n", key->name,
			 key->preset    ? key->preset
			 : key->example ? key->example
					: "");
	}
}

int config_print_sample(struct buf *out)
{
	buf_add_text(
		out,
		"# Every key of xackd.yaml with its default; what has none is a comment with an example.\n");
	sample_section(out, SECTION_MAIN, 0);
	buf_addf(out, "\n# %s\njobs:\n  hello:\n    # %s\n    exec: [ /bin/echo, \"{name:-world}\" ]\n",
		 key_table[KEY_MAIN_JOBS].help, key_table[KEY_JOB_EXEC].help);
	sample_section(out, SECTION_JOB, 2);
	return out->failed ? -ENOMEM : 0;
}
