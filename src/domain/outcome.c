/* What an end means (one table): the end's kind gives reason and words, the rules of the job and what the handler said on
 * fd 3 give the verdict, and used-up attempts turn a retry into a dead letter. */
#include "domain/outcome.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "domain/backoff.h"

enum {
	NO_RESOURCES_MS = 1000,
	EX_CANNOT_RUN = 126, /* the shells' codes for "found, but cannot be executed" … */
	EX_NOT_FOUND = 127,  /* … and "not found" */
};

static const char *const reason_names[] = {
	[REASON_NONE] = "",
	[REASON_EXIT] = "exit",
	[REASON_SIGNAL] = "signal",
	[REASON_TIMEOUT] = "timeout",
	[REASON_OOM] = "oom",
	[REASON_SPAWN] = "spawn",
	[REASON_MISSING_FIELD] = "missing_field",
	[REASON_NO_JOB] = "no_job",
	[REASON_PAYLOAD_GONE] = "payload_gone",
	[REASON_WORKER_LOST] = "worker_lost",
	[REASON_MALFORMED] = "malformed",
	[REASON_REQUESTED] = "requested",
	[REASON_CANCELLED] = "cancelled",
	[REASON_REPLY] = "reply",
};
_Static_assert(ARRAY_LEN(reason_names) == REASON_COUNT, "every reason has a name");

const char *reason_name(enum reason reason)
{
	return reason < REASON_COUNT ? reason_names[reason] : "";
}

/* ---- signals ---- */

const char *signal_name(int number, char text[16])
{
	const char *name = sigabbrev_np(number);

	if (name)
		snprintf(text, 16, "%s", name);
	else if (number >= SIGRTMIN && number <= SIGRTMAX)
		snprintf(text, 16, "RTMIN+%d", number - SIGRTMIN);
	else
		snprintf(text, 16, "%d", number);
	return text;
}

static int realtime_number(const char *digits)
{
	int64_t n = 0;
	if (num_i64(bytes_of(digits), &n) < 0 || n < 0 || n > SIGRTMAX - SIGRTMIN)
		return -EINVAL;
	return SIGRTMIN + (int)n;
}

int signal_number(const char *name)
{
	if (strncmp(name, "SIG", 3) == 0)
		name += 3;
	if (strncmp(name, "RTMIN+", 6) == 0)
		return realtime_number(name + 6);
	for (int i = 1; i < 32; i++) {
		const char *known = sigabbrev_np(i);
		if (known && strcmp(known, name) == 0)
			return i;
	}
	return -EINVAL;
}

/* ---- reason and words ---- */

static void describe_number(const struct run_end *end, struct outcome *o)
{
	const char *why = end->oom ? ", out of memory (cgroup)" : "";
	char name[16];

	if (end->signal > 0) {
		o->reason = REASON_SIGNAL;
		snprintf(o->detail, sizeof(o->detail), "signal %d (%s)%s", end->signal, signal_name(end->signal, name), why);
	} else {
		o->reason = REASON_EXIT; /* a shell turns the kill of its command into an exit code */
		snprintf(o->detail, sizeof(o->detail), "exit %d%s", end->code, why);
	}
	if (end->oom)
		o->reason = REASON_OOM;
}

static void describe_text(const struct run_end *end, struct outcome *o, enum reason reason)
{
	o->reason = reason;
	snprintf(o->detail, sizeof(o->detail), "%s", end->text);
}

static bool was_started(enum end_kind kind)
{
	return kind != END_CANNOT_EXEC && kind != END_NO_RESOURCES && kind != END_MISSING_FIELD && kind != END_MALFORMED;
}

static void describe(const struct run_end *end, struct outcome *o)
{
	char span[NUM_DURATION_SIZE];

	switch (end->kind) {
	case END_EXITED:
	case END_SIGNALLED:
		describe_number(end, o);
		break;
	case END_TIMED_OUT:
		o->reason = REASON_TIMEOUT;
		snprintf(o->detail, sizeof(o->detail), "timeout after %s", num_duration_text(end->timeout_ms, span));
		break;
	case END_CANNOT_EXEC:
	case END_NO_RESOURCES:
		describe_text(end, o, REASON_SPAWN);
		break;
	case END_MISSING_FIELD:
		describe_text(end, o, REASON_MISSING_FIELD);
		break;
	case END_MALFORMED:
		describe_text(end, o, REASON_MALFORMED);
		break;
	case END_STOPPED:
		snprintf(o->detail, sizeof(o->detail), "stopped: the daemon or its worker ends");
		break;
	case END_LEASE_LOST:
		snprintf(o->detail, sizeof(o->detail), "stopped: the lease was lost");
		break;
	case END_CANCELLED:
	case END_CANCELLED_RETRY:
		o->reason = REASON_CANCELLED;
		snprintf(o->detail, sizeof(o->detail), "cancelled by an operator");
		break;
	}
	if (!was_started(end->kind))
		return;
	o->code = end->signal > 0 ? -1 : end->code;
	o->signal = end->signal;
}

/* ---- verdict ---- */

static enum exit_class class_of(const struct job *job, const struct run_end *end)
{
	if (end->signal > 0)
		return end->signal < (int)sizeof(job->exits.signal) ? (enum exit_class)job->exits.signal[end->signal] : EXIT_CLASS_NONE;
	return end->code >= 0 && end->code < 256 ? (enum exit_class)job->exits.code[end->code] : EXIT_CLASS_NONE;
}

/* A floor, since it uses up no attempt: LATER=0 would run the entry over and over without a rest and without an end. */
enum { LATER_AT_LEAST_MS = 20 };

static void later(struct outcome *o, int64_t delay_ms)
{
	if (delay_ms < LATER_AT_LEAST_MS)
		delay_ms = LATER_AT_LEAST_MS;
	o->verdict = VERDICT_LATER;
	o->delay_ms = delay_ms;
}

static void requested_dead(const struct said *said, struct outcome *o)
{
	o->verdict = VERDICT_DEAD;
	if (!said->dead_said)
		return;
	o->reason = REASON_REQUESTED;
	if (said->dead[0])
		snprintf(o->detail, sizeof(o->detail), "%.*s", (int)sizeof(said->dead) - 1, said->dead);
}

/* A handler that ran and did not exit 0. DEAD= and a dead code win over LATER and RETRY_AFTER; a code's class over the default. */
static void judge_failure(const struct job *job, const struct run_end *end, const struct said *said, struct outcome *o)
{
	enum exit_class class = class_of(job, end);

	o->verdict = VERDICT_RETRY;
	if (class == EXIT_CLASS_ACK)
		o->verdict = VERDICT_ACK;
	else if (said->dead_said || class == EXIT_CLASS_DEAD)
		requested_dead(said, o);
	else if (said->later_ms >= 0 && end->signal == 0 && end->kind == END_EXITED)
		later(o, said->later_ms);
	else if (class == EXIT_CLASS_LATER)
		later(o, job->retry.initial_ms);
	bool tool = end->code == EX_CANNOT_RUN || end->code == EX_NOT_FOUND;
	o->missing_tool = end->kind == END_EXITED && end->signal == 0 && tool && class == EXIT_CLASS_NONE && o->verdict == VERDICT_RETRY;
}

static void judge(const struct job *job, const struct run_end *end, const struct said *said, struct outcome *o)
{
	switch (end->kind) {
	case END_EXITED:
	case END_SIGNALLED:
		judge_failure(job, end, said, o);
		break;
	case END_TIMED_OUT:
		o->verdict = said->dead_said ? VERDICT_DEAD : VERDICT_RETRY;
		if (said->dead_said)
			requested_dead(said, o);
		break;
	case END_CANNOT_EXEC:
		o->verdict = VERDICT_SUSPEND;
		break;
	case END_NO_RESOURCES:
		o->verdict = VERDICT_RELEASE;
		o->delay_ms = NO_RESOURCES_MS;
		break;
	case END_MISSING_FIELD:
	case END_MALFORMED:
	case END_CANCELLED:
		o->verdict = VERDICT_DEAD;
		break;
	case END_STOPPED:
		o->verdict = VERDICT_RELEASE;
		break;
	case END_LEASE_LOST:
		o->verdict = VERDICT_NONE;
		break;
	case END_CANCELLED_RETRY:
		o->verdict = VERDICT_RETRY;
		break;
	}
}

void outcome_decide(const struct job *job, const struct run_end *end, const struct said *said, int64_t attempt, double random,
		    struct outcome *ret_outcome)
{
	static const struct said nothing = { .retry_after_ms = -1, .later_ms = -1 };
	struct outcome o = { .code = -1 };
	bool ran = end->kind == END_EXITED || end->kind == END_TIMED_OUT;

	if (!said)
		said = &nothing;
	describe(end, &o);
	if (ran && end->code == 0 && end->signal == 0) {
		o.verdict = VERDICT_ACK; /* whatever was said, and even as an answer to the timeout's TERM: the work is done */
		o.reason = REASON_NONE;
		*ret_outcome = o;
		return;
	}
	judge(job, end, said, &o);
	if (o.verdict == VERDICT_RETRY) {
		if (job->retry.max_attempts > 0 && attempt >= job->retry.max_attempts)
			o.verdict = VERDICT_DEAD; /* of the same reason */
		else
			o.delay_ms = said->retry_after_ms >= 0 ? said->retry_after_ms : backoff_retry_ms(&job->retry, attempt, random);
	}
	if (o.verdict == VERDICT_ACK)
		o.reason = REASON_NONE;
	*ret_outcome = o;
}
