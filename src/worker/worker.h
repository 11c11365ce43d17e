/* The worker process: fetch, run, settle, one entry at a time, on one libev loop and one connection. */
#pragma once

#include "ipc/inherit.h"

/* The whole life of a worker; returns its exit code. */
int worker_main(const struct worker_place *place);
