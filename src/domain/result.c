/* Results. An empty one is a result too. */
#include "domain/result.h"

#include <stdlib.h>

void result_set(struct result *r, struct bytes text)
{
	if (text.n > RESULT_MAX_BYTES) {
		result_too_long(r);
		return;
	}
	result_done(r);
	r->text = malloc(text.n + 1);
	if (!r->text) {
		r->state = RESULT_NO_MEMORY;
		return;
	}
	if (text.n > 0)
		memcpy(r->text, text.p, text.n);
	r->text[text.n] = '\0';
	r->n = text.n;
	r->state = RESULT_GIVEN;
}

void result_too_long(struct result *r)
{
	result_done(r);
	r->state = RESULT_TOO_LONG;
}

struct result result_take(struct result *r)
{
	struct result taken = *r;

	*r = (struct result){ 0 };
	return taken;
}

void result_done(struct result *r)
{
	free(r->text);
	*r = (struct result){ 0 };
}

const char *result_why_not(const struct result *r)
{
	switch (r->state) {
	case RESULT_NONE:
	case RESULT_GIVEN:
		return NULL;
	case RESULT_TOO_LONG:
		return "it is longer than 64 KiB";
	case RESULT_NO_MEMORY:
		return "no memory for it";
	}
	return NULL;
}
