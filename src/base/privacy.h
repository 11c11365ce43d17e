/* Whether others of the same user may look into this process: its memory, its environment (/proc/PID/environ)
 * and its core dumps. A program that it executes starts anew, open. */
#pragma once

#include <stdbool.h>

void privacy_set(bool closed);
