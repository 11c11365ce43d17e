/* What the unit tests share: cmocka with what it wants to be included first, and entries and fields out of literals. */
#pragma once

#undef NDEBUG
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "domain/entry.h"

/* The bytes of a literal, NULs inside included. */
#define BYTES(literal) ((struct bytes){ (literal), sizeof(literal) - 1 })
#define PAIR(name, value) { BYTES(name), BYTES(value) }
#define PAIRS(array) .pairs = (array), .pair_count = ARRAY_LEN(array)

#define RUN_GROUP(tests) cmocka_run_group_tests_name(__FILE__, (tests), NULL, NULL)

static inline void assert_bytes(struct bytes got, struct bytes wanted)
{
	if (!bytes_eq(got, wanted))
		print_error("got    \"%.*s\" (%zu)\nwanted \"%.*s\" (%zu)\n", (int)got.n, got.p, got.n, (int)wanted.n, wanted.p, wanted.n);
	assert_true(bytes_eq(got, wanted));
}
