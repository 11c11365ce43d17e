/* The table of keys: one row a key, from which come parsing, validation, defaults, and all that --print
 * shows. What has no row is an error. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

enum key_section {
	SECTION_MAIN,
	SECTION_REDIS,
	SECTION_LOG,
	SECTION_METRICS,
	SECTION_POOL,
	SECTION_JOB,
	SECTION_LIMITS,
	SECTION_BATCH,
	SECTION_PERSISTENT,
	SECTION_RETRY,
	SECTION_EXIT_CODES,
	SECTION_DEAD,
	SECTION_CRON,
	SECTION_COUNT,
};

/* How a value is written, checked and kept; the type of the field in brackets. */
enum key_type {
	KEY_TEXT,     /* any text, min … max bytes (char *) */
	KEY_NAME,     /* of a host, pool or job (char *) */
	KEY_QUEUE,    /* name of a stream or group (char *) */
	KEY_VARIABLE, /* name of an environment variable (char *) */
	KEY_USER,     /* name of a user, looked up later (char *) */
	KEY_ADDRESS,  /* where to listen, a port from 1 on (char *) */
	KEY_PATH,     /* relative ones start at the folder of the main file (char *) */
	KEY_DURATION, /* in ms (int64_t) */
	KEY_SECONDS,  /* a duration kept in whole seconds (int64_t) */
	KEY_SIZE,     /* in bytes (int64_t) */
	KEY_WHOLE,    /* (int64_t) */
	KEY_NICE,     /* (int) */
	KEY_RATIO,    /* 0 … 1 (double) */
	KEY_RATE,     /* so many in a second, minute or hour (struct rate) */
	KEY_OCTAL,    /* in quotes or not (mode_t) */
	KEY_CHOICE,   /* one of choices (enum) */
	KEY_TEXTS,    /* a list of texts (char **, NULL-terminated) */
	KEY_COMMAND,  /* argv (struct job) */
	KEY_ENV,      /* NAME: VALUE (struct job) */
	KEY_MATCH,    /* FIELD: VALUE (struct job) */
	KEY_SCHEDULE, /* an expression of cron (struct schedule) */
	KEY_ZONE,     /* name of a time zone, looked up later (char *) */
	KEY_FIELDS,   /* FIELD: VALUE (struct schedule) */
	KEY_CODES,    /* exit codes and signals of the class `min` (struct job) */
	KEY_RETAIN,   /* all, acked, { age: … } or { maxlen: … } (struct retain_rule) */
	KEY_SECTION,  /* a map with the keys of `inner` */
	KEY_LATER,    /* the same, but read afterwards (struct yaml_node *) */
	KEY_MAP,      /* names → maps with the keys of `inner`, read afterwards (struct yaml_node *) */
	KEY_TYPE_COUNT,
};

struct choice {
	const char *name; /* NULL ends a list */
	int value;        /* CHOICE_NOT_YET: known, not in this version */
};
enum { CHOICE_NOT_YET = -1 };

struct key {
	enum key_section section;
	const char *name;
	enum key_type type;
	size_t offset; /* of the field in the section's struct; KEY_NOWHERE = checked, not kept */
	int64_t min, max;
	const struct choice *choices;
	enum key_section inner;
	const char *preset;       /* the default as YAML; NULL = none */
	const char *preset_words; /* the default in words, where it is no value */
	const char *example;      /* a value as YAML, for keys without a default */
	const char *help;
};
#define KEY_NOWHERE SIZE_MAX

/* The rows' indexes: KEY_JOB_STREAM … */
enum key_id {
#define KEY(section_, symbol_, ...) KEY_##section_##_##symbol_,
#define KEY_NOT_YET(section_, name_)
#include "config/keys.def"
#undef KEY
#undef KEY_NOT_YET
	KEY_COUNT,
};

extern const struct key key_table[KEY_COUNT];
extern const char *const key_section_help[SECTION_COUNT];

/* The row of a name in a section, or NULL. */
const struct key *key_find(enum key_section section, const char *name);
/* True for a key that other versions have and this one does not. */
bool key_is_not_yet(enum key_section section, const char *name);
/* What was probably meant, as a sentence in brackets (" (did you mean …?)"), "" when nothing is near. */
struct advice {
	char text[160];
};
const char *key_advice(struct advice *a, enum key_section section, const char *name);
const char *choice_advice(struct advice *a, const struct choice *choices, const char *name);
/* Value of a name, or NULL. */
const struct choice *choice_find(const struct choice *choices, const char *name);
const char *choice_name(const struct choice *choices, int value);
/* "a, b or c" of what this version knows. */
void choice_list(const struct choice *choices, struct buf *out);
extern const struct choice retain_choices[]; /* of enum retain_kind, those that are one word */

/* True for [A-Za-z0-9._-]{1,64}. */
bool name_valid(const char *text, size_t length);
enum { NAME_MAX_BYTES = 64 };
