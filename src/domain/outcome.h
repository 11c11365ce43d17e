/* How a run ended, and what follows from it: one table. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "domain/job.h"
#include "domain/result.h"

/* Why an entry was not done. Names are API (`reason` in events, notes, dead letters). */
enum reason {
	REASON_NONE,
	REASON_EXIT,
	REASON_SIGNAL,
	REASON_TIMEOUT,
	REASON_OOM,
	REASON_SPAWN,
	REASON_MISSING_FIELD,
	REASON_NO_JOB,
	REASON_PAYLOAD_GONE,
	REASON_WORKER_LOST,
	REASON_MALFORMED,
	REASON_REQUESTED,
	REASON_CANCELLED,
	REASON_REPLY,
	REASON_COUNT,
};
const char *reason_name(enum reason reason); /* "exit" … ; "" for NONE */

/* What the handler said on fd 3. -1 / empty = not said. */
struct said {
	int64_t retry_after_ms;
	int64_t later_ms;
	char dead[256]; /* DEAD=reason, valid UTF-8; dead_said tells whether it came at all */
	bool dead_said;
	struct result result; /* RESULT=: any bytes */
};

enum end_kind {
	END_EXITED,        /* code */
	END_SIGNALLED,     /* signal; oom */
	END_TIMED_OUT,     /* by our TERM or KILL; code or signal hold what it then did */
	END_CANNOT_EXEC,   /* deployment error: not found, not executable, cwd or user missing */
	END_NO_RESOURCES,  /* no memory, no process, no descriptors */
	END_MISSING_FIELD,
	END_MALFORMED,
	END_STOPPED,       /* we ended it: drain, reload */
	END_LEASE_LOST,    /* we ended it: lease_lost: kill */
	END_CANCELLED,     /* we ended it: xackctl cancel */
	END_CANCELLED_RETRY, /* the same with --retry: it parks, the attempt counts */
};

struct run_end {
	enum end_kind kind;
	int code;   /* -1 = did not exit */
	int signal; /* 0 = was not killed */
	bool oom;
	int64_t timeout_ms;
	char text[200]; /* for the kinds that have no number: what could not be done, in words */
};

enum verdict {
	VERDICT_ACK,     /* done */
	VERDICT_RETRY,   /* counts; parked for delay_ms */
	VERDICT_LATER,   /* "not now": parked for delay_ms, the attempt given back */
	VERDICT_DEAD,    /* dead letter */
	VERDICT_RELEASE, /* not counted: given back, due after delay_ms */
	VERDICT_SUSPEND, /* as RELEASE, and the job is suspended on this host */
	VERDICT_NONE,    /* nothing to settle: the entry is no longer ours */
};

struct outcome {
	enum verdict verdict;
	enum reason reason;
	char detail[256];   /* "exit 3", "signal 9 (KILL), out of memory (cgroup)", "timeout after 5m" */
	int code;           /* -1 = none */
	int signal;         /* 0 = none */
	int64_t delay_ms;
	bool missing_tool;  /* exit 126 or 127 of a code not named: three different entries in a row suspend the job */
};

/* Decide. attempt is this run's; random is in [0,1) for the jitter. */
void outcome_decide(const struct job *job, const struct run_end *end, const struct said *said, int64_t attempt,
		    double random, struct outcome *ret_outcome);

/* "KILL" for 9; "TERM" …; for an unknown number "RTMIN+n" or the number itself in text (at least 16 bytes). */
const char *signal_name(int number, char text[16]);
/* "KILL" or "SIGKILL" -> 9; -EINVAL. */
MUST_CHECK int signal_number(const char *name);
