/* Attributes and the few macros that every file may use. */
#pragma once

#include <stdlib.h>
#include <unistd.h>

#define FALLTHROUGH __attribute__((fallthrough))
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_index, first_index) \
	__attribute__((format(printf, format_index, first_index)))
#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* Move a pointer out of a variable that would free it. */
#define TAKE(pointer)                                \
	({                                           \
		__typeof__(pointer) taken_ = (pointer); \
		(pointer) = NULL;                    \
		taken_;                              \
	})

/* Move a descriptor out of an AUTO_FD. */
#define TAKE_FD(fd)               \
	({                        \
		int taken_ = (fd); \
		(fd) = -1;        \
		taken_;           \
	})

static inline void attr_free_(void *pointer_to_pointer)
{
	free(*(void **)pointer_to_pointer);
}

static inline void attr_close_(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

#define AUTO_FREE __attribute__((cleanup(attr_free_)))
#define AUTO_FD __attribute__((cleanup(attr_close_))) int
