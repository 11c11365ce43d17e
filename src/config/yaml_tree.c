/* libyaml's events become nodes. Its own documents are not used: they lose lines and columns, accept
 * duplicate keys and build cyclic trees. A stack of open lists and maps replaces recursion. An anchor can be
 * referred to when its node is closed, so no tree is cyclic; every node carries the size it expands to, so
 * that "a billion laughs" is refused when the alias is read. */
#include "config/yaml_tree.h"

#include <errno.h>
#include <yaml.h>

struct anchor {
	const char *name;
	struct yaml_node *node;
	bool open;
};

struct open_node {
	struct yaml_node *node;
	size_t first; /* its children are builder.children[first…] */
	ssize_t anchor;
};

struct builder {
	struct arena *arena;
	struct report *report;
	unsigned file;
	struct open_node open[YAML_MAX_DEPTH];
	size_t depth;
	struct buf children; /* struct yaml_node *: of all open nodes, one behind the other */
	struct anchor *anchors;
	size_t anchor_count;
	size_t total; /* nodes, expanded */
	struct yaml_node *root;
	size_t documents;
};

enum { STEP_GO_ON, STEP_END }; /* answers of the functions below; negative: -errno */

static struct place place_of(const struct builder *b, const yaml_mark_t *mark)
{
	return (struct place){ b->file, (unsigned)mark->line + 1, (unsigned)mark->column + 1 };
}

static bool is_null_text(const char *text, size_t length)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (length == strlen(words[i]) && memcmp(text, words[i], length) == 0)
			return true;
	}
	return false;
}

/* Hang a finished or opened node under the innermost open one. */
static int builder_attach(struct builder *b, struct yaml_node *node)
{
	if (b->depth == 0) {
		b->root = node;
		return STEP_GO_ON;
	}
	buf_add(&b->children, &node, sizeof(node));
	return b->children.failed ? -ENOMEM : STEP_GO_ON;
}

static int builder_count(struct builder *b, size_t nodes, struct place at)
{
	b->total += nodes;
	if (b->total <= YAML_MAX_NODES)
		return STEP_GO_ON;
	report_add(b->report, at, NULL,
		   "too many values (more than %d, aliases counted as what they stand for)", YAML_MAX_NODES);
	return STEP_END;
}

/* Note an anchor. *ret_index is -1 without one. */
static int builder_anchor(struct builder *b, const yaml_char_t *name, struct yaml_node *node, bool open,
			  ssize_t *ret_index)
{
	*ret_index = -1;
	if (!name)
		return STEP_GO_ON;
	if (b->anchor_count == YAML_MAX_ANCHORS) {
		report_add(b->report, node->at, NULL, "too many anchors (more than %d)", YAML_MAX_ANCHORS);
		return STEP_END;
	}

	const char *text = (const char *)name;
	char *copy = arena_text(b->arena, text, strlen(text));
	if (!copy)
		return -ENOMEM;
	*ret_index = (ssize_t)b->anchor_count;
	b->anchors[b->anchor_count++] = (struct anchor){ copy, node, open };
	return STEP_GO_ON;
}

static struct yaml_node *builder_node(struct builder *b, enum yaml_kind kind, const yaml_event_t *event,
				      const yaml_char_t *tag)
{
	struct yaml_node *node = arena_alloc(b->arena, sizeof(*node));

	if (!node)
		return NULL;
	node->kind = kind;
	node->at = place_of(b, &event->start_mark);
	node->expanded = 1;
	node->height = 1;
	if (tag)
		report_add(b->report, node->at, NULL, "tags are not allowed (take %s away)",
			   QUOTED_TEXT((const char *)tag));
	return node;
}

static int builder_scalar(struct builder *b, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t length = event->data.scalar.length;
	struct yaml_node *node = builder_node(b, YAML_SCALAR, event, event->data.scalar.tag);
	ssize_t anchor;

	if (!node)
		return -ENOMEM;
	if (memchr(text, '\0', length)) {
		report_add(b->report, node->at, NULL, "a NUL inside a text");
		length = strlen(text);
	}
	node->text = arena_text(b->arena, text, length);
	if (!node->text)
		return -ENOMEM;
	node->length = length;
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	node->null = node->plain && is_null_text(text, length);

	size_t quotes = node->plain ? 0 : 2;
	node->verbatim = event->start_mark.line == event->end_mark.line &&
			 event->end_mark.column - event->start_mark.column == length + quotes;

	int r = builder_anchor(b, event->data.scalar.anchor, node, false, &anchor);
	if (r != STEP_GO_ON)
		return r;
	r = builder_count(b, 1, node->at);
	return r == STEP_GO_ON ? builder_attach(b, node) : r;
}

static int builder_alias(struct builder *b, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	struct place at = place_of(b, &event->start_mark);
	const struct anchor *found = NULL;

	for (size_t i = b->anchor_count; i-- > 0 && !found;) {
		if (strcmp(b->anchors[i].name, name) == 0)
			found = &b->anchors[i];
	}
	if (!found) {
		report_add(b->report, at, NULL,
			   "nothing is named by the alias *%s (an anchor &%s must stand before it)", name,
			   name);
		return STEP_END;
	}
	if (found->open) {
		report_add(b->report, at, NULL, "the alias *%s stands inside of what it refers to", name);
		return STEP_END;
	}
	if (b->depth + found->node->height > YAML_MAX_DEPTH) {
		report_add(b->report, at, NULL, "nested too deeply (more than %d levels)", YAML_MAX_DEPTH);
		return STEP_END;
	}
	int r = builder_count(b, found->node->expanded, at);
	return r == STEP_GO_ON ? builder_attach(b, found->node) : r;
}

static int builder_open(struct builder *b, enum yaml_kind kind, const yaml_event_t *event,
			const yaml_char_t *tag, const yaml_char_t *anchor)
{
	struct yaml_node *node = builder_node(b, kind, event, tag);
	ssize_t index;

	if (!node)
		return -ENOMEM;
	if (b->depth == YAML_MAX_DEPTH - 1) {
		report_add(b->report, node->at, NULL, "nested too deeply (more than %d levels)",
			   YAML_MAX_DEPTH);
		return STEP_END;
	}
	int r = builder_anchor(b, anchor, node, true, &index);
	if (r == STEP_GO_ON)
		r = builder_count(b, 1, node->at);
	if (r == STEP_GO_ON)
		r = builder_attach(b, node);
	if (r != STEP_GO_ON)
		return r;
	b->open[b->depth++] = (struct open_node){ node, b->children.n / sizeof(node), index };
	return STEP_GO_ON;
}

static bool has_control(const char *text, size_t length)
{
	const unsigned char *p = (const unsigned char *)text;

	for (size_t i = 0; i < length; i++) {
		if (p[i] < 0x20 || p[i] == 0x7f || (p[i] == 0xc2 && p[i + 1] >= 0x80 && p[i + 1] < 0xa0))
			return true;
	}
	return false;
}

static bool name_good(struct builder *b, const struct yaml_node *name)
{
	if (name->kind != YAML_SCALAR)
		report_add(b->report, name->at, NULL, "a key must be a plain name");
	else if (name->null)
		report_add(b->report, name->at, NULL, "a key is empty");
	else if (has_control(name->text, name->length))
		report_add(b->report, name->at, NULL, "a control character in the key %s",
			   QUOTED(name->text, name->length));
	else if (name->plain && strcmp(name->text, "<<") == 0)
		report_add(b->report, name->at, NULL,
			   "merge keys (<<) are not allowed (what jobs share belongs under defaults:)");
	else
		return true;
	return false;
}

static int compare_pairs(const void *left, const void *right)
{
	const struct yaml_pair *a = *(const struct yaml_pair *const *)left;
	const struct yaml_pair *b = *(const struct yaml_pair *const *)right;
	int order = strcmp(a->name->text, b->name->text);

	return order ? order : a < b ? -1 : a > b;
}

/* Report names that stand twice; the first one counts. By sorting, not by pairs: a file may hold many
 * thousand. */
static int map_check_duplicates(struct builder *b, struct yaml_node *map)
{
	AUTO_FREE struct yaml_pair **sorted = calloc(map->count + 1, sizeof(*sorted));
	size_t kept = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < map->count; i++)
		sorted[i] = &map->pairs[i];
	qsort(sorted, map->count, sizeof(*sorted), compare_pairs);

	const struct yaml_node *first = NULL;
	for (size_t i = 0; i < map->count; i++) {
		const struct yaml_node *name = sorted[i]->name;

		if (!first || strcmp(first->text, name->text) != 0) {
			first = name;
			continue;
		}
		report_add(b->report, name->at, NULL, "the key %s stands twice (first in line %u)",
			   QUOTED(name->text, name->length), first->at.line);
		sorted[i]->value = NULL;
	}
	for (size_t i = 0; i < map->count; i++) {
		if (map->pairs[i].value)
			map->pairs[kept++] = map->pairs[i];
	}
	map->count = kept;
	return 0;
}

static int close_map(struct builder *b, struct yaml_node *map, struct yaml_node *const *children,
		     size_t count)
{
	map->pairs = arena_array(b->arena, count / 2, sizeof(*map->pairs));
	if (!map->pairs)
		return -ENOMEM;
	for (size_t i = 0; i + 1 < count; i += 2) {
		if (name_good(b, children[i]))
			map->pairs[map->count++] = (struct yaml_pair){ children[i], children[i + 1] };
	}
	return map_check_duplicates(b, map);
}

static int close_list(struct builder *b, struct yaml_node *list, struct yaml_node *const *children,
		      size_t count)
{
	list->items = arena_array(b->arena, count, sizeof(*list->items));
	if (!list->items)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		list->items[i] = children[i];
	list->count = count;
	return 0;
}

static int builder_close(struct builder *b)
{
	if (b->depth == 0) /* the parser gives no end without its beginning */
		return -EINVAL;
	struct open_node *open = &b->open[--b->depth];
	struct yaml_node *node = open->node;
	struct yaml_node **all = (struct yaml_node **)(void *)b->children.p;
	size_t count = b->children.n / sizeof(*all) - open->first;
	struct yaml_node **children = count > 0 ? all + open->first : all;

	for (size_t i = 0; i < count; i++) {
		node->expanded += children[i]->expanded;
		if (children[i]->height >= node->height)
			node->height = children[i]->height + 1;
	}
	int r = node->kind == YAML_MAP ? close_map(b, node, children, count)
				       : close_list(b, node, children, count);
	b->children.n = open->first * sizeof(*children);
	if (open->anchor >= 0)
		b->anchors[open->anchor].open = false;
	return r;
}

static int builder_document(struct builder *b, const yaml_event_t *event)
{
	struct place at = place_of(b, &event->start_mark);

	if (event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end)
		report_add(b->report, at, NULL, "%%TAG is not allowed");
	if (b->documents++ == 0)
		return STEP_GO_ON;
	report_add(b->report, at, NULL, "a second document begins here (one file holds one)");
	return STEP_END;
}

static int builder_take(struct builder *b, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		return builder_document(b, event);
	case YAML_SCALAR_EVENT:
		return builder_scalar(b, event);
	case YAML_ALIAS_EVENT:
		return builder_alias(b, event);
	case YAML_SEQUENCE_START_EVENT:
		return builder_open(b, YAML_LIST, event, event->data.sequence_start.tag,
				    event->data.sequence_start.anchor);
	case YAML_MAPPING_START_EVENT:
		return builder_open(b, YAML_MAP, event, event->data.mapping_start.tag,
				    event->data.mapping_start.anchor);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return builder_close(b);
	case YAML_STREAM_END_EVENT:
		return STEP_END;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		break;
	}
	return STEP_GO_ON;
}

/* The reader runs ahead of the parser's mark: count to the byte that it complains about. */
static struct place place_of_byte(const struct builder *b, struct bytes text, size_t offset)
{
	struct place at = { b->file, 1, 1 };

	for (size_t i = 0; i < offset && i < text.n; i++) {
		if (text.p[i] == '\n') {
			at.line++;
			at.column = 1;
		} else if (((unsigned char)text.p[i] & 0xc0) != 0x80) {
			at.column++;
		}
	}
	return at;
}

static int report_syntax(const struct builder *b, const yaml_parser_t *parser, struct bytes text)
{
	if (parser->error == YAML_MEMORY_ERROR)
		return -ENOMEM;

	const char *problem = parser->problem ? parser->problem : "not YAML";
	yaml_mark_t mark = parser->problem_mark;
	if (parser->error == YAML_READER_ERROR)
		report_add(b->report, place_of_byte(b, text, parser->problem_offset), NULL,
			   "%s (a configuration is UTF-8 text)", problem);
	else if (parser->context)
		report_add(b->report, place_of(b, &mark), NULL, "%s, %s (from line %zu)", problem,
			   parser->context, parser->context_mark.line + 1);
	else
		report_add(b->report, place_of(b, &mark), NULL, "%s", problem);
	return STEP_END;
}

static int builder_run(struct builder *b, yaml_parser_t *parser, struct bytes text)
{
	for (;;) {
		yaml_event_t event;

		if (!yaml_parser_parse(parser, &event))
			return report_syntax(b, parser, text);
		int r = builder_take(b, &event);
		yaml_event_delete(&event);
		if (r != STEP_GO_ON)
			return r;
	}
}

int yaml_tree_parse(struct arena *arena, unsigned file, struct bytes text, struct report *report,
		    struct yaml_node **ret_root)
{
	struct builder b = { .arena = arena, .report = report, .file = file };
	yaml_parser_t parser;

	AUTO_FREE struct anchor *anchors = calloc(YAML_MAX_ANCHORS, sizeof(*anchors));
	if (!anchors || !yaml_parser_initialize(&parser))
		return -ENOMEM;
	b.anchors = anchors;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);

	int r = builder_run(&b, &parser, text);
	yaml_parser_delete(&parser);
	buf_done(&b.children);
	if (r < 0)
		return r;
	/* After an error an open list or map has no content yet: nothing of that text is used. */
	*ret_root = b.depth == 0 ? b.root : NULL;
	return 0;
}

const struct yaml_node *yaml_find(const struct yaml_node *map, const char *name)
{
	if (!map || map->kind != YAML_MAP)
		return NULL;
	for (size_t i = 0; i < map->count; i++) {
		if (strcmp(map->pairs[i].name->text, name) == 0)
			return map->pairs[i].value;
	}
	return NULL;
}
