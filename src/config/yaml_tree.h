/* A YAML text as a tree of nodes that know their line and column. Only JSON-safe YAML: one document, no tags,
 * no merge keys, no duplicate keys, no NUL; anchors and aliases are shared nodes, never cyclic, and bounded
 * in what they expand to. Typing is the table's business. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "config/arena.h"
#include "config/report.h"

enum {
	YAML_MAX_BYTES = 4 * 1024 * 1024,
	YAML_MAX_DEPTH = 64,
	YAML_MAX_NODES = 100000, /* with every alias counted as what it stands for */
	YAML_MAX_ANCHORS = 1000,
};

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_pair;

struct yaml_node {
	enum yaml_kind kind;
	bool plain;    /* a scalar without quotes */
	bool null;     /* a plain `~`, `null` or nothing */
	bool verbatim; /* the text stands in the file as it is, from `at` (plain) or one column on (quoted) */
	struct place at;
	const char *text; /* of a scalar: NUL-terminated, no NUL inside */
	size_t length;
	struct yaml_node **items; /* of a list */
	struct yaml_pair *pairs;  /* of a map, in the file's order, each name once */
	size_t count;
	unsigned expanded; /* nodes in it, aliases counted as what they stand for */
	unsigned height;   /* levels in it, 1 for a scalar */
};

struct yaml_pair {
	const struct yaml_node *name; /* a scalar without control characters */
	const struct yaml_node *value;
};

/* Parse. Errors go into the report; what is usable is in the tree all the same, so that more of them can be
 * found. *ret_root is NULL when there is nothing (an empty text, a syntax error). 0 or -ENOMEM. Nodes live in
 * the arena. */
MUST_CHECK int yaml_tree_parse(struct arena *arena, unsigned file, struct bytes text, struct report *report,
			       struct yaml_node **ret_root);
/* The value of that name in a map, or NULL. */
const struct yaml_node *yaml_find(const struct yaml_node *map, const char *name);
