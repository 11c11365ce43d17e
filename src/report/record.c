/* See record.h. */
#include "report/record.h"

#include "base/clock.h"
#include "base/num.h"

static struct bytes text_of(json_t *value)
{
	return json_is_string(value) ? (struct bytes){ json_string_value(value), json_string_length(value) }
				     : (struct bytes){ "", 0 };
}

static int64_t number_of(json_t *value)
{
	int64_t number = RECORD_ABSENT;
	if (json_is_integer(value))
		number = json_integer_value(value);
	else if (!json_is_string(value) || num_i64(text_of(value), &number) < 0)
		return RECORD_ABSENT;
	return number < 0 ? RECORD_ABSENT : number;
}

struct bytes record_text(const struct record *r, const char *name)
{
	return text_of(json_object_get(r->fields, name));
}

int64_t record_number(const struct record *r, const char *name)
{
	return number_of(json_object_get(r->fields, name));
}

int64_t record_inner_number(const struct record *r, const char *name, const char *member)
{
	json_t *value = json_object_get(r->fields, name);
	if (!json_is_string(value))
		return number_of(json_object_get(value, member));
	AUTO_JSON *inner = json_parse(text_of(value));
	return number_of(json_object_get(inner, member));
}

bool record_read(struct record *ret_record, json_t *event)
{
	struct record r = { .fields = event };
	int64_t at_us;
	r.event = record_text(&r, "event");
	if (r.event.n == 0 || clock_parse(record_text(&r, "ts"), &at_us) < 0)
		return false;
	r.at_ms = at_us / 1000;
	r.host = record_text(&r, "host");
	r.job = record_text(&r, "job");
	r.stream = record_text(&r, "stream");
	r.group = record_text(&r, "group");
	r.id = record_text(&r, "id");
	r.worker = record_text(&r, "worker");
	r.attempt = record_number(&r, "attempt");
	*ret_record = r;
	return true;
}
