/* The tree: what JSON-safe YAML is, and that hostile texts end in an error, never in a crash, a hang or much
 * memory. */
#include "load_config.h"

#include "config/yaml_tree.h"

struct parsed {
	struct arena arena;
	struct report report;
	struct yaml_node *root;
	struct buf text;
};

static const char *no_name(const void *user, unsigned file)
{
	(void)user;
	(void)file;
	return "f";
}

static void parse(struct parsed *p, struct bytes text)
{
	*p = (struct parsed){ .report = { .arena = &p->arena } };
	char *exact = malloc(text.n ? text.n : 1);

	assert_non_null(exact);
	memcpy(exact, text.p, text.n);
	assert_int_equal(yaml_tree_parse(&p->arena, 0, (struct bytes){ exact, text.n }, &p->report, &p->root),
			 0);
	free(exact);
	report_write(&p->report, no_name, NULL, &p->text);
}

static void parsed_done(struct parsed *p)
{
	arena_done(&p->arena);
	buf_done(&p->text);
}

static void test_tree(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, bytes_of("a: 1\nb: [ x, 'y', ~, '~' ]\n\"c d\": &k\n  e: |\n    text\n    more\n  f: "
			   "\"\\u00e9\"\ng: *k\n"));
	assert_null(p.text.p);
	assert_int_equal(p.root->kind, YAML_MAP);
	assert_int_equal(p.root->count, 4);
	assert_string_equal(yaml_find(p.root, "a")->text, "1");

	const struct yaml_node *list = yaml_find(p.root, "b");
	assert_int_equal(list->count, 4);
	assert_int_equal(list->at.line, 2);
	assert_int_equal(list->at.column, 4);
	assert_int_equal(list->items[1]->at.column, 9);
	assert_false(list->items[1]->plain);
	assert_true(list->items[2]->null);
	assert_false(list->items[3]->null);

	const struct yaml_node *map = yaml_find(p.root, "c d");
	assert_string_equal(yaml_find(map, "e")->text, "text\nmore\n");
	assert_string_equal(yaml_find(map, "f")->text, "\xc3\xa9");
	assert_ptr_equal(map, yaml_find(p.root, "g"));
	assert_null(yaml_find(map, "x"));
	assert_null(yaml_find(list, "x"));
	assert_null(yaml_find(NULL, "x"));
	parsed_done(&p);
}

static void test_refused(void **state)
{
	static const struct {
		struct bytes text;
		const char *report;
	} rows[] = {
#define ROW(text_, report_) { { text_, sizeof(text_) - 1 }, report_ }
		ROW("a: !!str x", "f:1:4: tags are not allowed (take \"tag:yaml.org,2002:str\" away)\n"),
		ROW("a: !x [ 1 ]", "f:1:4: tags are not allowed (take \"!x\" away)\n"),
		ROW("%TAG !e! tag:e,1:\n---\na: 1", "f:1:1: %TAG is not allowed\n"),
		ROW("a: 1\na: 2\nb: 3\na: 4", "f:2:1: the key \"a\" stands twice (first in line 1)\nf:4:1: "
					      "the key \"a\" stands twice (first in line 1)\n"),
		ROW("a: &a { x: 1 }\nb: { <<: *a }",
		    "f:2:6: merge keys (<<) are not allowed (what jobs share belongs under defaults:)\n"),
		ROW("a: 1\n---\nb: 1", "f:2:1: a second document begins here (one file holds one)\n"),
		ROW("a: *x", "f:1:4: nothing is named by the alias *x (an anchor &x must stand before it)\n"),
		ROW("a: &x [ *x ]", "f:1:9: the alias *x stands inside of what it refers to\n"),
		ROW("a: &x { b: { c: *x } }", "f:1:17: the alias *x stands inside of what it refers to\n"),
		ROW("a: \"x\\0y\"", "f:1:4: a NUL inside a text\n"),
		ROW("\"a\\nb: forged\": 1", "f:1:1: a control character in the key \"a\\x0ab: forged\"\n"),
		ROW("[ a ]: 1", "f:1:1: a key must be a plain name\n"),
		ROW("? { a: b }\n: 1", "f:1:3: a key must be a plain name\n"),
		ROW("~: 1", "f:1:1: a key is empty\n"),
		ROW("a: \xff", "f:1:4: invalid leading UTF-8 octet (a configuration is UTF-8 text)\n"),
		ROW("a: b\nc: \x01",
		    "f:2:4: control characters are not allowed (a configuration is UTF-8 text)\n"),
		ROW("a: b\n c: d", "f:2:3: mapping values are not allowed in this context\n"),
		ROW("a: [ 1",
		    "f:2:1: did not find expected ',' or ']', while parsing a flow sequence (from line 1)\n"),
		ROW("a:\n\t- b", "f:2:1: found character that cannot start any token, while scanning for the "
				 "next token (from line 2)\n"),
#undef ROW
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct parsed p;

		parse(&p, rows[i].text);
		assert_string_equal(p.text.p ? p.text.p : "", rows[i].report);
		parsed_done(&p);
	}
}

static void check_hostile(const struct buf *text, const char *part)
{
	struct parsed p;

	assert_false(text->failed);
	parse(&p, buf_bytes(text));
	if (!p.text.p || !strstr(p.text.p, part))
		fail_msg("%s instead of %s", p.text.p ? p.text.p : "nothing", part);
	parsed_done(&p);
}

static void test_bounds(void **state)
{
	AUTO_BUF deep = { 0 }, wide = { 0 }, laughs = { 0 }, anchors = { 0 }, aliases = { 0 };

	(void)state;
	for (int i = 0; i < 200000; i++)
		buf_add_text(&deep, "[");
	check_hostile(&deep, "f:1:64: nested too deeply (more than 64 levels)");

	buf_add_text(&wide, "[");
	for (int i = 0; i < 100001; i++)
		buf_add_text(&wide, "a,");
	buf_add_text(&wide, "]");
	check_hostile(&wide, "too many values (more than 100000");

	buf_add_text(&laughs, "a0: &a0 [ x ]\n");
	for (int i = 1; i < 60; i++)
		buf_addf(&laughs, "a%d: &a%d [ *a%d, *a%d ]\n", i, i, i - 1, i - 1);
	check_hostile(&laughs, "aliases counted as what they stand for");

	for (int i = 0; i < 1001; i++)
		buf_addf(&anchors, "- &a%d x\n", i);
	check_hostile(&anchors, "too many anchors");

	/* Levels count through aliases too. */
	buf_add_text(
		&aliases,
		"- &a [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n- "
		"[[[[[[[[[[[[[[[[[[[[[[[[[*a]]]]]]]]]]]]]]]]]]]]]]]]]\n");
	check_hostile(&aliases, "nested too deeply");
}

/* Every prefix of a text, and the text with each byte changed: an answer, no crash (the sanitizers look on).
 */
static void test_mangled(void **state)
{
	static const char good[] = "redis: { url: embedded }\ndefaults: &d { timeout: 5m, env: { A: "
				   "\"x\\ty\" } }\njobs:\n  a:\n    stream: 'a{b}c'\n"
				   "    exec: [ ./x, '{f:-d}', \"{@id}\" ]\n    exit_codes: { dead: [ 3, "
				   "KILL ] }\n  b: { shell: x, limits: { memory: 1G } }\n";
	static const char changes[] = { 0, '\n', '{', '*', '&', '!', '"', '\xff', '%', ':', ' ' };
	struct parsed p;

	(void)state;
	for (size_t n = 0; n < sizeof(good); n++) {
		parse(&p, (struct bytes){ good, n });
		parsed_done(&p);
	}
	for (size_t n = 0; n + 1 < sizeof(good); n++) {
		for (size_t k = 0; k < ARRAY_LEN(changes); k++) {
			char text[sizeof(good)];

			memcpy(text, good, sizeof(good));
			text[n] = changes[k];
			AUTO_LOADED l = load_text(text);
			for (const char *c = l.report.p; c && *c; c++)
				assert_true(*c == '\n' || (unsigned char)*c >= 0x20);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_mangled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
