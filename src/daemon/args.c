/* One row an option: its names, its help, and what it does. getopt_long reads what the table says. */
#include "daemon/args.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"

#define DEFAULT_CONFIG "/etc/xackd/xackd.yaml"

/* False: the value is none of those that it may be. */
typedef bool option_set_fn(struct args *a, const char *value);

static bool set_config(struct args *a, const char *value)
{
	a->config_file = value;
	return *value != '\0';
}

static bool set_check(struct args *a, const char *value)
{
	(void)value;
	a->action = ACTION_CHECK;
	return true;
}

static bool set_until_empty(struct args *a, const char *value)
{
	(void)value;
	a->until_empty = true;
	return true;
}

static bool set_print(struct args *a, const char *value)
{
	static const char *const kinds[] = { "schema", "reference", "sample", "config" };

	a->action = ACTION_PRINT;
	a->print = value;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(kinds[i], value) == 0)
			return true;
	}
	return false;
}

static bool set_help(struct args *a, const char *value)
{
	(void)value;
	a->action = ACTION_HELP;
	return true;
}

static bool set_version(struct args *a, const char *value)
{
	(void)value;
	a->action = ACTION_VERSION;
	return true;
}

/* clang-format off */
static const struct {
	const char *name;
	char letter;
	const char *argument; /* NULL = none */
	const char *help;
	option_set_fn *set;
} rows[] = {
	{ "config", 'c', "FILE", "the configuration (" DEFAULT_CONFIG ")", set_config },
	{ "check", 0, NULL, "read the configuration, say what is wrong with it, and end (78: wrong)", set_check },
	{ "until-empty", 0, NULL, "end when nothing is waiting, running or parked (1: dead letters were written, or what is left cannot run)", set_until_empty },
	{ "print", 0, "WHAT", "schema, reference, sample: of all keys; config: the effective configuration", set_print },
	{ "help", 'h', NULL, "say this", set_help },
	{ "version", 'V', NULL, "say the version", set_version },
};
/* clang-format on */

void args_print_help(void)
{
	(void)printf("Usage: xackd [OPTION...]\nRuns commands for the entries of Redis Streams, in the foreground. Logs to stderr.\n\n");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char names[48];
		const char *argument = rows[i].argument ? rows[i].argument : "";
		if (rows[i].letter)
			snprintf(names, sizeof(names), "-%c, --%s %s", rows[i].letter, rows[i].name, argument);
		else
			snprintf(names, sizeof(names), "    --%s %s", rows[i].name, argument);
		(void)printf("  %-22s %s\n", names, rows[i].help);
	}
	(void)printf("\nSignals: TERM or INT drain and stop, a second one stops at once; HUP reads the configuration again.\n"
		     "Exit: 0 stopped as asked, 1 failed, 64 wrong usage, 78 wrong configuration.\n"
		     "`xackctl` is the program to talk to it.\n");
}

static int wrong(const char *what, const char *value)
{
	if (what)
		(void)fprintf(stderr, "xackd: %s: %s\n", what, value);
	(void)fprintf(stderr, "Try `xackd --help`.\n");
	return EXIT_USAGE;
}

int args_parse(int argc, char **argv, struct args *ret_args)
{
	enum { FIRST_LONG = 256 };
	struct option options[ARRAY_LEN(rows) + 1] = { 0 };
	struct args a = { .action = ACTION_RUN, .config_file = DEFAULT_CONFIG };
	int got;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		options[i] = (struct option){ rows[i].name, rows[i].argument ? required_argument : no_argument, NULL, FIRST_LONG + (int)i };
	while ((got = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
		size_t i = 0;
		while (i < ARRAY_LEN(rows) && got != FIRST_LONG + (int)i && (!rows[i].letter || got != rows[i].letter))
			i++;
		if (i == ARRAY_LEN(rows))
			return wrong(NULL, NULL); /* getopt has said it */
		if (!rows[i].set(&a, optarg))
			return wrong(rows[i].help, optarg);
		if (a.action == ACTION_HELP || a.action == ACTION_VERSION)
			break;
	}
	if (a.action != ACTION_HELP && a.action != ACTION_VERSION && optind < argc)
		return wrong("what is this", argv[optind]);
	*ret_args = a;
	return 0;
}
