/* The verbs: one table, from which come the dispatch, the checks of the command line, and all help.
 *
 * To add a verb: a file with its verb_… function, its declaration here, and its row in verbs.c. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ctl/ctl.h"

/* Reads no configuration, or does so by itself. */
#define VERB_ALONE (UINT64_C(1) << 63)
/* --output may be the name of a file, too: one with a dot or a slash in it. */
#define VERB_WRITES (UINT64_C(1) << 62)

struct verb {
	const char *name;            /* "queues", "dead ls" */
	const char *arguments;       /* for the usage line */
	const char *summary;         /* one line */
	const char *text;            /* the rest of `VERB --help`, NULL = none */
	uint64_t options;            /* TAKES() bits, VERB_ALONE */
	int least, most;             /* arguments behind the verb; most -1 = any number */
	int (*run)(struct ctl *ctl); /* the exit code */
};

const struct verb *verb_table(size_t *ret_count);
/* The verb of these words, and how many of them are its name; NULL if there is none. */
const struct verb *verb_find(char *const *words, int count, int *ret_used);
/* True when name is the first word of verbs of two words ("dead"). */
bool verb_is_family(const char *name);
/* All verbs and options as JSON on stdout. */
void verb_print_all(void);

int verb_add(struct ctl *ctl);
int verb_status(struct ctl *ctl);
int verb_queues(struct ctl *ctl);
int verb_jobs(struct ctl *ctl);
int verb_cron(struct ctl *ctl);
int verb_workers(struct ctl *ctl);
int verb_running(struct ctl *ctl);
int verb_suspended(struct ctl *ctl);
int verb_explain(struct ctl *ctl);
int verb_retries(struct ctl *ctl);
int verb_retries_later(struct ctl *ctl); /* retries --later */
int verb_retry(struct ctl *ctl);
int verb_cancel(struct ctl *ctl);
int verb_drain(struct ctl *ctl);
int verb_dead_ls(struct ctl *ctl);
int verb_dead_show(struct ctl *ctl);
int verb_dead_requeue(struct ctl *ctl);
int verb_dead_purge(struct ctl *ctl);
int verb_pause(struct ctl *ctl);
int verb_resume(struct ctl *ctl);
int verb_trim(struct ctl *ctl);
int verb_replay(struct ctl *ctl);
int verb_dead_edit(struct ctl *ctl);
int verb_dead_export(struct ctl *ctl);
int verb_dead_import(struct ctl *ctl);
int verb_events(struct ctl *ctl);
int verb_wait(struct ctl *ctl);
int verb_check(struct ctl *ctl);
int verb_doctor(struct ctl *ctl);
int verb_report(struct ctl *ctl);
int verb_top(struct ctl *ctl);
