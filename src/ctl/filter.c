/* Filters: --job, --reason, --older-than, --match. Values are bytes and regular expressions are of C strings:
 * a NUL in a value is looked at as the byte 1, so that what stands behind it is still seen. */
#include "ctl/filter.h"

#include "ctl/ctl.h"

static int add_rule(struct filter *f, const char *text)
{
	const char *equals = strchr(text, '=');
	struct field_rule *rule = &f->rules[f->rule_count];
	rule->name = (struct bytes){ text, (size_t)(equals - text) };
	int r = regcomp(&rule->regex, equals + 1, REG_EXTENDED | REG_NOSUB);
	if (r != 0) {
		char why[200];
		(void)regerror(r, &rule->regex, why, sizeof(why));
		return ctl_say(CTL_USAGE, "--match %s: %s", text, why);
	}
	f->rule_count++;
	return 0;
}

int filter_init(struct filter *f, const struct args *args)
{
	*f = (struct filter){
		.job = args->job,
		.reason = args->reason,
		.older_than_ms = args->older_than_ms,
		.limit = args->limit,
	};
	f->rules = calloc(args->match_count ? args->match_count : 1, sizeof(*f->rules));
	if (!f->rules)
		return ctl_say(CTL_NO, "out of memory");
	for (size_t i = 0; i < args->match_count; i++) {
		int r = add_rule(f, args->matches[i]);
		if (r != 0)
			return r;
	}
	return 0;
}

void filter_done(struct filter *f)
{
	for (size_t i = 0; i < f->rule_count; i++)
		regfree(&f->rules[i].regex);
	free(f->rules);
	*f = (struct filter){ 0 };
}

bool filter_text(const char *wanted, const char *text)
{
	return !wanted || (text && strcmp(wanted, text) == 0);
}

bool filter_age(const struct filter *f, int64_t at_ms, int64_t now_ms)
{
	return f->older_than_ms < 0 || (at_ms >= 0 && now_ms - at_ms >= f->older_than_ms);
}

static bool fits(const struct field_rule *rule, struct bytes value)
{
	char *copy = malloc(value.n + 1);
	if (!copy)
		return false;
	for (size_t i = 0; i < value.n; i++)
		copy[i] = value.p[i] ? value.p[i] : '\1';
	copy[value.n] = '\0';
	bool good = regexec(&rule->regex, copy, 0, NULL, 0) == 0;
	free(copy);
	return good;
}

static bool rule_fits(const struct field_rule *rule, const struct entry *entry)
{
	for (size_t i = 0; i < entry->pair_count; i++) {
		if (bytes_eq(entry->pairs[i].name, rule->name) && fits(rule, entry->pairs[i].value))
			return true;
	}
	return false;
}

bool filter_pairs(const struct filter *f, const struct entry *entry)
{
	for (size_t i = 0; i < f->rule_count; i++) {
		if (!rule_fits(&f->rules[i], entry))
			return false;
	}
	return true;
}

enum { READER_ROWS = 1000 };

void filter_for_reader(struct filter *f, const struct output *o)
{
	f->for_reader = o->terminal && o->format == OUTPUT_TABLE && f->limit < 0;
	if (f->for_reader)
		f->limit = READER_ROWS;
}

void filter_tell_reader(const struct filter *f, size_t rows)
{
	if (f->for_reader && (int64_t)rows >= f->limit)
		(void)ctl_say(0, "these are the first %zu: --limit gives more, -o jsonl all of them", rows);
}
