/* The command line: options from one table (their help too), before or after the verb. The table is in
 * options.c, what reads it in args.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "ctl/output.h"
#include "domain/entry.h"

#define DEFAULT_CONFIG "/etc/xackd/xackd.yaml"

enum option_id {
	OPTION_CONFIG,
	OPTION_JSON,
	OPTION_OUTPUT,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_PRINT,
	/* from here on only for verbs that name them */
	OPTION_JOB,
	OPTION_QUEUE,
	OPTION_REASON,
	OPTION_MATCH,
	OPTION_OLDER_THAN,
	OPTION_LIMIT,
	OPTION_ALL,
	OPTION_DRY_RUN,
	OPTION_YES,
	OPTION_FOLLOW,
	OPTION_EVENT,
	OPTION_ID,
	OPTION_LEVEL,
	OPTION_TIMEOUT,
	OPTION_MAX_WAITING,
	OPTION_MAX_AGE,
	OPTION_MAX_DEAD,
	OPTION_FIX,
	OPTION_SINCE,
	OPTION_UNTIL,
	OPTION_JOURNAL,
	OPTION_SERVE,
	OPTION_PUBLIC,
	OPTION_BATCH,
	OPTION_INTERVAL,
	OPTION_RETRY,
	OPTION_FORCE,
	OPTION_WAIT,
	OPTION_ACKED,
	OPTION_MAXLEN,
	OPTION_FROM,
	OPTION_TO,
	OPTION_RATE,
	OPTION_ANEW,
	OPTION_RAW,
	OPTION_IN,
	OPTION_AT,
	OPTION_ONCE,
	OPTION_ONCE_FOR,
	OPTION_LATER,
	OPTION_COUNT,
};
#define TAKES(id)   (UINT64_C(1) << (id))
#define TAKES_QUEUE (TAKES(OPTION_JOB) | TAKES(OPTION_QUEUE))
#define TAKES_FILTERS                                                                          \
	(TAKES_QUEUE | TAKES(OPTION_REASON) | TAKES(OPTION_MATCH) | TAKES(OPTION_OLDER_THAN) | \
	 TAKES(OPTION_LIMIT))
#define TAKES_EVERYWHERE (TAKES(OPTION_JOB) - 1)
#define TAKES_ANY        (TAKES(OPTION_COUNT) - 1)
#define TAKES_CHANGE     (TAKES(OPTION_ALL) | TAKES(OPTION_DRY_RUN) | TAKES(OPTION_YES))

struct verb;
struct args {
	const char *config_file;
	enum output_format format;
	const char *output_file; /* of verbs that write one */
	const char *job;
	const char *queue;
	const char *reason;
	const char **matches; /* NAME=REGEX; owned array */
	size_t match_count;
	int64_t older_than_ms; /* -1 = not given */
	int64_t limit;         /* -1 = not given */
	const char *event;     /* a name, or a pattern with * */
	const char *id;
	int level;           /* of enum event_level; 0 = all */
	int64_t timeout_ms;  /* -1 = none */
	int64_t since_ms;    /* Unix ms; -1 = not given */
	int64_t until_ms;
	const char *serve;   /* ADDR:PORT */
	int64_t max_waiting; /* -1 = not given; so the next two */
	int64_t max_age_ms;
	int64_t max_dead;
	int64_t interval_ms;
	int64_t maxlen; /* -1 = not given */
	const char *from_text; /* NULL = not given */
	const char *to_text;
	char from_id[ENTRY_ID_SIZE];
	char to_id[ENTRY_ID_SIZE];
	int64_t rate; /* a second; 0 = not given */
	int64_t in_ms; /* -1 = not given; so the next two */
	int64_t at_ms;
	int64_t once_for_ms;
	const char *once;
	uint64_t given; /* TAKES() bits */
	const struct verb *verb;
	char **rest; /* what stands behind the verb */
	int rest_count;
};

static inline bool args_given(const struct args *a, enum option_id id)
{
	return a->given & TAKES(id);
}

/* What the value does; a sentence when it is wrong. */
typedef const char *option_set_fn(struct args *a, const char *value);
struct option_row {
	const char *name;
	char letter;          /* 0 = none */
	const char *argument; /* NULL = none */
	const char *help;
	option_set_fn *set;
};
extern const struct option_row option_rows[OPTION_COUNT];

enum args_answer { ARGS_RUN, ARGS_DONE /* help or version was printed */ };
/* 0 with the answer; 64 when it makes no sense (said on stderr). */
MUST_CHECK int args_parse(int argc, char **argv, struct args *ret_args, enum args_answer *ret_answer);
void args_done(struct args *a);
