/* --print config: what is in force, written as YAML with the rows of the table, everything resolved. It loads
 * again to the same. */
#include <errno.h>

#include "base/num.h"
#include "config/config.h"
#include "config/keys.h"
#include "config/settings.h"
#include "config/value.h"
#include "domain/outcome.h"

/* A text as a double-quoted scalar. */
static void put_text(struct buf *out, const char *text)
{
	buf_add_char(out, '"');
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '"' || *p == '\\')
			buf_addf(out, "\\%c", *p);
		else if (*p == '\n')
			buf_add_text(out, "\\n");
		else if (*p < 0x20 || *p == 0x7f)
			buf_addf(out, "\\x%02x", *p);
		else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
			buf_addf(out, "\\x%02x", *++p);
		else
			buf_add_char(out, (char)*p);
	}
	buf_add_char(out, '"');
}

static void put_indent(struct buf *out, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++)
		buf_add_text(out, "  ");
}

static void put_texts(struct buf *out, char *const *texts)
{
	buf_add_char(out, '[');
	for (size_t i = 0; texts[i]; i++) {
		buf_add_text(out, i ? ", " : " ");
		put_text(out, texts[i]);
	}
	buf_add_text(out, " ]");
}

static void put_codes(struct buf *out, const struct exit_rules *exits, unsigned char class)
{
	char name[16];
	size_t count = 0;

	buf_add_char(out, '[');
	for (size_t i = 0; i < sizeof(exits->code); i++) {
		if (exits->code[i] == class)
			buf_addf(out, "%s%zu", count++ ? ", " : " ", i);
	}
	for (size_t i = 1; i < sizeof(exits->signal); i++) {
		if (exits->signal[i] == class)
			buf_addf(out, "%s%s", count++ ? ", " : " ", signal_name((int)i, name));
	}
	buf_add_text(out, " ]");
}

static void put_pair(struct buf *out, size_t i, const char *name, const char *value)
{
	buf_add_text(out, i ? ", " : " ");
	put_text(out, name);
	buf_add_text(out, ": ");
	put_text(out, value);
}

static void put_job_map(struct buf *out, const struct key *key, const struct job *job)
{
	buf_add_char(out, '{');
	for (size_t i = 0; key->type == KEY_ENV && i < job->env_count; i++)
		put_pair(out, i, job->env[i].name, job->env[i].value);
	for (size_t i = 0; key->type == KEY_MATCH && i < job->match_count; i++)
		put_pair(out, i, job->matches[i].name, job->matches[i].value);
	buf_add_text(out, " }");
}

static void put_fields(struct buf *out, const struct schedule *schedule)
{
	buf_add_char(out, '{');
	for (size_t i = 0; i < schedule->field_count; i++)
		put_pair(out, i, schedule->fields[i].name, schedule->fields[i].value);
	buf_add_text(out, " }");
}

/* The user that was looked up stands beside the field of its row. */
static const char *text_of(const struct key *key, const void *owner)
{
	if (key->type == KEY_USER) {
		const struct job *job = owner;

		return job->user ? job->user->name : job->user_missing;
	}
	return *(char *const *)((const char *)owner + key->offset);
}

static void put_number(struct buf *out, const struct key *key, const void *field)
{
	char text[NUM_DURATION_SIZE];
	int choice;

	if (key->type == KEY_DURATION)
		buf_add_text(out, num_duration_text(*(const int64_t *)field, text));
	else if (key->type == KEY_SECONDS)
		buf_add_text(out, num_duration_text(*(const int64_t *)field * 1000, text));
	else if (key->type == KEY_NICE)
		buf_addf(out, "%d", *(const int *)field);
	else if (key->type == KEY_RATIO)
		buf_addf(out, "%.15g", *(const double *)field);
	else if (key->type == KEY_RATE)
		buf_add_text(out, num_rate_text(((const struct rate *)field)->count, ((const struct rate *)field)->period_ms, text));
	else if (key->type == KEY_OCTAL)
		buf_addf(out, "\"%03o\"", (unsigned)*(const mode_t *)field);
	else if (key->type == KEY_CHOICE) {
		memcpy(&choice, field, sizeof(choice));
		buf_addf(out, "\"%s\"", choice_name(key->choices, choice));
	} else
		buf_addf(out, "%lld", (long long)*(const int64_t *)field);
}

/* False when there is nothing to write. */
static bool put_value(struct buf *out, const struct key *key, const void *owner)
{
	const void *field = key->offset == KEY_NOWHERE ? NULL : (const char *)owner + key->offset;
	const struct job *job = owner;

	switch (key->type) {
	case KEY_TEXT:
	case KEY_NAME:
	case KEY_QUEUE:
	case KEY_VARIABLE:
	case KEY_USER:
	case KEY_ADDRESS:
	case KEY_SCHEDULE:
	case KEY_ZONE:
	case KEY_PATH:
		if (!text_of(key, owner))
			return false;
		put_text(out, text_of(key, owner));
		return true;
	case KEY_DURATION:
	case KEY_SECONDS:
	case KEY_SIZE:
	case KEY_WHOLE:
	case KEY_NICE:
	case KEY_RATIO:
	case KEY_RATE:
	case KEY_OCTAL:
	case KEY_CHOICE:
		if (!field)
			buf_add_text(out, key->preset);
		else
			put_number(out, key, field);
		return true;
	case KEY_COMMAND:
		if (!job->exec)
			return false;
		put_texts(out, job->exec);
		return true;
	case KEY_ENV:
	case KEY_MATCH:
		put_job_map(out, key, job);
		return true;
	case KEY_FIELDS:
		put_fields(out, owner);
		return true;
	case KEY_CODES:
		put_codes(out, &job->exits, (unsigned char)key->min);
		return true;
	case KEY_RETAIN:
		retain_text(field, out);
		return true;
	case KEY_TEXTS: /* include: all jobs are in here */
	case KEY_SECTION:
	case KEY_LATER:
	case KEY_MAP:
	case KEY_TYPE_COUNT:
		break;
	}
	return false;
}

static void put_section(struct buf *out, enum key_section section, const void *owner, unsigned depth)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		const struct key *key = &key_table[i];
		AUTO_BUF value = { 0 };

		if (key->section != section || i == KEY_MAIN_WORKERS)
			continue;
		if (key->type == KEY_SECTION) {
			put_indent(out, depth);
			buf_addf(out, "%s:\n", key->name);
			put_section(out, key->inner, owner, depth + 1);
			continue;
		}
		if (!put_value(&value, key, owner))
			continue;
		put_indent(out, depth);
		buf_addf(out, "%s: ", key->name);
		buf_add_bytes(out, buf_bytes(&value));
		buf_add_char(out, '\n');
		if (value.failed)
			out->failed = true;
	}
}

int config_print_effective(const struct config *c, struct buf *out)
{
	put_section(out, SECTION_MAIN, &c->store->settings, 0);
	buf_add_text(out, "pools:\n");
	for (size_t i = 0; i < c->pool_count; i++) {
		const struct pool_settings settings = { .workers = (int64_t)c->pools[i].workers };

		buf_add_text(out, "  ");
		put_text(out, c->pools[i].name);
		buf_add_text(out, ":\n");
		put_section(out, SECTION_POOL, &settings, 2);
	}
	buf_add_text(out, "jobs:\n");
	for (size_t i = 0; i < c->job_count; i++) {
		buf_add_text(out, "  ");
		put_text(out, c->jobs[i].name);
		buf_add_text(out, ":\n");
		put_section(out, SECTION_JOB, &c->jobs[i], 2);
	}
	if (c->schedule_count > 0)
		buf_add_text(out, "cron:\n");
	for (size_t i = 0; i < c->schedule_count; i++) {
		buf_add_text(out, "  ");
		put_text(out, c->schedules[i].name);
		buf_add_text(out, ":\n");
		put_section(out, SECTION_CRON, &c->schedules[i], 2);
	}
	return out->failed ? -ENOMEM : 0;
}

/* Who a job runs as is looked up when the file is read: the name alone does not tell. */
static void put_user(struct buf *out, const struct run_user *user)
{
	buf_addf(out, "%lu %lu ", (unsigned long)user->uid, (unsigned long)user->gid);
	put_text(out, user->home ? user->home : "");
	put_text(out, user->shell ? user->shell : "");
	for (size_t i = 0; i < user->group_count; i++)
		buf_addf(out, " %lu", (unsigned long)user->groups[i]);
}

int config_print_pool(const struct config *c, const struct pool *pool, struct buf *out)
{
	struct settings settings = c->store->settings;

	settings.metrics_listen = settings.metrics_textfile = NULL; /* the supervisor's alone */
	put_section(out, SECTION_MAIN, &settings, 0);
	for (size_t i = 0; i < c->job_count; i++) {
		const struct job *job = &c->jobs[i];

		if (strcmp(job->pool, pool->name) != 0)
			continue;
		put_text(out, job->name);
		put_section(out, SECTION_JOB, job, 1);
		if (job->user)
			put_user(out, job->user);
	}
	return out->failed ? -ENOMEM : 0;
}
