/* The supervisor: starts and replaces workers, holds the locks and the name, speaks to systemd and to xackctl, stops in order. libev loop on the
 * main thread; the reaper is its only other thread. Never sees an entry. */
#pragma once

#include <stdbool.h>

#include "config/config.h"

struct supervisor_options {
	struct config_source *source; /* taken */
	struct config *config;        /* taken */
	bool until_empty;
};

/* The whole life of the daemon; returns its exit code (0 stopped as asked, 1 failed). */
int supervisor_main(const struct supervisor_options *options);
