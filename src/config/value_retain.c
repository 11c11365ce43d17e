/* `retain`: one word, or a mapping of one key. It is taken whole: what a job says is not mixed with what
 * `defaults:` say. */
#include <errno.h>
#include <stdio.h>

#include "base/num.h"
#include "config/value.h"

#define MAXLEN_MOST INT64_C(1000000000000)

static const struct {
	const char *name;
	enum retain_kind kind;
	struct key value;
} limits[] = {
	{ "age",
	  RETAIN_AGE,
	  { .type = KEY_DURATION, .min = 1, .max = INT64_C(10) * 366 * 24 * 60 * 60 * 1000 } },
	{ "maxlen", RETAIN_MAXLEN, { .type = KEY_WHOLE, .min = 1, .max = MAXLEN_MOST } },
};

static int read_word(struct loader *l, const struct yaml_node *node, const struct key_path *path,
		     struct retain_rule *ret_rule)
{
	const struct choice *choice = choice_find(retain_choices, node->text);

	if (choice)
		*ret_rule = (struct retain_rule){ .kind = (enum retain_kind)choice->value };
	else
		report_add(l->report, node->at, path,
			   "%s is not all, acked, { age: DURATION } or { maxlen: NUMBER }",
			   QUOTED(node->text, node->length));
	return 0;
}

static int read_limit(struct loader *l, const struct yaml_pair *pair, const struct key_path *path,
		      struct retain_rule *ret_rule)
{
	struct key_path step = { path, pair->name->text, 0 };

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		if (strcmp(pair->name->text, limits[i].name) != 0)
			continue;
		ret_rule->kind = limits[i].kind;
		struct key value = limits[i].value;
		value.name = limits[i].name;
		return value_load(l, &value, pair->value, &step, &ret_rule->value);
	}
	report_add(l->report, pair->name->at, &step, "unknown key (age or maxlen)");
	return 0;
}

int value_retain(struct loader *l, const struct yaml_node *node, const struct key_path *path,
		 struct retain_rule *ret_rule)
{
	if (node->kind == YAML_MAP && node->count == 1)
		return read_limit(l, &node->pairs[0], path, ret_rule);
	if (node->kind == YAML_SCALAR && !node->null)
		return read_word(l, node, path, ret_rule);
	report_add(l->report, node->at, path, "must be all, acked, { age: DURATION } or { maxlen: NUMBER }");
	return 0;
}

void retain_text(const struct retain_rule *rule, struct buf *out)
{
	char text[NUM_DURATION_SIZE];

	if (rule->kind == RETAIN_AGE)
		buf_addf(out, "{ age: %s }", num_duration_text(rule->value, text));
	else if (rule->kind == RETAIN_MAXLEN)
		buf_addf(out, "{ maxlen: %lld }", (long long)rule->value);
	else
		buf_add_text(out, choice_name(retain_choices, (int)rule->kind));
}
