/* The scalar types of the table, a reader each. Strict: nothing is guessed, and each refusal says what would
 * have been right. */
#include "config/value.h"

#include <errno.h>
#include <stdio.h>

#include "base/address.h"
#include "base/num.h"
#include "domain/target.h"

#define VALUE_OF(node) QUOTED((node)->text, (node)->length)

static struct bytes node_bytes(const struct yaml_node *node)
{
	return (struct bytes){ node->text, node->length };
}

bool value_is_text(struct loader *l, const struct yaml_node *node, const struct key_path *path)
{
	if (node->kind != YAML_SCALAR)
		report_add(l->report, node->at, path, "must be one value, not a %s",
			   node->kind == YAML_LIST ? "list" : "mapping");
	else if (node->null)
		report_add(l->report, node->at, path, "has no value (write \"\" for an empty text)");
	else
		return true;
	return false;
}

bool variable_valid(const char *name, size_t length)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

	return length >= 1 && strspn(name, letters) == length && !(name[0] >= '0' && name[0] <= '9');
}

/* One value on its way into its field. */
struct reading {
	struct loader *l;
	const struct key *key;
	const struct yaml_node *node;
	const struct key_path *path;
	void *owner; /* the section's struct */
	void *field; /* in it; NULL: the value is only checked */
};

#define REFUSE(r_, ...) report_add((r_)->l->report, (r_)->node->at, (r_)->path, __VA_ARGS__)

static bool duration_of(const struct reading *v, int64_t *ret_ms)
{
	char least[NUM_DURATION_SIZE];
	int64_t ms, bare;
	int r = num_duration_ms(node_bytes(v->node), &ms);

	if (r == 0 && ms >= v->key->min && ms <= v->key->max) {
		*ret_ms = ms;
		return true;
	}
	if (r == 0 && ms < v->key->min)
		REFUSE(v, "must be at least %s, not %s", num_duration_text(v->key->min, least),
		       VALUE_OF(v->node));
	else if (r == 0 || r == -ERANGE)
		REFUSE(v, "%s is too long (10 years at most)", VALUE_OF(v->node));
	else if (num_i64(node_bytes(v->node), &bare) == 0)
		REFUSE(v, "%s has no unit (write %.20ss, or with ms, m, h, d)", VALUE_OF(v->node),
		       v->node->text);
	else
		REFUSE(v, "%s is not a duration (such as 500ms, 30s, 5m, 2h, 7d or 0)", VALUE_OF(v->node));
	return false;
}

static bool whole_of(const struct reading *v, int64_t *ret_value)
{
	int64_t value = 0;
	int r = num_i64(node_bytes(v->node), &value);

	if (r == -EINVAL)
		REFUSE(v, "%s is not a whole number", VALUE_OF(v->node));
	else if (r != 0 || value < v->key->min || value > v->key->max)
		REFUSE(v, "must be %lld to %lld, not %s", (long long)v->key->min, (long long)v->key->max,
		       VALUE_OF(v->node));
	else {
		*ret_value = value;
		return true;
	}
	return false;
}

static int read_duration(const struct reading *v)
{
	(void)duration_of(v, v->field);
	return 0;
}

static int read_seconds(const struct reading *v)
{
	int64_t ms;

	if (duration_of(v, &ms))
		*(int64_t *)v->field = (ms + 999) / 1000;
	return 0;
}

static int read_size(const struct reading *v)
{
	int64_t bytes;
	int r = num_size_bytes(node_bytes(v->node), &bytes);

	if (r == 0 && bytes >= v->key->min && bytes <= v->key->max)
		*(int64_t *)v->field = bytes;
	else if (r == 0 || r == -ERANGE)
		REFUSE(v, "%s is out of range", VALUE_OF(v->node));
	else
		REFUSE(v, "%s is not a size (such as 64K, 10M or 2G)", VALUE_OF(v->node));
	return 0;
}

static int read_whole(const struct reading *v)
{
	(void)whole_of(v, v->field);
	return 0;
}

static int read_nice(const struct reading *v)
{
	int64_t value;

	if (whole_of(v, &value))
		*(int *)v->field = (int)value;
	return 0;
}

static int read_ratio(const struct reading *v)
{
	double value;

	if (num_decimal(node_bytes(v->node), &value) != 0 || !(value >= 0 && value <= 1))
		REFUSE(v, "%s is not a number from 0 to 1 (such as 0.2)", VALUE_OF(v->node));
	else
		*(double *)v->field = value;
	return 0;
}

static int read_rate(const struct reading *v)
{
	struct rate rate = { 0 };
	int r = num_rate(node_bytes(v->node), &rate.count, &rate.period_ms);
	int64_t bare;

	if (r == 0)
		*(struct rate *)v->field = rate;
	else if (r == -ERANGE)
		REFUSE(v, "must be 1 to 1000000 in a second, minute or hour, not %s (0 for no limit)", VALUE_OF(v->node));
	else if (num_i64(node_bytes(v->node), &bare) == 0)
		REFUSE(v, "%s has no unit of time (write %.20s/s, or with /m, /h)", VALUE_OF(v->node), v->node->text);
	else
		REFUSE(v, "%s is not a rate (such as 10/s, 600/m, 5000/h or 0)", VALUE_OF(v->node));
	return 0;
}

static int read_octal(const struct reading *v)
{
	const mode_t most = (mode_t)v->key->max;
	size_t digits = strspn(v->node->text, "01234567");
	mode_t value = 0;

	for (size_t i = 0; i < digits && value <= most; i++)
		value = value * 8 + (mode_t)(v->node->text[i] - '0');
	if (digits == 0 || digits != v->node->length || value > most)
		REFUSE(v, "%s is not an octal mask from \"000\" to \"777\" (such as \"022\")",
		       VALUE_OF(v->node));
	else
		*(mode_t *)v->field = value;
	return 0;
}

static int read_choice(const struct reading *v)
{
	const struct choice *choice = choice_find(v->key->choices, v->node->text);
	struct advice advice;
	AUTO_BUF known = { 0 };

	if (choice && choice->value != CHOICE_NOT_YET) {
		if (v->field)
			memcpy(v->field, &choice->value, sizeof(choice->value));
		return 0;
	}
	choice_list(v->key->choices, &known);
	if (known.failed)
		return -ENOMEM;
	if (choice)
		REFUSE(v, "%s is not supported in this version (write %s)", VALUE_OF(v->node), known.p);
	else
		REFUSE(v, "%s is not %s%s", VALUE_OF(v->node), known.p,
		       choice_advice(&advice, v->key->choices, v->node->text));
	return 0;
}

/* What is wrong with a text of that type, or NULL. */
static const char *text_fault(const struct key *key, const struct yaml_node *node)
{
	struct address address;

	if (key->type == KEY_NAME && !name_valid(node->text, node->length))
		return "is not a name (1 to 64 of A-Z a-z 0-9 . _ -)";
	if (key->type == KEY_VARIABLE && !variable_valid(node->text, node->length))
		return "is not the name of an environment variable";
	if (key->type == KEY_QUEUE && !queue_name_valid(node->text))
		return "has braces that form no valid hash tag (one {...} with something in it, or none)";
	if (key->type == KEY_QUEUE && strcmp(key->name, "group") == 0 &&
	    strncmp(node->text, "xackd:", strlen("xackd:")) == 0)
		return "is reserved (names of groups do not begin with xackd:)";
	if (key->type == KEY_ADDRESS && (address_parse(node->text, &address, NULL) < 0 || address_port(&address) == 0))
		return "is no address with a port (such as 127.0.0.1:9127 or [::1]:9127; numbers, no names)";
	return NULL;
}

static bool text_good(const struct reading *v)
{
	const char *fault = text_fault(v->key, v->node);

	if (v->node->length == 0)
		REFUSE(v, "must not be empty");
	else if ((int64_t)v->node->length > v->key->max)
		REFUSE(v, "%s is too long (%lld bytes at most)", VALUE_OF(v->node), (long long)v->key->max);
	else if (fault)
		REFUSE(v, "%s %s", VALUE_OF(v->node), fault);
	else
		return true;
	return false;
}

static int keep_text(const struct reading *v, const char *text, size_t length)
{
	char *copy = arena_text(v->l->arena, text, length);

	if (!copy)
		return -ENOMEM;
	*(char **)v->field = copy;
	return 0;
}

static int read_text(const struct reading *v)
{
	return text_good(v) ? keep_text(v, v->node->text, v->node->length) : 0;
}

static int read_path(const struct reading *v)
{
	const char *path = v->node->text;
	AUTO_BUF joined = { 0 };

	if (!text_good(v))
		return 0;
	while (strncmp(path, "./", 2) == 0)
		path += 2;
	if (path[0] != '/') {
		buf_add_text(&joined, strcmp(v->l->folder, "/") == 0 ? "" : v->l->folder);
		buf_add_char(&joined, '/');
	}
	buf_add_text(&joined, strcmp(path, ".") == 0 ? "" : path);
	return joined.failed ? -ENOMEM : keep_text(v, joined.p, joined.n);
}

static int read_texts(const struct reading *v)
{
	return value_texts(v->l, v->node, v->path, v->field);
}

static int read_command(const struct reading *v)
{
	return value_command(v->l, v->node, v->path, v->owner);
}

static int read_env(const struct reading *v)
{
	return value_env(v->l, v->node, v->path, v->owner);
}

static int read_match(const struct reading *v)
{
	return value_match(v->l, v->node, v->path, v->owner);
}

static int read_fields(const struct reading *v)
{
	return value_fields(v->l, v->node, v->path, v->owner);
}

static int read_schedule(const struct reading *v)
{
	struct schedule *schedule = v->owner;
	struct fault fault = { 0 };
	size_t offset = 0;

	if (!text_good(v))
		return 0;
	if (cron_parse(v->node->text, &schedule->cron, &offset, &fault) == 0)
		return keep_text(v, v->node->text, v->node->length);
	report_add(v->l->report, value_place(v->node, offset), v->path, "%s: %s", VALUE_OF(v->node), fault.text);
	return 0;
}

static int read_codes(const struct reading *v)
{
	struct job *job = v->owner;

	exit_codes_load(v->l, v->node, v->path, (enum exit_class)v->key->min, &job->exits);
	return 0;
}

static int read_retain(const struct reading *v)
{
	return value_retain(v->l, v->node, v->path, v->field);
}

/* Kept as a node: it is read when all that it depends on is known. */
static int read_later(const struct reading *v)
{
	*(const struct yaml_node **)v->field = v->node;
	return 0;
}

/* clang-format off */
static const struct {
	int (*read)(const struct reading *v);
	bool compound; /* not a scalar */
} readers[KEY_TYPE_COUNT] = {
	[KEY_TEXT] = { read_text, false },
	[KEY_NAME] = { read_text, false },
	[KEY_QUEUE] = { read_text, false },
	[KEY_VARIABLE] = { read_text, false },
	[KEY_USER] = { read_text, false },
	[KEY_ADDRESS] = { read_text, false },
	[KEY_PATH] = { read_path, false },
	[KEY_DURATION] = { read_duration, false },
	[KEY_SECONDS] = { read_seconds, false },
	[KEY_SIZE] = { read_size, false },
	[KEY_WHOLE] = { read_whole, false },
	[KEY_NICE] = { read_nice, false },
	[KEY_RATIO] = { read_ratio, false },
	[KEY_RATE] = { read_rate, false },
	[KEY_OCTAL] = { read_octal, false },
	[KEY_CHOICE] = { read_choice, false },
	[KEY_TEXTS] = { read_texts, true },
	[KEY_COMMAND] = { read_command, true },
	[KEY_ENV] = { read_env, true },
	[KEY_MATCH] = { read_match, true },
	[KEY_SCHEDULE] = { read_schedule, false },
	[KEY_ZONE] = { read_text, false },
	[KEY_FIELDS] = { read_fields, true },
	[KEY_CODES] = { read_codes, true },
	[KEY_RETAIN] = { read_retain, true },
	[KEY_LATER] = { read_later, true },
	[KEY_MAP] = { read_later, true },
	/* KEY_SECTION: section_load */
};
/* clang-format on */

int value_load(struct loader *l, const struct key *key, const struct yaml_node *node,
	       const struct key_path *path, void *owner)
{
	const struct reading v = {
		.l = l,
		.key = key,
		.node = node,
		.path = path,
		.owner = owner,
		.field = key->offset == KEY_NOWHERE ? NULL : (char *)owner + key->offset,
	};

	if (!readers[key->type].compound && !value_is_text(l, node, path))
		return 0;
	return readers[key->type].read(&v);
}
