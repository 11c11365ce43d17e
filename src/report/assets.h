/* The files that the page is made of, embedded at build time (build-aux/embed-assets.awk). */
#pragma once

#include <stddef.h>

struct asset {
	const char *name; /* of the file, without its folder */
	const char *text;
	size_t size;
};
/* Ends with a row without a name. */
extern const struct asset assets[];
