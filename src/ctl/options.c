/* One row an option: its names, its argument, its help, and what takes its value. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/num.h"
#include "ctl/args.h"
#include "ctl/events.h"

static const char *set_config(struct args *a, const char *value)
{
	a->config_file = value;
	return *value ? NULL : "wants a file";
}

static const char *set_json(struct args *a, const char *value)
{
	(void)value;
	a->format = OUTPUT_JSON;
	return NULL;
}

static const char *set_output(struct args *a, const char *value)
{
	static const char *const names[] = {
		[OUTPUT_TABLE] = "table", [OUTPUT_JSON] = "json", [OUTPUT_JSONL] = "jsonl"
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], value) == 0) {
			a->format = (enum output_format)i;
			return NULL;
		}
	}
	if (!strpbrk(value, "./"))
		return "is table, json or jsonl";
	a->output_file = value;
	return NULL;
}

static const char *set_job(struct args *a, const char *value)
{
	a->job = value;
	return NULL;
}

static const char *set_queue(struct args *a, const char *value)
{
	a->queue = value;
	return NULL;
}

static const char *set_reason(struct args *a, const char *value)
{
	a->reason = value;
	return NULL;
}

static const char *set_match(struct args *a, const char *value)
{
	if (!strchr(value, '=') || *value == '=')
		return "is NAME=REGEX";
	const char **grown = reallocarray(a->matches, a->match_count + 1, sizeof(*grown));
	if (!grown)
		return "is too much for the memory";
	a->matches = grown;
	a->matches[a->match_count++] = value;
	return NULL;
}

static const char *duration(const char *value, int64_t *ret_ms)
{
	return num_duration_ms(bytes_of(value), ret_ms) < 0 ? "is a duration: 500ms 30s 5m 2h 7d" : NULL;
}

static const char *set_older_than(struct args *a, const char *value)
{
	return duration(value, &a->older_than_ms);
}

static const char *set_limit(struct args *a, const char *value)
{
	return num_i64(bytes_of(value), &a->limit) < 0 || a->limit < 1 ? "is a number from 1 on" : NULL;
}

static const char *set_print(struct args *a, const char *value)
{
	(void)a;
	return strcmp(value, "verbs") == 0 ? NULL : "is verbs";
}

static const char *set_event(struct args *a, const char *value)
{
	a->event = value;
	return *value ? NULL : "wants a name";
}

static const char *set_id(struct args *a, const char *value)
{
	a->id = value;
	return *value ? NULL : "wants an ID";
}

static const char *set_level(struct args *a, const char *value)
{
	a->level = event_level_named(bytes_of(value));
	return a->level < 0 ? "is debug, info, notice, warning or error" : NULL;
}

static const char *count(const char *value, int64_t *ret_count)
{
	return num_i64(bytes_of(value), ret_count) < 0 || *ret_count < 0 ? "is a number from 0 on" : NULL;
}

static const char *set_timeout(struct args *a, const char *value)
{
	return duration(value, &a->timeout_ms);
}

static const char *set_max_waiting(struct args *a, const char *value)
{
	return count(value, &a->max_waiting);
}

static const char *set_max_age(struct args *a, const char *value)
{
	return duration(value, &a->max_age_ms);
}

static const char *set_max_dead(struct args *a, const char *value)
{
	return count(value, &a->max_dead);
}

static const char *set_maxlen(struct args *a, const char *value)
{
	return count(value, &a->maxlen);
}

static const char *set_interval(struct args *a, const char *value)
{
	return duration(value, &a->interval_ms);
}

/* A moment, or how long ago it was. */
static const char *moment(const char *value, int64_t *ret_ms)
{
	int64_t ago_ms, us;
	if (num_duration_ms(bytes_of(value), &ago_ms) == 0)
		*ret_ms = clock_wall_ms() - ago_ms;
	else if (clock_parse(bytes_of(value), &us) == 0)
		*ret_ms = us / 1000;
	else
		return "is a time (2024-01-31, 2024-01-31T10:11Z, 2024-01-31T10:11:12+01:00) or how long ago (30m, 7d)";
	return NULL;
}

static const char *set_since(struct args *a, const char *value)
{
	return moment(value, &a->since_ms);
}

static const char *set_until(struct args *a, const char *value)
{
	return moment(value, &a->until_ms);
}

/* An ID, its first part alone, or a moment. */
static const char *place(const char *value, const char *number, char ret_id[ENTRY_ID_SIZE])
{
	uint64_t ms, seq;
	int64_t at_ms;
	if (entry_id_parse(bytes_of(value), &ms, &seq) == 0) {
		(void)snprintf(ret_id, ENTRY_ID_SIZE, "%" PRIu64 "-%" PRIu64, ms, seq);
		return NULL;
	}
	if (num_u64(bytes_of(value), &ms) < 0) {
		if (moment(value, &at_ms) || at_ms < 0)
			return "is an ID (1700000000000-0, 0), a time (2024-01-31, 2024-01-31T10:11Z) or how long ago (30m, 7d)";
		ms = (uint64_t)at_ms;
	}
	(void)snprintf(ret_id, ENTRY_ID_SIZE, "%" PRIu64 "-%s", ms, number);
	return NULL;
}

static const char *set_from(struct args *a, const char *value)
{
	a->from_text = value;
	return place(value, "0", a->from_id);
}

static const char *set_to(struct args *a, const char *value)
{
	a->to_text = value;
	return place(value, "18446744073709551615", a->to_id);
}

static const char *set_rate(struct args *a, const char *value)
{
	size_t n = strlen(value);
	n -= n > 2 && strcmp(value + n - 2, "/s") == 0 ? 2 : 0;
	return num_i64((struct bytes){ value, n }, &a->rate) < 0 || a->rate < 1 || a->rate > 1000000 ? "is a number of entries a second: 10, 10/s" : NULL;
}

static const char *set_in(struct args *a, const char *value)
{
	return duration(value, &a->in_ms);
}

/* A bare number is Unix seconds; one that would be far from today is something else (ms, or a date without its dashes). */
static const char *set_at(struct args *a, const char *value)
{
	enum { LEAST_S = 1000000000 };
	static const int64_t MOST_S = INT64_C(100000000000);
	int64_t seconds, us;
	if (num_i64(bytes_of(value), &seconds) == 0 && seconds >= LEAST_S && seconds < MOST_S)
		a->at_ms = seconds * 1000;
	else if (num_i64(bytes_of(value), &seconds) < 0 && clock_parse(bytes_of(value), &us) == 0)
		a->at_ms = us / 1000;
	else
		return "is a time (2024-01-31T10:11:12+01:00, 2024-01-31T10:11Z; without a zone it is UTC) or Unix seconds";
	return NULL;
}

static const char *set_once(struct args *a, const char *value)
{
	a->once = value;
	return *value ? NULL : "wants a key";
}

static const char *set_once_for(struct args *a, const char *value)
{
	const char *wrong = duration(value, &a->once_for_ms);
	return wrong ? wrong : a->once_for_ms < 1 ? "is 1ms at least" : NULL;
}

static const char *set_serve(struct args *a, const char *value)
{
	a->serve = value;
	return NULL;
}

static const char *set_nothing(struct args *a, const char *value)
{
	(void)a, (void)value;
	return NULL;
}

/* clang-format off */
const struct option_row option_rows[OPTION_COUNT] = {
	[OPTION_CONFIG]     = { "config", 'c', "FILE", "the daemon's configuration (" DEFAULT_CONFIG ")", set_config },
	[OPTION_JSON]       = { "json", 0, NULL, "one JSON object or array; the same as -o json", set_json },
	[OPTION_OUTPUT]     = { "output", 'o', "FORMAT", "table, json, or jsonl (one JSON object a line); where a verb says so, a file", set_output },
	[OPTION_HELP]       = { "help", 'h', NULL, "say what there is; behind a verb: all about it", set_nothing },
	[OPTION_VERSION]    = { "version", 'V', NULL, "say the version", set_nothing },
	[OPTION_PRINT]      = { "print", 0, "WHAT", "verbs: what verbs and options there are, as JSON", set_print },
	[OPTION_JOB]        = { "job", 'j', "JOB", "only this job", set_job },
	[OPTION_QUEUE]      = { "queue", 'q', "STREAM[/GROUP]", "only this queue", set_queue },
	[OPTION_REASON]     = { "reason", 0, "REASON", "only what failed for this reason (exit, signal, timeout, ...)", set_reason },
	[OPTION_MATCH]      = { "match", 'm', "NAME=REGEX", "only entries with a field NAME that fits (POSIX extended); several must all fit", set_match },
	[OPTION_OLDER_THAN] = { "older-than", 0, "DURATION", "only what is older: 30s 5m 2h 7d", set_older_than },
	[OPTION_LIMIT]      = { "limit", 'n', "N", "no more than N", set_limit },
	[OPTION_ALL]        = { "all", 0, NULL, "without any filter: all there is", set_nothing },
	[OPTION_DRY_RUN]    = { "dry-run", 0, NULL, "only list what it would be", set_nothing },
	[OPTION_YES]        = { "yes", 'y', NULL, "do not ask", set_nothing },
	[OPTION_FOLLOW]     = { "follow", 'f', NULL, "go on with what is written from now on, also when the file is replaced", set_nothing },
	[OPTION_EVENT]      = { "event", 'e', "NAME", "only events of this name; job.* takes all that begin so", set_event },
	[OPTION_ID]         = { "id", 0, "ID", "only events about this entry", set_id },
	[OPTION_LEVEL]      = { "level", 'l', "LEVEL", "only events that matter so much: debug, info, notice, warning, error", set_level },
	[OPTION_TIMEOUT]    = { "timeout", 't', "DURATION", "give up after that", set_timeout },
	[OPTION_MAX_WAITING] = { "max-waiting", 0, "N", "critical when more entries than N wait in a queue", set_max_waiting },
	[OPTION_MAX_AGE]    = { "max-age", 0, "DURATION", "critical when the oldest waiting entry of a queue is older", set_max_age },
	[OPTION_MAX_DEAD]   = { "max-dead", 0, "N", "critical when a queue has more dead letters than N", set_max_dead },
	[OPTION_SINCE]      = { "since", 0, "TIME", "only what happened from then on: 2024-01-31T10:11:12Z, or how long ago: 30m 7d; without a zone it is UTC", set_since },
	[OPTION_UNTIL]      = { "until", 0, "TIME", "only what happened before that", set_until },
	[OPTION_JOURNAL]    = { "journal", 0, NULL, "from this machine's journal", set_nothing },
	[OPTION_SERVE]      = { "serve", 0, "ADDR:PORT", "serve the page to browsers (127.0.0.1:8080, [::1]:8080; port 0 takes a free one), with what is added, until it is stopped", set_serve },
	[OPTION_PUBLIC]     = { "public", 0, NULL, "let --serve use an address that other machines can reach", set_nothing },
	[OPTION_RETRY]      = { "retry", 0, NULL, "park it for its next attempt instead", set_nothing },
	[OPTION_FORCE]      = { "force", 0, NULL, "also where others that one process works on must be given back and run again", set_nothing },
	[OPTION_WAIT]       = { "wait", 'w', NULL, "until it has happened", set_nothing },
	[OPTION_ACKED]      = { "acked", 0, NULL, "all that is done", set_nothing },
	[OPTION_MAXLEN]     = { "maxlen", 0, "N", "all but the newest N", set_maxlen },
	[OPTION_FROM]       = { "from", 0, "ID|TIME", "from there on: an ID, a time, or how long ago (30m 7d); 0 is the beginning", set_from },
	[OPTION_TO]         = { "to", 0, "ID|TIME", "up to there, with it", set_to },
	[OPTION_RATE]       = { "rate", 0, "N/s", "no more than N a second", set_rate },
	[OPTION_ANEW]       = { "anew", 0, NULL, "forget how far an earlier one that was not finished got", set_nothing },
	[OPTION_RAW]        = { "raw", 0, NULL, "nothing but the result, byte for byte", set_nothing },
	[OPTION_IN]         = { "in", 0, "DURATION", "not now, but after that: 30s 5m 2h 7d", set_in },
	[OPTION_AT]         = { "at", 0, "TIME", "not before 2024-01-31T10:11:12Z (without a zone it is UTC), or Unix seconds", set_at },
	[OPTION_ONCE]       = { "once", 0, "KEY", "only if none was added to this stream with this key; prints the ID of the first", set_once },
	[OPTION_ONCE_FOR]   = { "once-for", 0, "DURATION", "how long the key of --once holds (1h, and until the entry is due at least)", set_once_for },
	[OPTION_LATER]      = { "later", 0, NULL, "what was added for later and is not due yet, instead", set_nothing },
	[OPTION_FIX]        = { "fix", 0, NULL, "put right what can be put right without losing anything", set_nothing },
	[OPTION_BATCH]      = { "batch", 'b', NULL, "print frames instead of drawing them: for a pipe or a file", set_nothing },
	[OPTION_INTERVAL]   = { "interval", 'i', "DURATION", "look so often (2s)", set_interval },
};
/* clang-format on */
