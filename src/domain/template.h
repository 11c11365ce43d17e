/* Argument templates: "{field}", "{field:-default}", "{@id}", "{{", "}}". Compiled once, expanded per entry
 * into one argument, never split. */
#pragma once

#include <stdbool.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/fault.h"
#include "domain/entry.h"

struct template;

/* What {@…} stands for. */
struct template_values {
	const char *id;
	const char *job;
	const char *stream;
	int64_t attempt;
};

/* Compile. 0 or -EINVAL with a sentence that names the column (1-based) inside the text. */
MUST_CHECK int template_compile(const char *text, struct template **ret_template, struct fault *ret_fault);
void template_free(struct template *t);
/* Does it stand for the same, whatever the entry? */
bool template_is_fixed(const struct template *t);

enum template_answer { TEMPLATE_OK = 0, TEMPLATE_MISSING_FIELD, TEMPLATE_NUL, TEMPLATE_TOO_LONG };
/* Add the argument and its terminating NUL to out. 0, a positive answer (fault then names the field), or -ENOMEM.
 * TEMPLATE_TOO_LONG: above the kernel's limit for one argument (128 KiB with its NUL). */
MUST_CHECK int template_expand(const struct template *t, const struct entry *e, const struct template_values *values,
			       struct buf *out, struct fault *ret_fault);
