/* Pairs to JSON and back, byte for byte. */
#include "ctl/pairs.h"

#include <errno.h>

static void add_part(struct buf *out, struct bytes part)
{
	if (utf8_valid(part)) {
		json_add_text(out, part);
		return;
	}
	buf_add_text(out, "{\"b64\":\"");
	buf_add_base64(out, part);
	buf_add_text(out, "\"}");
}

void pairs_add_json(struct buf *out, const struct entry_pair *pairs, size_t n)
{
	buf_add_char(out, '[');
	for (size_t i = 0; i < n; i++) {
		buf_add_text(out, i ? ",[" : "[");
		add_part(out, pairs[i].name);
		buf_add_char(out, ',');
		add_part(out, pairs[i].value);
		buf_add_char(out, ']');
	}
	buf_add_char(out, ']');
}

static struct bytes text_of(json_t *json)
{
	return (struct bytes){ json_string_value(json), json_string_length(json) };
}

static int read_part(json_t *json, struct buf *decoded, struct bytes *ret_part)
{
	json_t *b64 =
		json_is_object(json) && json_object_size(json) == 1 ? json_object_get(json, "b64") : NULL;
	if (json_is_string(json)) {
		*ret_part = text_of(json);
		return 0;
	}
	if (!json_is_string(b64))
		return -EINVAL;
	int r = buf_add_base64_decoded(decoded, text_of(b64));
	*ret_part = buf_bytes(decoded);
	return r;
}

int pairs_read_json(json_t *json, struct pair_list *ret)
{
	AUTO_PAIRS l = { 0 };
	size_t n = json_array_size(json);
	if (!json_is_array(json))
		return -EINVAL;
	l.pairs = calloc(n + 1, sizeof(*l.pairs));
	l.decoded = calloc(2 * n + 1, sizeof(*l.decoded));
	if (!l.pairs || !l.decoded)
		return -ENOMEM;
	for (l.n = 0; l.n < n;) {
		json_t *pair = json_array_get(json, l.n);
		size_t i = l.n++;
		if (!json_is_array(pair) || json_array_size(pair) != 2)
			return -EINVAL;
		int r = read_part(json_array_get(pair, 0), &l.decoded[2 * i], &l.pairs[i].name);
		if (r == 0)
			r = read_part(json_array_get(pair, 1), &l.decoded[2 * i + 1], &l.pairs[i].value);
		if (r < 0)
			return r;
	}
	*ret = l;
	l.pairs = NULL; /* ret owns both now */
	l.decoded = NULL;
	return 0;
}

void pair_list_done(struct pair_list *l)
{
	for (size_t i = 0; l->decoded && i < 2 * l->n; i++)
		buf_done(&l->decoded[i]);
	free(l->decoded);
	free(l->pairs);
	*l = (struct pair_list){ 0 };
}
