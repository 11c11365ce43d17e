/* The clean environment of a handler. */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "domain/entry.h"
#include "domain/job.h"

/* All that a handler is told beside the pairs. Borrowed. */
struct run_facts {
	const struct job *job;
	const struct entry *entry; /* with an empty ID and no pairs: the process is not for one entry (modes batch, persistent) */
	int64_t attempt;
	int64_t enqueued_ms; /* -1 = the ID is no time: XACKD_ENQUEUED_MS is then not set, JSON null */
};

/* What does not change from entry to entry: PATH, HOME, LANG, TZ, USER, LOGNAME, SHELL of the handler's user, then env:. */
struct environment_base {
	struct buf block;  /* NAME=VALUE\0 … */
	size_t count;
};
/* inherit: the daemon's own environ (PATH, LANG, TZ are taken from it when set there, else sane defaults). */
MUST_CHECK int environment_base_init(struct environment_base *base, const struct job *job, char *const *inherit);
void environment_base_done(struct environment_base *base);

/* The value of PATH in it. */
const char *environment_path(const struct environment_base *base);

/* A reusable envp: block of strings and the vector of pointers into it. Zero-initialise. */
struct environment {
	struct buf block;
	struct buf vector; /* char *[], NULL-terminated after environment_build */
};
/* Build all of it. Borrows; the result is valid until the next build. 0 or -ENOMEM. Limits: one NAME=VALUE above 128 KiB (with its NUL), a NUL inside, or
 * more than 1 MiB of FIELD_* in sum are left out and named in XACKD_OMITTED; XACKD_NOTIFY_FD=3 is set here too. */
MUST_CHECK int environment_build(struct environment *env, const struct environment_base *base, const struct run_facts *facts);
char **environment_vector(const struct environment *env);
void environment_done(struct environment *env);
