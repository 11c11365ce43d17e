/* What went wrong, as a code and a sentence: fixed size, so that the error path never allocates. */
#pragma once

#include "base/attr.h"

struct fault {
	int error; /* -errno, 0 = none */
	char text[256];
};

/* Fill it in and return error, so that `return fault_set(f, -EINVAL, "…")` reads well. f may be NULL. */
int fault_set(struct fault *f, int error, const char *format, ...) PRINTF_LIKE(3, 4);
