/* A dead letter as it lies in its stream: xackd.meta = n, n pairs about it, the entry's own pairs, or these packed into one.
 * Anybody may have written into that stream: what is not of this form is an entry without meta pairs. */
#include "redis/letter.h"

#include <errno.h>

#include "base/num.h"

void dead_letter_done(struct dead_letter *d)
{
	free(d->job);
	free(d->reason);
	free(d->detail);
	free(d->host);
	free(d->meta);
	entry_done(&d->entry);
	*d = (struct dead_letter){ 0 };
}

/* ---- MessagePack, as much of it as cmsgpack.pack writes for a list of strings ---- */

struct cursor {
	const unsigned char *p;
	size_t n;
};

static bool take_number(struct cursor *c, size_t bytes, size_t *ret_value)
{
	size_t value = 0;
	if (c->n < bytes)
		return false;
	for (size_t i = 0; i < bytes; i++)
		value = value << 8 | c->p[i];
	c->p += bytes;
	c->n -= bytes;
	*ret_value = value;
	return true;
}

static bool take_list(struct cursor *c, size_t *ret_count)
{
	size_t type = 0;
	if (!take_number(c, 1, &type))
		return false;
	if (type >= 0x90 && type <= 0x9f) {
		*ret_count = type & 0x0f;
		return true;
	}
	return (type == 0xdc && take_number(c, 2, ret_count)) || (type == 0xdd && take_number(c, 4, ret_count));
}

static bool take_string(struct cursor *c, struct bytes *ret_text)
{
	size_t type = 0, n = 0;
	bool known = false;

	if (!take_number(c, 1, &type))
		return false;
	if (type >= 0xa0 && type <= 0xbf) {
		n = type & 0x1f;
		known = true;
	} else if (type == 0xd9 || type == 0xc4) {
		known = take_number(c, 1, &n);
	} else if (type == 0xda || type == 0xc5) {
		known = take_number(c, 2, &n);
	} else if (type == 0xdb || type == 0xc6) {
		known = take_number(c, 4, &n);
	}
	if (!known || c->n < n)
		return false;
	*ret_text = (struct bytes){ (const char *)c->p, n };
	c->p += n;
	c->n -= n;
	return true;
}

int letter_unpack(struct bytes packed, struct entry_pair **ret_pairs, size_t *ret_count)
{
	struct cursor c = { (const unsigned char *)packed.p, packed.n };
	size_t count = 0;

	if (!take_list(&c, &count) || count % 2 != 0 || count > packed.n)
		return -EINVAL;
	struct entry_pair *pairs = calloc(count / 2 + 1, sizeof(*pairs));
	if (!pairs)
		return -ENOMEM;
	for (size_t i = 0; i < count / 2; i++) {
		if (!take_string(&c, &pairs[i].name) || !take_string(&c, &pairs[i].value)) {
			free(pairs);
			return -EINVAL;
		}
	}
	if (c.n > 0) {
		free(pairs);
		return -EINVAL;
	}
	*ret_pairs = pairs;
	*ret_count = count / 2;
	return 0;
}

/* ---- the letter ---- */

static int64_t number(struct bytes text, int64_t fallback)
{
	int64_t value = 0;
	return num_i64(text, &value) == 0 ? value : fallback;
}

static int keep_text(struct bytes text, char **ret_text)
{
	free(*ret_text);
	*ret_text = strndup(text.p, text.n);
	return *ret_text ? 0 : -ENOMEM;
}

static int read_meta(struct dead_letter *d, const struct entry_pair *pair)
{
	const struct {
		const char *name;
		char **text;
		int64_t *number;
	} rows[] = {
		{ "xackd.job", &d->job, NULL },       { "xackd.reason", &d->reason, NULL },
		{ "xackd.detail", &d->detail, NULL }, { "xackd.host", &d->host, NULL },
		{ "xackd.exit", NULL, &d->code },     { "xackd.attempts", NULL, &d->attempts },
		{ "xackd.at", NULL, &d->at_ms },      { "xackd.signal", NULL, &d->signal },
	};

	if (bytes_eq(pair->name, bytes_of("xackd.stderr")))
		d->stderr_tail = pair->value;
	uint64_t ms, seq;
	if (bytes_eq(pair->name, bytes_of("xackd.id")) && pair->value.n < sizeof(d->id) && entry_id_parse(pair->value, &ms, &seq) == 0) {
		memcpy(d->id, pair->value.p, pair->value.n);
		d->id[pair->value.n] = '\0';
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!bytes_eq(pair->name, bytes_of(rows[i].name)))
			continue;
		if (rows[i].text)
			return keep_text(pair->value, rows[i].text);
		*rows[i].number = number(pair->value, *rows[i].number);
	}
	return 0;
}

static int unpack_pairs(struct entry *e)
{
	struct entry_pair *pairs = NULL;
	size_t count = 0;

	if (e->pair_count != 1 || !bytes_eq(e->pairs[0].name, bytes_of("xackd.packed")))
		return 0;
	int r = letter_unpack(e->pairs[0].value, &pairs, &count);
	if (r < 0)
		return r == -ENOMEM ? r : 0; /* a producer's own field of that name */
	free(e->pairs);
	e->pairs = pairs;
	e->pair_count = count;
	return 0;
}

int letter_read(const redisReply *row, struct backing *backing, struct dead_letter *ret_letter)
{
	struct dead_letter d = { .attempts = -1, .code = -1, .at_ms = -1 };
	struct entry *e = &d.entry;

	if (!decode_is_array(row, 2))
		return -EPROTO;
	int r = decode_entry(row->element[0], row->element[1], backing, e);
	if (r < 0)
		return r;
	memcpy(d.dead_id, e->id, sizeof(d.dead_id));
	size_t meta = 0;
	if (e->pair_count > 0 && bytes_eq(e->pairs[0].name, bytes_of("xackd.meta"))) {
		int64_t n = number(e->pairs[0].value, -1);
		if (n >= 0 && (uint64_t)n < e->pair_count)
			meta = (size_t)n + 1;
	}
	for (size_t i = 1; r == 0 && i < meta; i++)
		r = read_meta(&d, &e->pairs[i]);
	if (r == 0 && meta > 0) {
		d.meta = calloc(meta, sizeof(*d.meta));
		d.meta_count = d.meta ? meta : 0;
		r = d.meta ? 0 : -ENOMEM;
	}
	if (d.meta)
		memcpy(d.meta, e->pairs, meta * sizeof(*d.meta));
	if (meta > 0) {
		memmove(e->pairs, e->pairs + meta, (e->pair_count - meta) * sizeof(*e->pairs));
		e->pair_count -= meta;
	}
	if (r == 0)
		r = unpack_pairs(e);
	if (r < 0) {
		dead_letter_done(&d);
		return r;
	}
	memcpy(e->id, d.id, sizeof(e->id));
	e->payload_gone = e->pair_count == 0;
	*ret_letter = d;
	return 0;
}
