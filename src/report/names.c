/* See names.h. */
#include "report/names.h"

#include <errno.h>
#include <stdint.h>

static uint64_t hash(struct bytes name)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a; the table is bounded, so is what a bad choice of names
					       costs */
	for (size_t i = 0; i < name.n; i++)
		h = (h ^ (unsigned char)name.p[i]) * 1099511628211u;
	return h ^ h >> 32;
}

int names_init(struct names *n, size_t most)
{
	*n = (struct names){ .most = most, .slots = 16 };
	while (n->slots < 2 * most)
		n->slots *= 2;
	n->name = calloc(most, sizeof(*n->name));
	n->length = calloc(most, sizeof(*n->length));
	n->slot = calloc(n->slots, sizeof(*n->slot));
	if (n->name && n->length && n->slot)
		return 0;
	names_done(n);
	return -ENOMEM;
}

void names_done(struct names *n)
{
	for (size_t i = 0; n->name && i < n->count; i++)
		free(n->name[i]);
	free(n->name);
	free(n->length);
	free(n->slot);
	*n = (struct names){ 0 };
}

static size_t add(struct names *n, struct bytes name, unsigned *slot)
{
	char *copy = n->count < n->most ? malloc(name.n + 1) : NULL;
	if (!copy)
		return n->most;
	memcpy(copy, name.n ? name.p : "", name.n);
	copy[name.n] = '\0';
	n->name[n->count] = copy;
	n->length[n->count] = name.n;
	*slot = (unsigned)++n->count;
	return n->count - 1;
}

size_t names_index(struct names *n, struct bytes name)
{
	if (name.n > NAMES_LONGEST)
		name.n = NAMES_LONGEST;
	for (size_t at = hash(name) & (n->slots - 1);; at = (at + 1) & (n->slots - 1)) {
		unsigned number = n->slot[at];
		if (number == 0)
			return add(n, name, &n->slot[at]);
		if (bytes_eq(names_text(n, number - 1), name))
			return number - 1;
	}
}

struct bytes names_text(const struct names *n, size_t index)
{
	return index < n->count ? (struct bytes){ n->name[index], n->length[index] } : bytes_of("other");
}
