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

/* {"id":"1-0","status":"ok" and what follows it, as nearly all replies begin: without building a document of it. */
static bool begins_ok(struct bytes line, struct reply *r, struct bytes *ret_rest)
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
	    !eat(&line, "\"ok\"", 4))
		return false;
	memcpy(r->id, id.p, id.n);
	r->id[id.n] = '\0';
	r->status = REPLY_OK;
	*ret_rest = line;
	return true;
}

/* … and nothing else. Anything else is not for here, but for the parser; but for a result that does not fit into the line: that it is done
 * was said before. */
static bool is_plain_ok(struct bytes line, bool cut, struct reply *ret_reply)
{
	struct reply r = *ret_reply;
	struct bytes rest;

	if (!begins_ok(line, &r, &rest))
		return false;
	if (cut && eat(&rest, ",", 1) && eat(&rest, "\"result\"", 8) && eat(&rest, ":", 1))
		result_too_long(&r.result);
	else if (cut || !eat(&rest, "}", 1) || !eat(&rest, "", 0) || rest.n > 0)
		return false;
	*ret_reply = r;
	return true;
}

/* ---- the result ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Behind the string that begins at i. */
static size_t string_end(struct bytes text, size_t i)
{
	for (i++; i < text.n && text.p[i] != '"'; i++) {
		if (text.p[i] == '\\')
			i++;
	}
	return i < text.n ? i + 1 : text.n;
}

/* Where the value ends that begins at i. What is not blank in it is added to out, unless that is NULL. */
static size_t value_end(struct bytes text, size_t i, struct buf *out)
{
	size_t depth = 0;

	while (i < text.n) {
		char c = text.p[i];
		size_t end = c == '"' ? string_end(text, i) : i + 1;
		if (depth == 0 && (c == ',' || c == '}'))
			break;
		if (c == '{' || c == '[')
			depth++;
		else if (c == '}' || c == ']')
			depth--;
		if (out && !is_blank(c))
			buf_add(out, text.p + i, end - i);
		i = end;
	}
	return i;
}

/* The value of "result" as it stands in the line, a valid object: so no digit of a number is lost. False: it is not there under this name. */
static bool copy_as_written(struct bytes line, struct buf *out)
{
	const char *brace = memchr(line.p, '{', line.n);
	size_t i = brace ? (size_t)(brace - line.p) + 1 : line.n;

	while (i < line.n && line.p[i] != '}') {
		if (line.p[i] != '"') { /* blanks and commas */
			i++;
			continue;
		}
		size_t end = string_end(line, i);
		bool ours = bytes_eq((struct bytes){ line.p + i, end - i }, bytes_of("\"result\""));
		const char *colon = memchr(line.p + end, ':', line.n - end);
		if (!colon)
			return false;
		i = value_end(line, (size_t)(colon - line.p) + 1, ours ? out : NULL);
		if (ours)
			return true;
	}
	return false;
}

static void take_result(struct reply *r, struct bytes line, const json_t *value)
{
	AUTO_BUF text = { 0 };

	if (!value || r->status != REPLY_OK)
		return;
	if (json_is_string(value)) {
		result_set(&r->result, (struct bytes){ json_string_value(value), json_string_length(value) });
	} else if (copy_as_written(line, &text) && !text.failed) {
		result_set(&r->result, buf_bytes(&text));
	} else { /* a name like "\u0072esult" */
		char *dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
		result_set(&r->result, bytes_of(dump ? dump : ""));
		free(dump);
	}
}

void reply_done(struct reply *r)
{
	result_done(&r->result);
}

void reply_parse(struct bytes line, bool cut, struct reply *ret_reply)
{
	struct reply r = { .after_ms = -1 };

	if (is_plain_ok(line, cut, &r)) {
		*ret_reply = r;
		return;
	}
	AUTO_JSON *object = cut ? NULL : json_parse_reals(line);

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
	take_result(&r, line, json_object_get(object, "result"));
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
