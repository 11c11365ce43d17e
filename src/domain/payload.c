/* The JSON object on a handler's stdin. Fields are valid UTF-8 or base64; when the object cannot hold all that the entry says (a name that
 * repeats or is no UTF-8), "pairs_b64" has every pair in order. */
#include "domain/payload.h"

#include <errno.h>

#include "base/json.h"

enum { FEW_PAIRS = 64 };

static void add_base64_text(struct buf *out, struct bytes value)
{
	buf_add_char(out, '"');
	buf_add_base64(out, value);
	buf_add_char(out, '"');
}

static void add_map(struct buf *out, const struct entry_pair *pairs, const bool *chosen, size_t count, bool base64)
{
	bool some = false;
	for (size_t i = 0; i < count; i++) {
		if (!chosen[i])
			continue;
		if (some)
			buf_add_char(out, ',');
		some = true;
		json_add_text(out, pairs[i].name);
		buf_add_char(out, ':');
		if (base64)
			add_base64_text(out, pairs[i].value);
		else
			json_add_text(out, pairs[i].value);
	}
}

static void add_pairs(struct buf *out, const struct entry_pair *pairs, size_t count)
{
	buf_add_text(out, ",\"pairs_b64\":[");
	for (size_t i = 0; i < count; i++) {
		buf_add_text(out, i ? ",[" : "[");
		add_base64_text(out, pairs[i].name);
		buf_add_char(out, ',');
		add_base64_text(out, pairs[i].value);
		buf_add_char(out, ']');
	}
	buf_add_char(out, ']');
}

void payload_add_fields(struct buf *out, const struct entry_pair *pairs, size_t pair_count)
{
	bool some[3 * FEW_PAIRS] = { false };
	AUTO_FREE bool *many = pair_count > FEW_PAIRS ? calloc(pair_count, 3 * sizeof(bool)) : NULL;
	bool *flags = pair_count > FEW_PAIRS ? many : some;
	bool any_binary = false, incomplete = false;

	if (!flags || entry_mark_firsts(pairs, pair_count, /* map_byte= */ NULL, flags) < 0) {
		out->failed = true;
		return;
	}
	bool *first = flags, *text = flags + pair_count, *binary = text + pair_count;
	for (size_t i = 0; i < pair_count; i++) {
		bool name_good = utf8_valid(pairs[i].name);
		bool good = utf8_valid(pairs[i].value);
		text[i] = first[i] && name_good && good;
		binary[i] = first[i] && name_good && !good;
		any_binary = any_binary || binary[i];
		incomplete = incomplete || !first[i] || !name_good;
	}
	buf_add_text(out, "\"fields\":{");
	add_map(out, pairs, text, pair_count, false);
	buf_add_char(out, '}');
	if (any_binary) {
		buf_add_text(out, ",\"fields_b64\":{");
		add_map(out, pairs, binary, pair_count, true);
		buf_add_char(out, '}');
	}
	if (incomplete)
		add_pairs(out, pairs, pair_count);
}

static void add_text_member(struct buf *out, const char *name, const char *value)
{
	json_add_name(out, name);
	json_add_text(out, bytes_of(value));
}

static void add_number_member(struct buf *out, const char *name, int64_t value)
{
	json_add_name(out, name);
	json_add_i64(out, value);
}

int payload_json(struct buf *out, const struct run_facts *facts)
{
	const struct entry *e = facts->entry;

	buf_add_char(out, '{');
	add_text_member(out, "id", e->id);
	add_text_member(out, "stream", facts->job->stream);
	add_text_member(out, "group", facts->job->group);
	add_text_member(out, "job", facts->job->name);
	add_number_member(out, "attempt", facts->attempt);
	add_number_member(out, "delivery", e->delivery);
	add_number_member(out, "max_attempts", facts->job->retry.max_attempts);
	json_add_name(out, "enqueued_ms");
	if (facts->enqueued_ms >= 0)
		json_add_i64(out, facts->enqueued_ms);
	else
		buf_add_text(out, "null");
	buf_add_char(out, ',');
	payload_add_fields(out, e->pairs, e->pair_count);
	buf_add_text(out, "}\n");
	return out->failed ? -ENOMEM : 0;
}
