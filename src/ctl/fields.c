/* Values are bytes: from the command line, a file, or standard input. */
#include "ctl/fields.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/fd.h"
#include "ctl/ctl.h"

/* What Redis takes in one value, unless it was told otherwise. */
enum { MOST_VALUE_BYTES = 512 * 1024 * 1024 };

void draft_done(struct draft *d)
{
	for (size_t i = 0; d->values && i < d->value_count; i++)
		buf_done(&d->values[i]);
	free(d->values);
	free(d->pairs);
}

static int read_value(const char *source, struct buf *value)
{
	AUTO_FD fd = -1;
	bool standard_input = strcmp(source, "-") == 0;
	if (!standard_input) {
		fd = open(source, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			return -errno;
	}
	return fd_read_all(standard_input ? STDIN_FILENO : fd, MOST_VALUE_BYTES, value);
}

/* NAME=VALUE, NAME=@FILE, NAME=@- */
static int add_argument(struct draft *d, size_t i, const char *text, bool *stdin_used)
{
	const char *equals = strchr(text, '=');
	if (!equals || equals == text)
		return ctl_say(CTL_USAGE, "\"%s\" is not FIELD=VALUE", text);
	struct entry_pair *pair = &d->pairs[d->n++];
	pair->name = (struct bytes){ text, (size_t)(equals - text) };
	const char *value = equals + 1;
	if (*value != '@') {
		pair->value = bytes_of(value);
		return 0;
	}
	const char *source = value + 1;
	if (strcmp(source, "-") == 0) {
		if (*stdin_used)
			return ctl_say(CTL_USAGE, "standard input can be the value of one field only");
		*stdin_used = true;
	}
	int r = read_value(source, &d->values[i]);
	if (r < 0)
		return ctl_say(CTL_NO, "%.*s: %s: %s", (int)pair->name.n, pair->name.p,
			       strcmp(source, "-") == 0 ? "standard input" : source, strerror(-r));
	pair->value = buf_bytes(&d->values[i]);
	return 0;
}

int draft_read(struct draft *d, char *const *arguments, size_t count, size_t more)
{
	bool stdin_used = false;
	d->pairs = calloc(count + more + 1, sizeof(*d->pairs));
	d->values = calloc(count + 1, sizeof(*d->values));
	d->value_count = count;
	if (!d->pairs || !d->values)
		return ctl_say(CTL_NO, "out of memory");
	for (size_t i = 0; i < count; i++) {
		int r = add_argument(d, i, arguments[i], &stdin_used);
		if (r != 0)
			return r;
	}
	return 0;
}
