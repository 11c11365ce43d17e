/* The table itself, and looking things up in it: by name, and by what a misspelt name is nearest to. */
#include "config/keys.h"

#include <stdio.h>

#include "config/settings.h"
#include "domain/schedule.h"

enum { YEAR_DAYS = 366 };
#define LONGEST_MS \
	(INT64_C(10) * YEAR_DAYS * 24 * 60 * 60 * 1000) /* sums of several stay far from overflow */
#define LARGEST_BYTES (INT64_C(1) << 50)
enum { QUEUE_MAX_BYTES = 200, PATH_MAX_BYTES = 4095, VARIABLE_MAX_BYTES = 256, ADDRESS_MAX_BYTES = 64, EXPRESSION_MAX_BYTES = 1000 };

/* event.h numbers the levels; this layer does not see it. */
enum { LEVEL_DEBUG, LEVEL_INFO, LEVEL_NOTICE, LEVEL_WARNING, LEVEL_ERROR };

/* clang-format off */
static const struct choice unmatched_choices[] = { { "dead", UNMATCHED_DEAD }, { "ack", UNMATCHED_ACK }, { NULL, 0 } };
static const struct choice format_choices[] = {
	{ "auto", LOG_FORMAT_AUTO }, { "json", LOG_FORMAT_JSON }, { "text", LOG_FORMAT_TEXT }, { "journal", LOG_FORMAT_JOURNAL }, { NULL, 0 },
};
static const struct choice level_choices[] = {
	{ "debug", LEVEL_DEBUG }, { "info", LEVEL_INFO }, { "notice", LEVEL_NOTICE },
	{ "warning", LEVEL_WARNING }, { "error", LEVEL_ERROR }, { NULL, 0 },
};
static const struct choice success_choices[] = { { "each", SUCCESS_EACH }, { "summary", SUCCESS_SUMMARY }, { NULL, 0 } };
static const struct choice mode_choices[] = { { "exec", MODE_EXEC }, { "batch", MODE_BATCH }, { "persistent", MODE_PERSISTENT }, { NULL, 0 } };
static const struct choice stdin_choices[] = { { "json", STDIN_JSON }, { "payload", STDIN_PAYLOAD }, { "none", STDIN_NONE }, { NULL, 0 } };
static const struct choice read_ahead_choices[] = { { "auto", READ_AHEAD_AUTO }, { "off", READ_AHEAD_OFF }, { NULL, 0 } };
static const struct choice lease_lost_choices[] = { { "finish", LEASE_LOST_FINISH }, { "kill", LEASE_LOST_KILL }, { NULL, 0 } };
static const struct choice foreign_choices[] = { { "take", FOREIGN_TAKE }, { "leave", FOREIGN_LEAVE }, { NULL, 0 } };
static const struct choice output_choices[] = { { "log", OUTPUT_LOG }, { "discard", OUTPUT_DISCARD }, { NULL, 0 } };
static const struct choice start_choices[] = { { "0", START_BEGIN }, { "$", START_END }, { NULL, 0 } };
const struct choice retain_choices[] = { { "all", RETAIN_ALL }, { "acked", RETAIN_ACKED }, { NULL, 0 } };
static const struct choice missed_choices[] = { { "once", MISSED_ONCE }, { "skip", MISSED_SKIP }, { "all", MISSED_ALL }, { NULL, 0 } };
static const struct choice backoff_choices[] = {
	{ "fixed", BACKOFF_FIXED }, { "linear", BACKOFF_LINEAR }, { "exponential", BACKOFF_EXPONENTIAL }, { NULL, 0 },
};

#define FIELD(type_, owner_, field_) .type = (type_), .offset = offsetof(owner_, field_)
#define TEXT(owner_, field_, min_, max_) FIELD(KEY_TEXT, owner_, field_), .min = (min_), .max = (max_)
#define NAME(owner_, field_) FIELD(KEY_NAME, owner_, field_), .min = 1, .max = NAME_MAX_BYTES
#define QUEUE(owner_, field_) FIELD(KEY_QUEUE, owner_, field_), .min = 1, .max = QUEUE_MAX_BYTES
#define VARIABLE(owner_, field_) FIELD(KEY_VARIABLE, owner_, field_), .min = 1, .max = VARIABLE_MAX_BYTES
#define USER(owner_, field_) FIELD(KEY_USER, owner_, field_), .min = 1, .max = VARIABLE_MAX_BYTES
#define ADDRESS(owner_, field_) FIELD(KEY_ADDRESS, owner_, field_), .min = 1, .max = ADDRESS_MAX_BYTES
#define PATH(owner_, field_) FIELD(KEY_PATH, owner_, field_), .min = 1, .max = PATH_MAX_BYTES
#define DURATION(owner_, field_, min_) FIELD(KEY_DURATION, owner_, field_), .min = (min_), .max = LONGEST_MS
#define SECONDS(owner_, field_) FIELD(KEY_SECONDS, owner_, field_), .min = 0, .max = LONGEST_MS
#define SIZE(owner_, field_) FIELD(KEY_SIZE, owner_, field_), .min = 0, .max = LARGEST_BYTES
#define WHOLE(owner_, field_, min_, max_) FIELD(KEY_WHOLE, owner_, field_), .min = (min_), .max = (max_)
#define NICE(owner_, field_) FIELD(KEY_NICE, owner_, field_), .min = -20, .max = 19
#define RATIO(owner_, field_) FIELD(KEY_RATIO, owner_, field_), .min = 0, .max = 1
#define RATE(owner_, field_) FIELD(KEY_RATE, owner_, field_)
#define OCTAL(owner_, field_) FIELD(KEY_OCTAL, owner_, field_), .min = 0, .max = 0777
#define CHOICE(owner_, field_, choices_) FIELD(KEY_CHOICE, owner_, field_), .choices = (choices_)
#define CHECKED(choices_) .type = KEY_CHOICE, .offset = KEY_NOWHERE, .choices = (choices_)
#define TEXTS(owner_, field_) FIELD(KEY_TEXTS, owner_, field_), .min = 1, .max = PATH_MAX_BYTES
#define JOB_COMMAND .type = KEY_COMMAND
#define JOB_ENV .type = KEY_ENV
#define JOB_MATCH .type = KEY_MATCH
#define RETAIN(owner_, field_) FIELD(KEY_RETAIN, owner_, field_)
#define SCHEDULE(owner_, field_) FIELD(KEY_SCHEDULE, owner_, field_), .min = 1, .max = EXPRESSION_MAX_BYTES
#define ZONE(owner_, field_) FIELD(KEY_ZONE, owner_, field_), .min = 1, .max = VARIABLE_MAX_BYTES
#define SCHEDULE_FIELDS .type = KEY_FIELDS
#define CODES(class_) .type = KEY_CODES, .min = (class_)
#define IN(section_) .type = KEY_SECTION, .inner = SECTION_##section_
#define LATER(owner_, field_, section_) FIELD(KEY_LATER, owner_, field_), .inner = SECTION_##section_
#define MAP(owner_, field_, section_) FIELD(KEY_MAP, owner_, field_), .inner = SECTION_##section_
#define PRESET(value_) .preset = (value_)
#define WORDS(words_, example_) .preset_words = (words_), .example = (example_)
#define EXAMPLE(value_) .example = (value_)
#define NOTHING .preset = NULL
#define KEY(section_, symbol_, name_, where_, default_, help_) \
	[KEY_##section_##_##symbol_] = { .section = SECTION_##section_, .name = (name_), where_, default_, .help = (help_) },
#define KEY_NOT_YET(section_, name_)

const struct key key_table[KEY_COUNT] = {
#include "config/keys.def"
};

#undef KEY
#undef KEY_NOT_YET
#define KEY(section_, symbol_, name_, where_, default_, help_)
#define KEY_NOT_YET(section_, name_) { SECTION_##section_, name_ },

static const struct {
	enum key_section section;
	const char *name;
} not_yet[] = {
#include "config/keys.def"
};

const char *const key_section_help[SECTION_COUNT] = {
	[SECTION_MAIN] = "The file",
	[SECTION_REDIS] = "redis:",
	[SECTION_LOG] = "log:",
	[SECTION_METRICS] = "metrics:",
	[SECTION_POOL] = "pools: NAME:",
	[SECTION_JOB] = "jobs: NAME: (and defaults:)",
	[SECTION_LIMITS] = "jobs: NAME: limits:",
	[SECTION_BATCH] = "jobs: NAME: batch:",
	[SECTION_PERSISTENT] = "jobs: NAME: persistent:",
	[SECTION_RETRY] = "jobs: NAME: retry:",
	[SECTION_EXIT_CODES] = "jobs: NAME: exit_codes:",
	[SECTION_DEAD] = "jobs: NAME: dead:",
	[SECTION_CRON] = "cron: NAME:",
};
/* clang-format on */

const struct key *key_find(enum key_section section, const char *name)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (key_table[i].section == section && strcmp(key_table[i].name, name) == 0)
			return &key_table[i];
	}
	return NULL;
}

bool key_is_not_yet(enum key_section section, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(not_yet); i++) {
		if (not_yet[i].section == section && strcmp(not_yet[i].name, name) == 0)
			return true;
	}
	return false;
}

const struct choice *choice_find(const struct choice *choices, const char *name)
{
	for (; choices->name; choices++) {
		if (strcmp(choices->name, name) == 0)
			return choices;
	}
	return NULL;
}

const char *choice_name(const struct choice *choices, int value)
{
	for (; choices->name; choices++) {
		if (choices->value == value)
			return choices->name;
	}
	return "";
}

void choice_list(const struct choice *choices, struct buf *out)
{
	size_t count = 0;

	for (size_t i = 0; choices[i].name; i++)
		count += choices[i].value != CHOICE_NOT_YET;
	for (size_t i = 0, written = 0; choices[i].name; i++) {
		if (choices[i].value == CHOICE_NOT_YET)
			continue;
		if (written)
			buf_add_text(out, written + 1 == count ? " or " : ", ");
		buf_add_text(out, choices[i].name);
		written++;
	}
}

bool name_valid(const char *text, size_t length)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	return length >= 1 && length <= NAME_MAX_BYTES && strspn(text, allowed) == length;
}

/* Edits (a letter added, left out, changed, two swapped) that make b of a, '-' and '_' being one; FAR when a
 * is too long to be a slip. */
enum { NEAR_LENGTH = 32, FAR = 99 };

static int distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	unsigned char row[3][NEAR_LENGTH + 1];

	if (n > NEAR_LENGTH || m > NEAR_LENGTH)
		return FAR;
	for (size_t j = 0; j <= m; j++)
		row[0][j] = (unsigned char)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned char *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];

		now[0] = (unsigned char)i;
		for (size_t j = 1; j <= m; j++) {
			bool same = a[i - 1] == b[j - 1] || (a[i - 1] == '-' && b[j - 1] == '_');
			unsigned best = last[j - 1] + !same;

			if (last[j] + 1u < best)
				best = last[j] + 1u;
			if (now[j - 1] + 1u < best)
				best = now[j - 1] + 1u;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1u < best)
				best = before[j - 2] + 1u;
			now[j] = (unsigned char)best;
		}
	}
	return row[n % 3][m];
}

static bool is_near(const char *name, const char *known, int *best)
{
	bool begins = strlen(name) >= 3 && strncmp(name, known, strlen(name)) == 0;
	int d = begins ? 1 : distance(name, known);
	int allowed = strlen(known) <= 4 ? 1 : 2;

	if (d > allowed || d >= *best)
		return false;
	*best = d;
	return true;
}

/* A key that stands in a section below this one: `max_attempts` written beside `retry`. */
static const char *advice_below(struct advice *a, enum key_section section, const char *name)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		const struct key *outer = &key_table[i];

		if (outer->section != section || outer->type != KEY_SECTION || !key_find(outer->inner, name))
			continue;
		(void)snprintf(a->text, sizeof(a->text), " (%s belongs into %s:)", name, outer->name);
		return a->text;
	}
	if (section == SECTION_MAIN && key_find(SECTION_JOB, name)) {
		(void)snprintf(a->text, sizeof(a->text), " (%s belongs into a job, or into defaults:)", name);
		return a->text;
	}
	return "";
}

const char *key_advice(struct advice *a, enum key_section section, const char *name)
{
	const char *nearest = NULL;
	int best = FAR;

	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (key_table[i].section == section && is_near(name, key_table[i].name, &best))
			nearest = key_table[i].name;
	}
	const char *below = advice_below(a, section, name);
	if (*below || !nearest)
		return below;
	(void)snprintf(a->text, sizeof(a->text), " (did you mean %s?)", nearest);
	return a->text;
}

const char *choice_advice(struct advice *a, const struct choice *choices, const char *name)
{
	const char *nearest = NULL;
	int best = FAR;

	for (; choices->name; choices++) {
		if (choices->value != CHOICE_NOT_YET && is_near(name, choices->name, &best))
			nearest = choices->name;
	}
	if (!nearest)
		return "";
	(void)snprintf(a->text, sizeof(a->text), " (did you mean %s?)", nearest);
	return a->text;
}
