/* The command line of xackd. */
#pragma once

#include <stdbool.h>

enum exit_code { EXIT_STOPPED = 0, EXIT_FAILED = 1, EXIT_USAGE = 64, EXIT_CONFIG = 78 };

enum daemon_action { ACTION_RUN, ACTION_CHECK, ACTION_PRINT, ACTION_HELP, ACTION_VERSION };

struct args {
	enum daemon_action action;
	const char *config_file;
	const char *print; /* schema, reference, sample, config */
	bool until_empty;
};

/* 0, or EXIT_USAGE after having said on stderr what is wrong. */
int args_parse(int argc, char **argv, struct args *ret_args);
void args_print_help(void);
