/* The environment is built into one block of NAME=VALUE strings and a vector of pointers into it; both are reused from entry to entry. What is
 * the same for every entry of a job (PATH, HOME, env: …) is made once and copied in front. */
#include "domain/environment.h"

#include <errno.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "base/num.h"

enum {
	STRING_MAX_BYTES = 128 * 1024,      /* MAX_ARG_STRLEN, "NAME=" and the NUL included */
	FIELDS_MAX_BYTES = 1024 * 1024,     /* of all FIELD_* in sum */
	OMITTED_MAX_BYTES = 64 * 1024,      /* well below STRING_MAX_BYTES, even with a name mapped and the count behind it */
	OMITTED_NAME_MAX_BYTES = 1024,
	TRACEPARENT_MAX_BYTES = 128,
	FEW_PAIRS = 64,
};
#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- the part that stays ---- */

static const char *otherwise(const char *text, const char *fallback)
{
	return text && text[0] ? text : fallback;
}

static const char *inherited(char *const *inherit, const char *name)
{
	size_t n = strlen(name);
	for (; inherit && *inherit; inherit++) {
		if (strncmp(*inherit, name, n) == 0 && (*inherit)[n] == '=')
			return *inherit + n + 1;
	}
	return NULL;
}

static bool overridden(const struct job *job, const char *name)
{
	for (size_t i = 0; i < job->env_count; i++) {
		if (strcmp(job->env[i].name, name) == 0)
			return true;
	}
	return false;
}

static void add_string(struct buf *block, const char *name, struct bytes value)
{
	buf_add_text(block, name);
	buf_add_char(block, '=');
	buf_add_bytes(block, value);
	buf_add_char(block, '\0');
}

static void add_number(struct buf *block, const char *name, int64_t value)
{
	char text[NUM_TEXT_SIZE];
	size_t n = num_i64_text(value, text);
	add_string(block, name, (struct bytes){ text, n });
}

static void add_timeout(struct buf *block, int64_t ms)
{
	char fraction[8];
	int n = snprintf(fraction, sizeof(fraction), ".%03d", (int)(ms % 1000));

	while (n > 1 && fraction[n - 1] == '0')
		fraction[--n] = '\0';
	buf_addf(block, "XACKD_TIMEOUT=%lld%s", (long long)(ms / 1000), n > 1 ? fraction : "");
	buf_add_char(block, '\0');
}

/* Of xackd's own, what is the same for every entry. */
static void add_own_base(struct environment_base *base, const struct job *job)
{
	add_string(&base->block, "XACKD_JOB", bytes_of(job->name));
	add_string(&base->block, "XACKD_STREAM", bytes_of(job->stream));
	add_string(&base->block, "XACKD_GROUP", bytes_of(job->group));
	add_number(&base->block, "XACKD_MAX_ATTEMPTS", job->retry.max_attempts);
	add_timeout(&base->block, job->timeout_ms);
	add_string(&base->block, "XACKD_NOTIFY_FD", bytes_of("3"));
	base->count += 6;
}

static void add_base(struct environment_base *base, const struct job *job, const char *name, const char *value)
{
	if (!value || overridden(job, name))
		return;
	add_string(&base->block, name, bytes_of(value));
	base->count++;
}

static void add_user(struct environment_base *base, const struct job *job)
{
	const struct passwd *own = job->user ? NULL : getpwuid(geteuid());
	const char *name = job->user ? job->user->name : own ? own->pw_name : NULL;

	add_base(base, job, "HOME", otherwise(job->user ? job->user->home : own ? own->pw_dir : NULL, "/"));
	add_base(base, job, "USER", name);
	add_base(base, job, "LOGNAME", name);
	add_base(base, job, "SHELL", otherwise(job->user ? job->user->shell : own ? own->pw_shell : NULL, "/bin/sh"));
}

int environment_base_init(struct environment_base *base, const struct job *job, char *const *inherit)
{
	*base = (struct environment_base){ 0 };
	add_base(base, job, "PATH", otherwise(inherited(inherit, "PATH"), PATH_DEFAULT));
	add_base(base, job, "LANG", otherwise(inherited(inherit, "LANG"), "C.UTF-8"));
	add_base(base, job, "TZ", inherited(inherit, "TZ"));
	add_user(base, job);
	for (size_t i = 0; i < job->env_count; i++) {
		add_string(&base->block, job->env[i].name, bytes_of(job->env[i].value));
		base->count++;
	}
	add_own_base(base, job);
	return base->block.failed ? -ENOMEM : 0;
}

void environment_base_done(struct environment_base *base)
{
	buf_done(&base->block);
	base->count = 0;
}

const char *environment_path(const struct environment_base *base)
{
	const char *at = base->block.p;
	for (size_t i = 0; i < base->count; i++, at += strlen(at) + 1) {
		if (strncmp(at, "PATH=", 5) == 0)
			return at + 5;
	}
	return PATH_DEFAULT;
}

/* ---- fields ---- */

/* FIELD_<NAME>: letters in upper case, digits, every other byte as '_'. */
static unsigned char mapped_byte(unsigned char c)
{
	if (c >= 'a' && c <= 'z')
		return (unsigned char)(c - 'a' + 'A');
	return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_';
}

static void add_mapped(struct buf *out, struct bytes name)
{
	buf_add_text(out, "FIELD_");
	for (size_t i = 0; i < name.n; i++)
		buf_add_char(out, (char)mapped_byte((unsigned char)name.p[i]));
}

static bool plain_name(struct bytes name)
{
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];
		bool letter_or_digit = c == '_' || mapped_byte(c) != '_';
		if (!letter_or_digit && c != '.' && c != '-')
			return false;
	}
	return name.n > 0;
}

/* Name what was left out. A name that could be taken for more than one (a comma, a new line) is named as it would have been mapped, a
 * very long one by its beginning, and those that no longer fit are counted: "a,FIELD_B_C,+12". */
struct omitted {
	struct buf names;
	size_t more;
};

static void omit(struct omitted *o, struct bytes name)
{
	struct bytes shown = { name.p, name.n < OMITTED_NAME_MAX_BYTES ? name.n : OMITTED_NAME_MAX_BYTES };

	if (o->more > 0 || o->names.n + shown.n > OMITTED_MAX_BYTES) {
		o->more++;
		return;
	}
	if (o->names.n > 0)
		buf_add_char(&o->names, ',');
	if (plain_name(name))
		buf_add_bytes(&o->names, shown);
	else
		add_mapped(&o->names, shown);
}

/* Fields that the environment can hold; their sum counts the pointers too, as the kernel does. Of two with one mapped name the second
 * is never used, not even when the first cannot be held: a handler must not take another field for it. */
static void add_fields(struct buf *block, const struct entry *e, const bool *first, struct omitted *omitted)
{
	size_t total = 0;

	for (size_t i = 0; i < e->pair_count; i++) {
		const struct entry_pair *p = &e->pairs[i];
		size_t need = strlen("FIELD_=") + p->name.n + p->value.n + 1;
		bool fits = need <= STRING_MAX_BYTES && total + need + sizeof(char *) <= FIELDS_MAX_BYTES;
		if (!first[i] || !fits || (p->value.n > 0 && memchr(p->value.p, '\0', p->value.n))) {
			omit(omitted, p->name);
			continue;
		}
		add_mapped(block, p->name);
		buf_add_char(block, '=');
		buf_add_bytes(block, p->value);
		buf_add_char(block, '\0');
		total += need + sizeof(char *);
	}
}

static int add_pairs(struct buf *block, const struct entry *e)
{
	struct omitted omitted = { 0 };
	bool some[FEW_PAIRS] = { false };
	AUTO_FREE bool *many = e->pair_count > FEW_PAIRS ? calloc(e->pair_count, sizeof(*many)) : NULL;
	bool *first = e->pair_count > FEW_PAIRS ? many : some;

	if (!first || entry_mark_firsts(e->pairs, e->pair_count, mapped_byte, first) < 0)
		return -ENOMEM;
	add_fields(block, e, first, &omitted);
	if (omitted.more > 0)
		buf_addf(&omitted.names, ",+%zu", omitted.more);
	if (omitted.names.n > 0)
		add_string(block, "XACKD_OMITTED", buf_bytes(&omitted.names));
	bool failed = omitted.names.failed;
	buf_done(&omitted.names);
	return failed ? -ENOMEM : 0;
}

/* ---- xackd's own ---- */

/* n lower-case hex digits, not all the same as in `invalid` (zeros, or ff). */
static bool hex_part(const char *p, size_t n, char invalid)
{
	bool valid = invalid == '\0';
	for (size_t i = 0; i < n; i++) {
		if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
			return false;
		valid = valid || p[i] != invalid;
	}
	return valid;
}

/* W3C Trace Context: version-trace-parent-flags; a version above 00 may have more behind it. */
static bool traceparent_valid(struct bytes v)
{
	enum { TRACE = 3, PARENT = 36, FLAGS = 53, SIZE = 55 };

	if (v.n < SIZE || v.n > TRACEPARENT_MAX_BYTES || v.p[TRACE - 1] != '-' || v.p[PARENT - 1] != '-' || v.p[FLAGS - 1] != '-')
		return false;
	if (!hex_part(v.p, 2, 'f') || !hex_part(v.p + TRACE, 32, '0') || !hex_part(v.p + PARENT, 16, '0') || !hex_part(v.p + FLAGS, 2, '\0'))
		return false;
	if (v.n == SIZE)
		return true;
	for (size_t i = SIZE; i < v.n; i++) {
		if (v.p[i] != '-' && !hex_part(v.p + i, 1, '\0'))
			return false;
	}
	return v.p[SIZE] == '-' && memcmp(v.p, "00", 2) != 0;
}

static void add_own(struct buf *block, const struct run_facts *f)
{
	const struct entry_pair *trace = entry_find(f->entry, bytes_of("traceparent"));

	if (f->entry->id[0]) {
		add_string(block, "XACKD_ID", bytes_of(f->entry->id));
		add_number(block, "XACKD_ATTEMPT", f->attempt);
		add_number(block, "XACKD_DELIVERY", f->entry->delivery);
	}
	if (f->enqueued_ms >= 0)
		add_number(block, "XACKD_ENQUEUED_MS", f->enqueued_ms);
	if (trace && traceparent_valid(trace->value) && !overridden(f->job, "TRACEPARENT"))
		add_string(block, "TRACEPARENT", trace->value);
}

static int build_vector(struct environment *env)
{
	buf_clear(&env->vector);
	for (const char *at = env->block.p, *end = at + env->block.n; at < end; at += strlen(at) + 1)
		buf_add(&env->vector, &at, sizeof(at));
	const char *last = NULL;
	buf_add(&env->vector, &last, sizeof(last));
	return env->vector.failed ? -ENOMEM : 0;
}

int environment_build(struct environment *env, const struct environment_base *base, const struct run_facts *facts)
{
	buf_clear(&env->block);
	buf_add_bytes(&env->block, buf_bytes(&base->block));
	add_own(&env->block, facts);
	if (add_pairs(&env->block, facts->entry) < 0 || env->block.failed)
		return -ENOMEM;
	return build_vector(env);
}

char **environment_vector(const struct environment *env)
{
	return (char **)(void *)env->vector.p;
}

void environment_done(struct environment *env)
{
	buf_done(&env->block);
	buf_done(&env->vector);
}
