/* exit_codes: a list that is given is the whole class; a code moves to the class that names it last
 * (defaults, then the job). Within one mapping a code has one class. 0 is success, always. */
#include "config/value.h"

#include <errno.h>

#include "base/num.h"
#include "domain/outcome.h"

static void forget_class(unsigned char *classes, size_t count, enum exit_class class)
{
	for (size_t i = 0; i < count; i++) {
		if (classes[i] == class)
			classes[i] = EXIT_CLASS_NONE;
	}
}

void exit_codes_begin(struct loader *l, const struct yaml_node *map, struct exit_rules *rules)
{
	memset(&l->named, EXIT_CLASS_NONE, sizeof(l->named));
	for (size_t i = 0; i < map->count; i++) {
		const struct key *key = key_find(SECTION_EXIT_CODES, map->pairs[i].name->text);

		if (!key || map->pairs[i].value->kind != YAML_LIST)
			continue;
		forget_class(rules->code, EXIT_CODES, (enum exit_class)key->min);
		forget_class(rules->signal, EXIT_SIGNALS, (enum exit_class)key->min);
	}
	rules->code[0] = EXIT_CLASS_ACK;
}

static void set_class(struct loader *l, const struct yaml_node *node, const struct key_path *path,
		      enum exit_class class, unsigned char *rule, unsigned char *named)
{
	if (*named != EXIT_CLASS_NONE && *named != class) {
		report_add(l->report, node->at, path, "%s is named in two classes",
			   QUOTED(node->text, node->length));
		return;
	}
	*named = (unsigned char)class;
	*rule = (unsigned char)class;
}

static void load_code(struct loader *l, const struct yaml_node *node, const struct key_path *path,
		      enum exit_class class, struct exit_rules *rules)
{
	int64_t code;
	int r = num_i64((struct bytes){ node->text, node->length }, &code);

	if (r == -EINVAL) {
		int number = signal_number(node->text);

		if (number < 1 || number >= EXIT_SIGNALS)
			report_add(l->report, node->at, path,
				   "%s is neither an exit code nor a signal (such as 75 or KILL)",
				   QUOTED(node->text, node->length));
		else
			set_class(l, node, path, class, &rules->signal[number], &l->named.signal[number]);
		return;
	}
	if (r != 0 || code < 0 || code > 255) {
		report_add(l->report, node->at, path, "an exit code is 0 to 255, not %s",
			   QUOTED(node->text, node->length));
		return;
	}
	if (code == 0 && class != EXIT_CLASS_ACK) {
		report_add(l->report, node->at, path, "0 is success and can only stand in ack");
		return;
	}
	set_class(l, node, path, class, &rules->code[code], &l->named.code[code]);
}

void exit_codes_load(struct loader *l, const struct yaml_node *node, const struct key_path *path,
		     enum exit_class class, struct exit_rules *rules)
{
	if (node->kind != YAML_LIST) {
		report_add(l->report, node->at, path,
			   "must be a list of exit codes and signals (such as [ 75, KILL ])");
		return;
	}
	for (size_t i = 0; i < node->count; i++) {
		struct key_path step = { path, NULL, i };

		if (value_is_text(l, node->items[i], &step))
			load_code(l, node->items[i], &step, class, rules);
	}
}
