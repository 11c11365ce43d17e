/* A template is a list of parts: text, a field (with a default or without), or one of xackd's own values. */
#include "domain/template.h"

#include <errno.h>

enum { ARGUMENT_MAX_BYTES = 128 * 1024 }; /* MAX_ARG_STRLEN, the NUL included */

enum part_kind { PART_TEXT, PART_FIELD, PART_OWN };
enum own_value { OWN_ID, OWN_JOB, OWN_ATTEMPT, OWN_STREAM, OWN_COUNT };
static const char *const own_names[OWN_COUNT] = { "id", "job", "attempt", "stream" };

struct part {
	enum part_kind kind;
	char *text;        /* PART_TEXT: as it is; PART_FIELD: the field's name */
	size_t n;
	char *fallback;    /* PART_FIELD: the default, NULL = none */
	enum own_value own;
};

struct template {
	struct part *parts;
	size_t count;
};

void template_free(struct template *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++) {
		free(t->parts[i].text);
		free(t->parts[i].fallback);
	}
	free(t->parts);
	free(t);
}

bool template_is_fixed(const struct template *t)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct part *p = &t->parts[i];
		if (p->kind == PART_FIELD || (p->kind == PART_OWN && (p->own == OWN_ID || p->own == OWN_ATTEMPT)))
			return false;
	}
	return true;
}

static struct part *add_part(struct template *t, enum part_kind kind)
{
	struct part *grown = realloc(t->parts, (t->count + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	t->parts = grown;
	t->parts[t->count] = (struct part){ .kind = kind };
	return &t->parts[t->count++];
}

static int add_text(struct template *t, struct buf *text)
{
	if (text->n == 0 && !text->failed)
		return 0;
	struct part *p = add_part(t, PART_TEXT);
	size_t n = text->n;
	if (!p)
		return -ENOMEM;
	p->text = buf_take(text);
	p->n = n;
	return p->text ? 0 : -ENOMEM;
}

static int add_own(struct template *t, struct bytes name, int column, struct fault *f)
{
	for (size_t i = 0; i < OWN_COUNT; i++) {
		if (!bytes_eq(name, bytes_of(own_names[i])))
			continue;
		struct part *p = add_part(t, PART_OWN);
		if (!p)
			return -ENOMEM;
		p->own = (enum own_value)i;
		return 0;
	}
	return fault_set(f, -EINVAL, "unknown {@%.*s} at column %d: there are {@id}, {@job}, {@attempt}, {@stream}", (int)name.n, name.p, column);
}

static int add_field(struct template *t, struct bytes inside, int column, struct fault *f)
{
	const char *mark = memmem(inside.p, inside.n, ":-", 2);
	size_t name_n = mark ? (size_t)(mark - inside.p) : inside.n;

	if (name_n == 0)
		return fault_set(f, -EINVAL, "{} without a field's name at column %d: write {{ for a brace", column);
	struct part *p = add_part(t, PART_FIELD);
	if (!p)
		return -ENOMEM;
	p->text = strndup(inside.p, name_n);
	p->n = name_n;
	if (mark)
		p->fallback = strndup(mark + 2, inside.n - name_n - 2);
	return p->text && (!mark || p->fallback) ? 0 : -ENOMEM;
}

/* From behind the opening brace; *ret_used is what was read, the closing one included. */
static int compile_braces(struct template *t, const char *at, int column, size_t *ret_used, struct fault *f)
{
	size_t n = strcspn(at, "{}");

	if (at[n] != '}')
		return fault_set(f, -EINVAL, "a { at column %d that is not closed: write {{ for a brace", column);
	struct bytes inside = { at, n };
	*ret_used = n + 1;
	if (n > 0 && at[0] == '@')
		return add_own(t, (struct bytes){ at + 1, n - 1 }, column, f);
	return add_field(t, inside, column, f);
}

static int compile(struct template *t, const char *text, struct fault *f)
{
	AUTO_BUF plain = { 0 };

	for (const char *at = text; *at;) {
		int column = (int)(at - text) + 1;
		if ((at[0] == '{' || at[0] == '}') && at[1] == at[0]) {
			buf_add_char(&plain, at[0]);
			at += 2;
			continue;
		}
		if (*at == '}')
			return fault_set(f, -EINVAL, "a } at column %d that closes nothing: write }} for a brace", column);
		if (*at != '{') {
			buf_add_char(&plain, *at++);
			continue;
		}
		size_t used = 0;
		int r = add_text(t, &plain);
		if (r == 0)
			r = compile_braces(t, at + 1, column, &used, f);
		if (r < 0)
			return r;
		at += 1 + used;
	}
	return add_text(t, &plain);
}

int template_compile(const char *text, struct template **ret_template, struct fault *ret_fault)
{
	struct template *t = calloc(1, sizeof(*t));
	if (!t)
		return fault_set(ret_fault, -ENOMEM, "out of memory");
	int r = compile(t, text, ret_fault);
	if (r < 0) {
		if (r == -ENOMEM)
			(void)fault_set(ret_fault, r, "out of memory");
		template_free(t);
		return r;
	}
	*ret_template = t;
	return 0;
}

static void add_own_value(enum own_value own, const struct template_values *v, struct buf *out)
{
	switch (own) {
	case OWN_ID:
		buf_add_text(out, v->id);
		break;
	case OWN_JOB:
		buf_add_text(out, v->job);
		break;
	case OWN_STREAM:
		buf_add_text(out, v->stream);
		break;
	case OWN_ATTEMPT:
		buf_addf(out, "%lld", (long long)v->attempt);
		break;
	case OWN_COUNT:
		break;
	}
}

static int add_field_value(const struct part *p, const struct entry *e, struct buf *out, struct fault *f)
{
	const struct entry_pair *pair = entry_find(e, (struct bytes){ p->text, p->n });

	if (!pair && !p->fallback) {
		(void)fault_set(f, 0, "the entry has no field \"%.150s\"", p->text);
		return TEMPLATE_MISSING_FIELD;
	}
	struct bytes value = pair ? pair->value : bytes_of(p->fallback);
	if (value.n > 0 && memchr(value.p, '\0', value.n)) {
		(void)fault_set(f, 0, "field \"%.150s\" holds a NUL byte, which no argument can", p->text);
		return TEMPLATE_NUL;
	}
	if (value.n >= ARGUMENT_MAX_BYTES) {
		(void)fault_set(f, 0, "field \"%.150s\" has %zu bytes, more than an argument can", p->text, value.n);
		return TEMPLATE_TOO_LONG;
	}
	buf_add_bytes(out, value);
	return TEMPLATE_OK;
}

static int expand(const struct template *t, const struct entry *e, const struct template_values *values, struct buf *out,
		  struct fault *ret_fault)
{
	size_t start = out->n;

	for (size_t i = 0; i < t->count; i++) {
		const struct part *p = &t->parts[i];
		int r = TEMPLATE_OK;
		if (p->kind == PART_TEXT)
			buf_add(out, p->text, p->n);
		else if (p->kind == PART_OWN)
			add_own_value(p->own, values, out);
		else
			r = add_field_value(p, e, out, ret_fault);
		if (r != TEMPLATE_OK)
			return r;
	}
	if (out->n - start >= ARGUMENT_MAX_BYTES) {
		(void)fault_set(ret_fault, 0, "an argument of %zu bytes is longer than the kernel allows", out->n - start);
		return TEMPLATE_TOO_LONG;
	}
	buf_add_char(out, '\0');
	return out->failed ? -ENOMEM : TEMPLATE_OK;
}

int template_expand(const struct template *t, const struct entry *e, const struct template_values *values, struct buf *out,
		    struct fault *ret_fault)
{
	size_t start = out->n;
	int r = expand(t, e, values, out, ret_fault);

	if (r != TEMPLATE_OK && out->p) { /* half an argument is none */
		out->n = start;
		out->p[start] = '\0';
	}
	return r;
}
