/* Which file a job's handler is, as the handler's start will look for it. */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "domain/job.h"

/* 0 with the path added to ret_path, or why it cannot be executed, as a positive errno (EISDIR: it is no
 * regular file). */
MUST_CHECK int program_find(const struct job *job, struct buf *ret_path);
/* What `exec:` or `shell:` starts, as it was written. */
const char *program_name(const struct job *job);
