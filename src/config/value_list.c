/* Values that are lists: the command, the environment, the match, include. What a job gives is merged with
 * what it has from `defaults:` key by key; both stay whole, since jobs share the latter. */
#include "config/value.h"

#include <errno.h>
#include <stdio.h>

#include "domain/template.h"

enum {
	ARGUMENTS_MAX = 4096,
	ARGUMENT_MAX_BYTES = 128 * 1024 - 1, /* the kernel's MAX_ARG_STRLEN with its NUL */
	ARGUMENTS_MAX_BYTES = 1024 * 1024,   /* of all: leaves room for fields within the kernel's 2 MiB */
	VARIABLES_MAX = 1000,
	VARIABLES_MAX_BYTES = 256 * 1024,
	RULES_MAX = 64,
	RULE_MAX_BYTES = 64 * 1024,
	FIELDS_MAX = 500,
	FIELDS_MAX_BYTES = 1024 * 1024,
};

/* Would the kernel take it? One that is too long would fail every run. */
static bool texts_fit(struct loader *l, const struct yaml_node *node, const struct key_path *path,
		      size_t most)
{
	size_t sum = 0;

	for (size_t i = 0; i < node->count; i++) {
		const struct yaml_node *item =
			node->kind == YAML_LIST ? node->items[i] : node->pairs[i].value;

		sum += item->kind == YAML_SCALAR ? item->length + 1 : 0;
		if (node->kind == YAML_MAP)
			sum += node->pairs[i].name->length + 1;
	}
	if (sum <= most)
		return true;
	report_add(l->report, node->at, path, "is too long (%zu bytes at most in all)", most);
	return false;
}

static bool is_list(struct loader *l, const struct yaml_node *node, const struct key_path *path, size_t most)
{
	if (node->kind != YAML_LIST)
		report_add(l->report, node->at, path, "must be a list (such as [ a, b ])");
	else if (node->count > most)
		report_add(l->report, node->at, path, "has %zu elements (%zu at most)", node->count, most);
	else
		return true;
	return false;
}

static bool is_map(struct loader *l, const struct yaml_node *node, const struct key_path *path, size_t most)
{
	if (node->kind != YAML_MAP)
		report_add(l->report, node->at, path, "must be a mapping (such as { NAME: VALUE })");
	else if (node->count > most)
		report_add(l->report, node->at, path, "has %zu elements (%zu at most)", node->count, most);
	else
		return true;
	return false;
}

int value_texts(struct loader *l, const struct yaml_node *node, const struct key_path *path,
		char ***ret_texts)
{
	if (!is_list(l, node, path, ARGUMENTS_MAX))
		return 0;

	char **texts = arena_array(l->arena, node->count + 1, sizeof(*texts));
	size_t count = 0;

	if (!texts)
		return -ENOMEM;
	for (size_t i = 0; i < node->count; i++) {
		const struct yaml_node *item = node->items[i];
		struct key_path step = { path, NULL, i };

		if (!value_is_text(l, item, &step))
			continue;
		if (item->length == 0) {
			report_add(l->report, item->at, &step, "must not be empty");
			continue;
		}
		texts[count] = arena_text(l->arena, item->text, item->length);
		if (!texts[count++])
			return -ENOMEM;
	}
	*ret_texts = texts;
	return 0;
}

struct place value_place(const struct yaml_node *node, size_t offset)
{
	struct place at = node->at;

	if (node->verbatim && offset <= node->length)
		at.column += (unsigned)offset + (node->plain ? 0 : 1);
	return at;
}

/* The place of a fault inside a text: template_compile says the column in its sentence; where the text stands
 * in the file as it is, that gives the column there. */
static struct place place_inside(const struct yaml_node *node, const char *sentence)
{
	static const char mark[] = " at column ";
	const char *word = NULL;
	unsigned column;

	/* The last one: what stands before it may be the text itself. */
	for (const char *next = strstr(sentence, mark); next; next = strstr(next + 1, mark))
		word = next;
	if (word && sscanf(word, " at column %6u", &column) == 1 && column >= 1)
		return value_place(node, column - 1);
	return node->at;
}

static int add_template(struct loader *l, const struct yaml_node *node, const struct key_path *path,
			struct template **ret_template)
{
	struct config_store *store = l->store;
	struct fault fault = { 0 };

	/* Room first, so that a template always has an owner. */
	if ((store->template_count & (store->template_count - 1)) == 0) {
		size_t room = store->template_count ? store->template_count * 2 : 1;
		struct template **grown = reallocarray(store->templates, room, sizeof(struct template *));

		if (!grown)
			return -ENOMEM;
		store->templates = grown;
	}
	int r = template_compile(node->text, ret_template, &fault);
	if (r == 0)
		store->templates[store->template_count++] = *ret_template;
	if (r != -EINVAL)
		return r;
	report_add(l->report, place_inside(node, fault.text), path, "%s", fault.text);
	return 0;
}

/* The program: no template; with a slash and relative it stands in the configuration's folder. */
static int command_program(struct loader *l, const struct yaml_node *node, const struct key_path *path,
			   char **ret_program)
{
	const struct key as_path = { .type = KEY_PATH, .min = 1, .max = 4095 };
	const struct key as_text = { .type = KEY_TEXT, .min = 1, .max = 255 };
	const char *brace = strpbrk(node->text, "{}");

	if (brace) {
		report_add(l->report, value_place(node, (size_t)(brace - node->text)), path, "the program is no template: braces cannot stand in it");
		return 0;
	}
	struct {
		char *program;
	} owner = { NULL };
	int r = value_load(l, strchr(node->text, '/') ? &as_path : &as_text, node, path, &owner);
	*ret_program = owner.program;
	return r;
}

static int command_argument(struct loader *l, const struct yaml_node *node, const struct key_path *path,
			    struct job *job, size_t i)
{
	if (node->length > ARGUMENT_MAX_BYTES) {
		report_add(l->report, node->at, path, "is too long for an argument (%d bytes at most)",
			   ARGUMENT_MAX_BYTES);
		return 0;
	}
	job->exec[i] = arena_text(l->arena, node->text, node->length);
	if (!job->exec[i])
		return -ENOMEM;
	return add_template(l, node, path, &job->templates[i]);
}

int value_command(struct loader *l, const struct yaml_node *node, const struct key_path *path,
		  struct job *job)
{
	if (!is_list(l, node, path, ARGUMENTS_MAX))
		return 0;
	if (node->count == 0) {
		report_add(l->report, node->at, path, "must not be empty (the program and its arguments)");
		return 0;
	}
	if (!texts_fit(l, node, path, ARGUMENTS_MAX_BYTES))
		return 0;
	job->exec = arena_array(l->arena, node->count + 1, sizeof(*job->exec));
	job->templates = arena_array(l->arena, node->count + 1, sizeof(struct template *));
	job->exec_count = node->count;
	if (!job->exec || !job->templates)
		return -ENOMEM;

	for (size_t i = 0; i < node->count; i++) {
		struct key_path step = { path, NULL, i };

		if (!value_is_text(l, node->items[i], &step))
			continue;
		int r = i == 0 ? command_program(l, node->items[i], &step, &job->exec[0])
			       : command_argument(l, node->items[i], &step, job, i);
		if (r < 0)
			return r;
	}
	return 0;
}

static const char *variable_fault(const struct yaml_node *name)
{
	if (!variable_valid(name->text, name->length))
		return "is not the name of an environment variable";
	if (strncmp(name->text, "XACKD_", strlen("XACKD_")) == 0 ||
	    strncmp(name->text, "FIELD_", strlen("FIELD_")) == 0)
		return "is xackd's own (XACKD_* and FIELD_* cannot be set)";
	return NULL;
}

static int env_set(struct loader *l, const struct yaml_pair *pair, struct env_var *env, size_t *count)
{
	size_t i = 0;

	while (i < *count && strcmp(env[i].name, pair->name->text) != 0)
		i++;
	if (i == *count) {
		env[i].name = arena_text(l->arena, pair->name->text, pair->name->length);
		(*count)++;
	}
	env[i].value = arena_text(l->arena, pair->value->text, pair->value->length);
	return env[i].name && env[i].value ? 0 : -ENOMEM;
}

int value_env(struct loader *l, const struct yaml_node *node, const struct key_path *path, struct job *job)
{
	if (!is_map(l, node, path, VARIABLES_MAX) || !texts_fit(l, node, path, VARIABLES_MAX_BYTES))
		return 0;

	struct env_var *env = arena_array(l->arena, job->env_count + node->count, sizeof(*env));
	size_t count = job->env_count;

	if (!env)
		return -ENOMEM;
	if (count)
		memcpy(env, job->env, count * sizeof(*env));
	for (size_t i = 0; i < node->count; i++) {
		const struct yaml_pair *pair = &node->pairs[i];
		struct key_path step = { path, pair->name->text, 0 };
		const char *fault = variable_fault(pair->name);

		if (!fault && pair->name->length + pair->value->length + 1 > ARGUMENT_MAX_BYTES)
			fault = "is too long (128 KiB at most with its value)";

		if (fault)
			report_add(l->report, pair->name->at, &step, "%s %s",
				   QUOTED(pair->name->text, pair->name->length), fault);
		else if (value_is_text(l, pair->value, &step) && env_set(l, pair, env, &count) < 0)
			return -ENOMEM;
	}
	job->env = env;
	job->env_count = count;
	return 0;
}

static int match_set(struct loader *l, const struct yaml_pair *pair, struct match_rule *rules, size_t *count)
{
	size_t i = 0;

	while (i < *count && strcmp(rules[i].name, pair->name->text) != 0)
		i++;
	if (i == *count) {
		rules[i].name = arena_text(l->arena, pair->name->text, pair->name->length);
		(*count)++;
	}
	rules[i].value = arena_text(l->arena, pair->value->text, pair->value->length);
	return rules[i].name && rules[i].value ? 0 : -ENOMEM;
}

int value_match(struct loader *l, const struct yaml_node *node, const struct key_path *path, struct job *job)
{
	if (!is_map(l, node, path, RULES_MAX))
		return 0;

	struct match_rule *rules = arena_array(l->arena, job->match_count + node->count, sizeof(*rules));
	size_t count = job->match_count;

	if (!rules)
		return -ENOMEM;
	if (count)
		memcpy(rules, job->matches, count * sizeof(*rules));
	for (size_t i = 0; i < node->count; i++) {
		const struct yaml_pair *pair = &node->pairs[i];
		struct key_path step = { path, pair->name->text, 0 };

		if (pair->name->length > RULE_MAX_BYTES ||
		    (pair->value->kind == YAML_SCALAR && pair->value->length > RULE_MAX_BYTES))
			report_add(l->report, pair->name->at, &step, "is too long (%d bytes at most)",
				   RULE_MAX_BYTES);
		else if (value_is_text(l, pair->value, &step) && match_set(l, pair, rules, &count) < 0)
			return -ENOMEM;
	}
	job->matches = rules;
	job->match_count = count;
	return 0;
}

static const char *field_fault(const struct yaml_pair *pair)
{
	if (strncmp(pair->name->text, "xackd.", strlen("xackd.")) == 0)
		return "is xackd's own (names of fields do not begin with xackd. here)";
	if (pair->name->length > RULE_MAX_BYTES ||
	    (pair->value->kind == YAML_SCALAR && pair->value->length > RULE_MAX_BYTES))
		return "is too long (64 KiB at most)";
	return NULL;
}

int value_fields(struct loader *l, const struct yaml_node *node, const struct key_path *path,
		 struct schedule *schedule)
{
	if (!is_map(l, node, path, FIELDS_MAX) || !texts_fit(l, node, path, FIELDS_MAX_BYTES))
		return 0;
	schedule->fields = arena_array(l->arena, node->count, sizeof(*schedule->fields));
	schedule->field_count = 0;
	if (!schedule->fields)
		return -ENOMEM;
	for (size_t i = 0; i < node->count; i++) {
		const struct yaml_pair *pair = &node->pairs[i];
		struct key_path step = { path, pair->name->text, 0 };
		const char *fault = field_fault(pair);

		if (fault)
			report_add(l->report, pair->name->at, &step, "%s %s",
				   QUOTED(pair->name->text, pair->name->length), fault);
		else if (value_is_text(l, pair->value, &step) &&
			 match_set(l, pair, schedule->fields, &schedule->field_count) < 0)
			return -ENOMEM;
	}
	return 0;
}
