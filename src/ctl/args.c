/* getopt_long reads what the table of options says; a verb lists the options that it understands, every other
 * one is a mistake that is named. */
#include "ctl/args.h"

#include <getopt.h>
#include <stdio.h>

#include "ctl/text.h"
#include "ctl/verb.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

static void print_option(const struct option_row *row)
{
	enum { HELP_COLUMN = 32 };
	char left[64];
	int n = snprintf(left, sizeof(left), "  %c%c%s --%s%s%s", row->letter ? '-' : ' ',
			 row->letter ? row->letter : ' ', row->letter ? "," : " ", row->name,
			 row->argument ? "=" : "", row->argument ? row->argument : "");
	(void)printf("%s%*s%s\n", left, n < HELP_COLUMN ? HELP_COLUMN - n : 1, "", row->help);
}

static void print_options(uint64_t which)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (which & TAKES(i))
			print_option(&option_rows[i]);
	}
}

static void print_help(void)
{
	size_t count;
	const struct verb *verbs = verb_table(&count);
	(void)printf("Usage: xackctl [-c FILE] [-o FORMAT] VERB [ARGUMENT...] [OPTION...]\n"
		     "Look after the jobs of xackd: what waits, runs, is retried and is dead, and what to do "
		     "about it.\n\nVerbs:\n");
	for (size_t i = 0; i < count; i++) {
		char left[64];
		(void)snprintf(left, sizeof(left), "%s %s", verbs[i].name, verbs[i].arguments);
		(void)printf("  %-27s %s\n", left, verbs[i].summary);
	}
	(void)printf("\nOptions, before or behind the verb:\n");
	print_options(TAKES_EVERYWHERE);
	(void)printf("\n`xackctl VERB --help` tells all about a verb.\n"
		     "Status: 0 done, 1 not found or refused, 64 usage, 69 Redis or the daemon cannot be "
		     "reached, 78 configuration.\n");
}

static void print_verb_help(const struct verb *verb)
{
	(void)printf("Usage: xackctl %s%s%s%s\n%s.\n", verb->name, *verb->arguments ? " " : "",
		     verb->arguments, verb->options & TAKES_ANY ? " [OPTION...]" : "", verb->summary);
	if (verb->text)
		(void)printf("\n%s\n", verb->text);
	(void)printf("\nOptions:\n");
	print_options((verb->options & TAKES_ANY) | TAKES_EVERYWHERE);
}

static int usage(const char *verb)
{
	(void)fprintf(stderr, "Try `xackctl %s%s--help`.\n", verb, *verb ? " " : "");
	return CTL_USAGE;
}

enum { LONG_BASE = 256 }; /* getopt's value for option i is LONG_BASE + i */

static int option_of(int code)
{
	if (code >= LONG_BASE)
		return code - LONG_BASE;
	for (int i = 0; i < OPTION_COUNT; i++) {
		if (option_rows[i].letter == code)
			return i;
	}
	return -1;
}

static int read_options(int argc, char **argv, struct args *a)
{
	struct option longs[OPTION_COUNT + 1] = { 0 };
	char letters[2 * OPTION_COUNT + 1];
	size_t n = 0;
	for (int i = 0; i < OPTION_COUNT; i++) {
		const struct option_row *row = &option_rows[i];
		longs[i] = (struct option){ row->name, row->argument ? required_argument : no_argument, NULL,
					    LONG_BASE + i };
		if (row->letter)
			letters[n++] = row->letter;
		if (row->letter && row->argument)
			letters[n++] = ':';
	}
	letters[n] = '\0';
	for (int code; (code = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
		int i = option_of(code);
		if (i < 0)
			return usage("");
		const char *wrong = option_rows[i].set(a, optarg);
		if (wrong) {
			(void)ctl_say(CTL_USAGE, "--%s %s, not \"%s\"", option_rows[i].name, wrong, optarg);
			return usage("");
		}
		a->given |= TAKES(i);
	}
	return 0;
}

static int check_verb(const struct args *a)
{
	const struct verb *verb = a->verb;
	uint64_t strange = a->given & ~(verb->options | TAKES_EVERYWHERE);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (strange & TAKES(i)) {
			(void)ctl_say(CTL_USAGE, "%s has no option --%s", verb->name, option_rows[i].name);
			return usage(verb->name);
		}
	}
	if (a->output_file && !(verb->options & VERB_WRITES)) {
		(void)ctl_say(CTL_USAGE, "--output is table, json or jsonl, not \"%s\"", a->output_file);
		return usage(verb->name);
	}
	if (a->rest_count < verb->least || (verb->most >= 0 && a->rest_count > verb->most)) {
		(void)ctl_say(CTL_USAGE, "%s: xackctl %s %s",
			      a->rest_count < verb->least ? "something is missing" : "too many arguments",
			      verb->name, verb->arguments);
		return usage(verb->name);
	}
	return 0;
}

static int find_verb(int argc, char **argv, struct args *a)
{
	int used = 0;
	a->verb = verb_find(argv + optind, argc - optind, &used);
	a->rest = argv + optind + used;
	a->rest_count = argc - optind - used;
	if (a->verb)
		return 0;
	if (optind == argc)
		(void)ctl_say(CTL_USAGE, "which verb? For a start: xackctl status");
	else if (verb_is_family(argv[optind]))
		(void)ctl_say(CTL_USAGE, "%s what? See the verbs that begin with it", argv[optind]);
	else
		(void)ctl_say(CTL_USAGE, "there is no verb \"%s\"", argv[optind]);
	return usage("");
}

int args_parse(int argc, char **argv, struct args *ret_args, enum args_answer *ret_answer)
{
	struct args *a = ret_args;
	*a = (struct args){ .config_file = DEFAULT_CONFIG,
			    .older_than_ms = -1,
			    .limit = -1,
			    .timeout_ms = -1,
			    .since_ms = -1,
			    .until_ms = -1,
			    .max_waiting = -1,
			    .max_age_ms = -1,
			    .max_dead = -1,
			    .maxlen = -1,
			    .in_ms = -1,
			    .at_ms = -1,
			    .once_for_ms = -1 };
	*ret_answer = ARGS_DONE;
	int r = read_options(argc, argv, a);
	if (r != 0)
		return r;
	if (args_given(a, OPTION_VERSION)) {
		(void)printf("xackctl %s\n", PACKAGE_VERSION);
		return 0;
	}
	if (args_given(a, OPTION_PRINT)) {
		verb_print_all();
		return 0;
	}
	if (args_given(a, OPTION_HELP) && (optind == argc || verb_is_family(argv[optind])) &&
	    argc - optind < 2) {
		print_help();
		return 0;
	}
	r = find_verb(argc, argv, a);
	if (r != 0)
		return r;
	if (args_given(a, OPTION_HELP)) {
		print_verb_help(a->verb);
		return 0;
	}
	*ret_answer = ARGS_RUN;
	return check_verb(a);
}

void args_done(struct args *a)
{
	free(a->matches);
	a->matches = NULL;
}
