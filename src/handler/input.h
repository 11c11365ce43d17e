/* A handler's stdin: written whole before the start, so that nothing has to be pumped and a handler may read it or not. */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "domain/environment.h"

struct input {
	struct buf text; /* the JSON line, its memory kept from run to run */
	unsigned flags;  /* of memfd_create; 0 = not tried yet */
};

enum input_answer { INPUT_OK = 0, INPUT_MISSING_FIELD };

/* Make it. ret_fd: open for reading at the start, close-on-exec; the caller closes it. 0, a positive answer, or -errno. */
MUST_CHECK int input_make(struct input *in, const struct run_facts *facts, int *ret_fd);
/* A pipe to write to as long as the process lives. ret_write: non-blocking. 0 or -errno. */
MUST_CHECK int input_open(int *ret_read, int *ret_write);
void input_done(struct input *in);
