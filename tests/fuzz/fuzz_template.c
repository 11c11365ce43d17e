/* Templates of arguments: the first line is one, the others are fields (NAME=VALUE) of the entry that it is expanded with. What is made is one
 * argument: it ends with the only NUL in it. */
#include "fuzz.h"

#include <errno.h>

#include "domain/template.h"

enum { PAIRS_MAX = 16 };

static size_t fields(struct bytes *rest, struct entry_pair *pairs)
{
	size_t n = 0;

	while (rest->n > 0 && n < PAIRS_MAX) {
		struct bytes line = next_piece(rest, '\n');
		pairs[n].name = next_piece(&line, '=');
		pairs[n++].value = line;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = { (const char *)data, size };
	struct bytes line = next_piece(&rest, '\n');
	struct entry_pair pairs[PAIRS_MAX];
	struct entry e = { .id = "1700000000000-1", .pairs = pairs, .delivery = 1 };
	const struct template_values values = { .id = e.id, .job = "job", .stream = "stream", .attempt = 1 };
	struct template *t = NULL;
	struct fault fault = { 0 };
	AUTO_BUF out = { 0 };

	char *text = calloc(1, line.n + 1); /* a NUL in the line ends the template */
	if (!text)
		return 0;
	if (line.n > 0)
		memcpy(text, line.p, line.n);
	int r = template_compile(text, &t, &fault);
	PROMISED(r == 0 || r == -EINVAL || r == -ENOMEM);
	PROMISED(r != -EINVAL || fault.text[0]);
	if (r == 0) {
		e.pair_count = fields(&rest, pairs);
		int answer = template_expand(t, &e, &values, &out, &fault);
		PROMISED(answer != TEMPLATE_OK || (out.n > 0 && strlen(out.p) + 1 == out.n));
		PROMISED(answer <= 0 || fault.text[0]);
	}
	template_free(t);
	free(text);
	return 0;
}
