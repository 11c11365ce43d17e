/* Replies. Whatever is not exactly understood fails the entry it names: an answer that was meant as "done" and is taken for less runs again, the
 * other way round it would be lost. */
#include "domain/reply.h"

#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "domain/backoff.h"

enum { AFTER_MAX_S = 10 * 366 * 24 * 3600 };

static void nonsense(struct reply *r, const char *what)
{
	r->status = REPLY_NONSENSE;
	snprintf(r->reason, sizeof(r->reason), "%s", what);
}

/* As many whole characters as fit. */
static void take_reason(struct reply *r, const json_t *text)
{
	size_t n = json_string_length(text);
	const char *p = json_string_value(text);

	if (!p)
		return;
	n = n < sizeof(r->reason) ? n : sizeof(r->reason) - 1;
	while (n > 0 && (p[n] & 0xc0) == 0x80)
		n--;
	memcpy(r->reason, p, n);
	r->reason[n] = '\0';
}

static void take_id(struct reply *r, const json_t *id)
{
	uint64_t ms, seq;
	size_t n = json_string_length(id);

	if (!json_is_string(id) || n >= sizeof(r->id) || entry_id_parse((struct bytes){ json_string_value(id), n }, &ms, &seq) < 0)
		return;
	memcpy(r->id, json_string_value(id), n);
	r->id[n] = '\0';
}

static void take_status(struct reply *r, const json_t *status)
{
	static const char *const names[] = { [REPLY_OK] = "ok", [REPLY_RETRY] = "retry", [REPLY_LATER] = "later", [REPLY_DEAD] = "dead" };
	const char *text = json_string_value(status);

	for (size_t i = 0; text && i < ARRAY_LEN(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			r->status = (enum reply_status)i;
			return;
		}
	}
	nonsense(r, "its status is none of ok, retry, later and dead");
}

/* The next characters of the line, behind blanks; false: they are others. */
static bool eat(struct bytes *line, const char *text, size_t n)
{
	while (line->n > 0 && (*line->p == ' ' || *line->p == '\t' || *line->p == '\r'))
		line->p++, line->n--;
	if (line->n < n || memcmp(line->p, text, n) != 0)
		return false;
	line->p += n;
	line->n -= n;
	return true;
}

/* {"id":"1-0","status":"ok"} and nothing else, as nearly all replies are: without building a document of it.
 * Anything else is not for here, but for the parser. */
static bool is_plain_ok(struct bytes line, struct reply *r)
{
	if (!eat(&line, "{", 1) || !eat(&line, "\"id\"", 4) || !eat(&line, ":", 1) || !eat(&line, "\"", 1))
		return false;
	const char *quote = memchr(line.p, '"', line.n);
	struct bytes id = { line.p, quote ? (size_t)(quote - line.p) : 0 };
	uint64_t ms, seq;
	if (id.n == 0 || id.n >= sizeof(r->id) || entry_id_parse(id, &ms, &seq) < 0)
		return false;
	line.p += id.n + 1;
	line.n -= id.n + 1;
	if (!eat(&line, ",", 1) || !eat(&line, "\"status\"", 8) || !eat(&line, ":", 1) ||
	    !eat(&line, "\"ok\"", 4) || !eat(&line, "}", 1) || !eat(&line, "", 0) || line.n > 0)
		return false;
	memcpy(r->id, id.p, id.n);
	r->status = REPLY_OK;
	return true;
}

void reply_parse(struct bytes line, bool cut, struct reply *ret_reply)
{
	struct reply r = { .after_ms = -1 };

	if (!cut && is_plain_ok(line, &r)) {
		*ret_reply = r;
		return;
	}
	AUTO_JSON *object = cut ? NULL : json_parse(line);

	if (!json_is_object(object)) {
		nonsense(&r, cut ? "the line is too long" : "the line is no JSON object");
		*ret_reply = r;
		return;
	}
	take_id(&r, json_object_get(object, "id"));
	take_reason(&r, json_object_get(object, "reason"));
	take_status(&r, json_object_get(object, "status"));
	if (!r.id[0])
		nonsense(&r, "it names no entry");
	const json_t *after = json_object_get(object, "after");
	if (json_is_number(after)) {
		double s = json_number_value(after);
		if (isfinite(s) && s >= 0)
			r.after_ms = s > AFTER_MAX_S ? (int64_t)AFTER_MAX_S * 1000 : (int64_t)(s * 1000);
	}
	*ret_reply = r;
}

static void retry(const struct job *job, int64_t after_ms, int64_t attempt, double random, struct outcome *o)
{
	if (job->retry.max_attempts > 0 && attempt >= job->retry.max_attempts) {
		o->verdict = VERDICT_DEAD;
		return;
	}
	o->verdict = VERDICT_RETRY;
	o->delay_ms = after_ms >= 0 ? after_ms : backoff_retry_ms(&job->retry, attempt, random);
}

void outcome_no_reply(const struct job *job, const char *detail, int64_t attempt, double random, struct outcome *ret_outcome)
{
	struct outcome o = { .code = -1, .reason = REASON_REPLY };

	snprintf(o.detail, sizeof(o.detail), "%s", detail);
	retry(job, -1, attempt, random, &o);
	*ret_outcome = o;
}

void outcome_of_reply(const struct job *job, const struct reply *reply, int64_t attempt, double random, struct outcome *ret_outcome)
{
	struct outcome o = { .code = -1, .reason = REASON_REPLY };

	if (reply->status != REPLY_OK)
		snprintf(o.detail, sizeof(o.detail), "%s",
			 reply->reason[0] ? reply->reason : "the handler asked for it");
	switch (reply->status) {
	case REPLY_OK:
		o = (struct outcome){ .code = -1, .verdict = VERDICT_ACK };
		break;
	case REPLY_RETRY:
	case REPLY_NONSENSE:
		retry(job, reply->status == REPLY_RETRY ? reply->after_ms : -1, attempt, random, &o);
		break;
	case REPLY_LATER:
		o.verdict = VERDICT_LATER;
		o.delay_ms = reply->after_ms >= 0 ? reply->after_ms : job->retry.initial_ms;
		break;
	case REPLY_DEAD:
		o.verdict = VERDICT_DEAD;
		o.reason = REASON_REQUESTED;
		break;
	}
	*ret_outcome = o;
}
