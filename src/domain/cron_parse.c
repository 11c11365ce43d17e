/* The text of an expression becomes bits. Strict: nothing is guessed, and each refusal says what would have
 * been right. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/civil.h"
#include "domain/cron.h"

struct field {
	const char *name;
	int least, most;
	const char *const *words; /* the first stands for `least`; NULL ends them */
};

static const char *const month_words[] = { "jan", "feb", "mar", "apr", "may", "jun", "jul",
					   "aug", "sep", "oct", "nov", "dec", NULL };
static const char *const day_words[] = { "sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL };

enum { MINUTE, HOUR, MONTH_DAY, MONTH, WEEK_DAY, FIELDS };
static const struct field fields[FIELDS] = {
	[MINUTE] = { "minute", 0, 59, NULL },
	[HOUR] = { "hour", 0, 23, NULL },
	[MONTH_DAY] = { "day of the month", 1, 31, NULL },
	[MONTH] = { "month", 1, 12, month_words },
	[WEEK_DAY] = { "day of the week", 0, 7, day_words }, /* 7 is Sunday, too */
};

static const struct {
	const char *name, *text;
} nicknames[] = {
	{ "@hourly", "0 * * * *" },   { "@daily", "0 0 * * *" },   { "@midnight", "0 0 * * *" },
	{ "@weekly", "0 0 * * 0" },   { "@monthly", "0 0 1 * *" }, { "@yearly", "0 0 1 1 *" },
	{ "@annually", "0 0 1 1 *" },
};

/* What is being read: p walks through one field, up to end. */
struct reading {
	const char *text, *p, *end;
	const struct field *field;
	struct fault *fault;
	const char *place;
};

#define REFUSE(r_, place_, ...) \
	((r_)->place = (place_), (void)fault_set((r_)->fault, -EINVAL, __VA_ARGS__), false)

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A length for %.*s: a piece of somebody's text in a sentence. */
static int piece(const char *begin, const char *end)
{
	return end - begin > 20 ? 20 : (int)(end - begin);
}

static bool take_word(struct reading *r, int *ret_value)
{
	const char *begin = r->p;

	while (r->p < r->end && is_letter(*r->p))
		r->p++;
	for (int i = 0; r->field->words && r->field->words[i]; i++) {
		if (r->p - begin == 3 && strncasecmp(begin, r->field->words[i], 3) == 0) {
			*ret_value = r->field->least + i;
			return true;
		}
	}
	return REFUSE(r, begin, "%s: %.*s is no name here%s", r->field->name, piece(begin, r->p), begin,
		      r->field == &fields[MONTH]      ? " (jan, feb … dec)"
		      : r->field == &fields[WEEK_DAY] ? " (sun, mon … sat)"
						      : " (write a number)");
}

static bool take_number(struct reading *r, int *ret_value)
{
	const char *begin = r->p;
	int value = 0;

	if (r->p < r->end && is_letter(*r->p))
		return take_word(r, ret_value);
	while (r->p < r->end && is_digit(*r->p)) {
		if (value < 1000)
			value = value * 10 + (*r->p - '0');
		r->p++;
	}
	if (r->p == begin && r->p < r->end && strchr("?LW#~", *r->p))
		return REFUSE(r, begin, "%s: %c is not known here (numbers, names, * , - and / are)",
			      r->field->name, *r->p);
	if (r->p == begin)
		return REFUSE(r, begin, "%s: a number%s is missing", r->field->name,
			      r->field->words ? " or a name" : "");
	if (value < r->field->least || value > r->field->most)
		return REFUSE(r, begin, "%s: must be %d to %d, not %.*s", r->field->name, r->field->least,
			      r->field->most, piece(begin, r->p), begin);
	*ret_value = value;
	return true;
}

static bool take_step(struct reading *r, bool is_range, int *ret_step)
{
	const char *begin = r->p;
	int step = 0;

	*ret_step = 1;
	if (r->p == r->end || *r->p != '/')
		return true;
	if (!is_range)
		return REFUSE(r, begin, "%s: a step needs a range before it (such as */5 or 10-%d/5)",
			      r->field->name, r->field->most);
	r->p++;
	while (r->p < r->end && is_digit(*r->p) && step < 1000)
		step = step * 10 + (*r->p++ - '0');
	if (step < 1 || step > r->field->most)
		return REFUSE(r, begin + 1, "%s: the step must be 1 to %d", r->field->name, r->field->most);
	*ret_step = step;
	return true;
}

/* One element of a list: *, N, N-M, each but N with a step. */
static bool take_range(struct reading *r, uint64_t *bits)
{
	const char *begin = r->p;
	int from = r->field->least, to = r->field->most, step = 1;
	bool is_range = true;

	if (r->p < r->end && *r->p == '*') {
		r->p++;
		if (r->field == &fields[WEEK_DAY])
			to = 6; /* Sunday once, also for steps */
	} else {
		if (!take_number(r, &from))
			return false;
		to = from;
		is_range = r->p < r->end && *r->p == '-';
		if (is_range) {
			r->p++;
			if (!take_number(r, &to))
				return false;
			if (r->field == &fields[WEEK_DAY] && to == 0 && from > 0)
				to = 7; /* fri-sun */
		}
		if (to < from)
			return REFUSE(r, begin,
				      "%s: the range %.*s runs backwards (write two, with a comma between)",
				      r->field->name, piece(begin, r->p), begin);
	}
	if (!take_step(r, is_range, &step))
		return false;
	for (int i = from; i <= to; i += step)
		*bits |= UINT64_C(1) << i;
	return true;
}

static bool take_field(struct reading *r, uint64_t *bits)
{
	*bits = 0;
	do {
		if (!take_range(r, bits))
			return false;
	} while (r->p < r->end && *r->p == ',' && (r->p++, true));
	if (r->p < r->end)
		return REFUSE(r, r->p, "%s: %c cannot stand there (a list is written 1,2,5 and a range 1-5)",
			      r->field->name, *r->p >= 0x20 && *r->p < 0x7f ? *r->p : '?');
	return true;
}

static bool count_fields(struct reading *r)
{
	size_t count = 0;

	for (const char *p = r->text; *p;) {
		while (is_blank(*p))
			p++;
		count += *p != '\0';
		while (*p && !is_blank(*p))
			p++;
	}
	if (count == FIELDS)
		return true;
	return REFUSE(r, r->text,
		      "has %zu field%s, not five (minute hour day month weekday, such as \"0 3 * * *\"%s)",
		      count, count == 1 ? "" : "s",
		      count == FIELDS + 1 ? "; seconds are not known" : "; or @daily and its kin");
}

static const char *expand(struct reading *r)
{
	const char *text = r->text;

	while (is_blank(*text))
		text++;
	if (*text != '@')
		return r->text;
	size_t n = strlen(text);
	while (n > 0 && is_blank(text[n - 1]))
		n--;
	for (size_t i = 0; i < ARRAY_LEN(nicknames); i++) {
		if (strlen(nicknames[i].name) == n && strncasecmp(nicknames[i].name, text, n) == 0)
			return nicknames[i].text;
	}
	(void)REFUSE(r, text, "%.*s is not known (@hourly, @daily, @weekly, @monthly or @yearly)",
		     piece(text, text + n), text);
	return NULL;
}

/* Some day of some month must be there: 29 February is, 30 February and 31 April are not. */
static bool comes_ever(const struct cron *c, struct reading *r)
{
	if (!c->both_days)
		return true; /* a day of the week comes always */
	for (int month = 1; month <= 12; month++) {
		int days = civil_month_days(2000, month);
		if ((c->months >> month & 1) && (c->month_days & (UINT32_MAX >> (31 - days)) & ~UINT32_C(1)))
			return true;
	}
	return REFUSE(r, r->text, "never comes: these months have no such day");
}

static bool parse(struct reading *r, struct cron *c)
{
	uint64_t bits[FIELDS];
	bool star[FIELDS];
	const char *p = expand(r);

	if (!p || (p == r->text && !count_fields(r)))
		return false;
	for (int i = 0; i < FIELDS; i++) {
		while (is_blank(*p))
			p++;
		r->field = &fields[i];
		r->p = r->end = p;
		while (*r->end && !is_blank(*r->end))
			r->end++;
		star[i] = *p == '*';
		if (!take_field(r, &bits[i]))
			return false;
		p = r->end;
	}
	*c = (struct cron){
		.minutes = bits[MINUTE],
		.hours = (uint32_t)bits[HOUR],
		.month_days = (uint32_t)bits[MONTH_DAY],
		.months = (uint16_t)bits[MONTH],
		.week_days = (uint8_t)((bits[WEEK_DAY] | bits[WEEK_DAY] >> 7) & 0x7f),
		.each_hour = star[HOUR],
		.both_days = star[MONTH_DAY] || star[WEEK_DAY],
	};
	return comes_ever(c, r);
}

int cron_parse(const char *text, struct cron *ret_cron, size_t *ret_place, struct fault *ret_fault)
{
	struct reading r = { .text = text, .fault = ret_fault, .place = text };
	struct cron c;

	if (!parse(&r, &c)) {
		*ret_place = (size_t)(r.place - text);
		return -EINVAL;
	}
	*ret_cron = c;
	return 0;
}
