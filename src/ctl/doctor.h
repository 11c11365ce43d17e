/* What the checks of `doctor` share. A check looks at one thing and says what it finds; nothing found,
 * nothing said. */
#pragma once

#include "ctl/ctl.h"
#include "redis/admin.h"
#include "redis/inspect.h"

enum finding_level { FINDING_WARNING = 1, FINDING_ERROR = 2 };

struct doctor {
	struct ctl *ctl;
	struct connection *redis; /* NULL while it is not reached */
	char *info;               /* INFO; NULL = not to be had */
	const char *check;        /* the one that runs */
	bool fix;
	int worst;
	struct list list;
	json_t *status; /* the daemon's; NULL = it does not run */
};

/* Say it: what is wrong, and what to do. */
void doctor_say(struct doctor *d, enum finding_level level, const char *todo, const char *format, ...)
	PRINTF_LIKE(4, 5);
/* It was wrong and has been put right: a warning no more. */
void doctor_fixed(struct doctor *d, const char *format, ...) PRINTF_LIKE(2, 3);

typedef void doctor_fn(struct doctor *d);
typedef void doctor_queue_fn(struct doctor *d, size_t queue);

/* Of this host. */
doctor_fn doctor_warnings, doctor_files, doctor_handlers, doctor_daemon, doctor_limits, doctor_suspended;
/* Of Redis. */
doctor_fn doctor_version, doctor_rights, doctor_role, doctor_persistence, doctor_eviction, doctor_memory,
	doctor_clients, doctor_clock;
/* Of a queue. */
doctor_queue_fn doctor_types, doctor_group, doctor_consumers, doctor_parked, doctor_later, doctor_sizes, doctor_retain;
