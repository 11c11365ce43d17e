/* A map of the file is read with the rows of one section. Unknown names are errors with advice; what is given
 * twice was refused before. */
#include "config/value.h"

#include <errno.h>

static void unknown_key(struct loader *l, enum key_section section, const struct yaml_node *name,
			const struct key_path *path)
{
	struct advice advice;

	if (key_is_not_yet(section, name->text))
		report_add(l->report, name->at, path, "is not supported in this version");
	else
		report_add(l->report, name->at, path, "unknown key%s",
			   key_advice(&advice, section, name->text));
}

static int load_pair(struct loader *l, const struct key *key, const struct yaml_pair *pair,
		     const struct key_path *path, void *owner, const struct yaml_node **at)
{
	at[key - key_table] = pair->name;
	if (key->type == KEY_SECTION)
		return section_load(l, key->inner, pair->value, path, owner, at);
	return value_load(l, key, pair->value, path, owner);
}

int section_load(struct loader *l, enum key_section section, const struct yaml_node *map,
		 const struct key_path *path, void *owner, const struct yaml_node **at)
{
	if (map->kind != YAML_MAP) {
		report_add(l->report, map->at, path, "must be a mapping of keys (such as %s: VALUE)",
			   section == SECTION_MAIN  ? "jobs"
			   : section == SECTION_JOB ? "exec"
			   : section == SECTION_CRON ? "schedule"
						     : "KEY");
		return 0;
	}
	if (section == SECTION_EXIT_CODES)
		exit_codes_begin(l, map, &((struct job *)owner)->exits);

	for (size_t i = 0; i < map->count; i++) {
		const struct yaml_pair *pair = &map->pairs[i];
		const struct key *key = key_find(section, pair->name->text);
		struct key_path step = { path, pair->name->text, 0 };

		if (!key) {
			unknown_key(l, section, pair->name, &step);
			continue;
		}
		if (pair->value->kind == YAML_SCALAR && pair->value->null)
			continue; /* not given */
		int r = load_pair(l, key, pair, &step, owner, at);
		if (r < 0)
			return r;
	}
	return 0;
}

int section_preset(struct loader *l, enum key_section section, void *owner)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		const struct key *key = &key_table[i];
		struct yaml_node *node = NULL;
		int r = 0;

		if (key->section != section)
			continue;
		if (key->type == KEY_SECTION)
			r = section_preset(l, key->inner, owner);
		if (r == 0 && key->preset)
			r = yaml_tree_parse(l->scratch, 0, bytes_of(key->preset), l->report, &node);
		if (r == 0 && node)
			r = value_load(l, key, node, NULL, owner);
		if (r < 0)
			return r;
	}
	return 0;
}
