/* Nodes become values: each type of the table is read, checked and written into the field that its row names.
 */
#pragma once

#include "base/attr.h"
#include "config/keys.h"
#include "config/report.h"
#include "config/settings.h"
#include "config/yaml_tree.h"

enum { EXIT_CODES = 256, EXIT_SIGNALS = 65 };

/* What the functions that read a configuration share. */
struct loader {
	struct config_store *store;
	struct arena *arena;   /* the configuration's: what stays */
	struct arena *scratch; /* the trees: freed after loading */
	struct report *report;
	const char *folder;      /* relative paths start here */
	struct exit_rules named; /* codes that the exit_codes: being read has named already */
};

/* Read a map with the keys of a section into owner (the struct that the section's rows name). at[KEY_COUNT]
 * gets the names of the keys that were given. Errors go into the report, the rest is taken. 0 or -ENOMEM. */
MUST_CHECK int section_load(struct loader *l, enum key_section section, const struct yaml_node *map,
			    const struct key_path *path, void *owner, const struct yaml_node **at);
/* Write the presets of a section, and of those inside it. 0, -ENOMEM. */
MUST_CHECK int section_preset(struct loader *l, enum key_section section, void *owner);
/* One value. 0 or -ENOMEM. */
MUST_CHECK int value_load(struct loader *l, const struct key *key, const struct yaml_node *node,
			  const struct key_path *path, void *owner);

/* value_retain.c: 0 or -ENOMEM. */
MUST_CHECK int value_retain(struct loader *l, const struct yaml_node *node, const struct key_path *path,
			    struct retain_rule *ret_rule);
/* As it is written in the file. */
void retain_text(const struct retain_rule *rule, struct buf *out);

/* value_list.c: those that make lists of a job. 0 or -ENOMEM. */
MUST_CHECK int value_texts(struct loader *l, const struct yaml_node *node, const struct key_path *path,
			   char ***ret_texts);
MUST_CHECK int value_command(struct loader *l, const struct yaml_node *node, const struct key_path *path,
			     struct job *job);
MUST_CHECK int value_env(struct loader *l, const struct yaml_node *node, const struct key_path *path,
			 struct job *job);
MUST_CHECK int value_match(struct loader *l, const struct yaml_node *node, const struct key_path *path,
			   struct job *job);
MUST_CHECK int value_fields(struct loader *l, const struct yaml_node *node, const struct key_path *path,
			    struct schedule *schedule);
/* The place of something inside a scalar, where its text stands in the file as it is. */
struct place value_place(const struct yaml_node *node, size_t offset);

/* exit_codes.c: a list given replaces the class; begin forgets the classes that the map is about to name. */
void exit_codes_begin(struct loader *l, const struct yaml_node *map, struct exit_rules *rules);
void exit_codes_load(struct loader *l, const struct yaml_node *node, const struct key_path *path,
		     enum exit_class class, struct exit_rules *rules);

/* A scalar with a value; otherwise an error is added. */
bool value_is_text(struct loader *l, const struct yaml_node *node, const struct key_path *path);
/* Is name one for an environment variable? */
bool variable_valid(const char *name, size_t length);
