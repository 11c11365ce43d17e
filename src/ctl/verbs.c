/* The table of verbs. What is not here does not exist; what is here works. */
#include "ctl/verb.h"

/* clang-format off */
static const struct verb verbs[] = {
	{ "status", "", "How it stands: the daemon, its workers, the queues",
	  "Works without the daemon (then it is null in JSON), and without Redis as far as that goes: exit 69.",
	  0, 0, 0, verb_status },
	{ "queues", "", "What waits, runs, is parked and is dead, queue by queue",
	  "A figure that Redis cannot tell is - (null in JSON).",
	  TAKES_QUEUE, 0, 0, verb_queues },
	{ "jobs", "", "The jobs of the configuration, with queue and pool", NULL,
	  TAKES_QUEUE, 0, 0, verb_jobs },
	{ "cron", "", "The schedules: when each came last, and when it comes next",
	  "LAST is the last slot that was dealt with, or when the schedule was first seen; NEXT is told by the daemon (- without it).\n"
	  "Both in UTC, whatever the schedule's time zone.",
	  TAKES_QUEUE, 0, 0, verb_cron },
	{ "workers", "", "The workers of this host and what they do", NULL,
	  0, 0, 0, verb_workers },
	{ "running", "", "What runs on this host, the longest first", NULL,
	  TAKES_QUEUE | TAKES(OPTION_OLDER_THAN) | TAKES(OPTION_LIMIT), 0, 0, verb_running },
	{ "top", "", "A live view: queues, workers, what failed last; keys to look, sort, filter, retry and pause",
	  "Goes on while the daemon or Redis is away, and says so. ? shows the keys: Tab or 1 2 3 another pane, s sort, / filter,\n"
	  "Enter look at an entry, r retry a parked one now, p pause or resume a queue, q quit. Wants a terminal of 20 columns and 6\n"
	  "lines at least. With --batch frames are printed, with --limit so many; with -o json or jsonl one object a frame.",
	  TAKES_QUEUE | TAKES(OPTION_BATCH) | TAKES(OPTION_INTERVAL) | TAKES(OPTION_LIMIT), 0, 0, verb_top },
	{ "suspended", "", "The jobs that cannot run on this host because their command is missing", NULL,
	  0, 0, 0, verb_suspended },
	{ "add", "JOB [FIELD=VALUE...]", "Add an entry for a job; prints its ID",
	  "FIELD=@FILE takes the value from a file, FIELD=@- from standard input, byte for byte.\n"
	  "The fields of the job's match: are filled in where they are not given. With --wait: until it is done; then its result\n"
	  "follows the ID, if the handler gave one. Status then: 0 it is done, 1 it is a dead letter (or with --raw has no result), 75\n"
	  "--timeout passed: it stays in the queue.\n"
	  "With --in or --at it waits until then, by Redis's clock; the ID finds it from now on, and for a day after it was due. With\n"
	  "--once KEY a second one is not added to the stream: the ID is that of the first (in JSON with existing: true).",
	  TAKES(OPTION_WAIT) | TAKES(OPTION_TIMEOUT) | TAKES(OPTION_RAW) | TAKES(OPTION_IN) | TAKES(OPTION_AT) | TAKES(OPTION_ONCE) |
	  TAKES(OPTION_ONCE_FOR), 1, -1, verb_add },
	{ "explain", "ID", "Where an entry is now, and why",
	  "State: waiting, running, parked, later, dead, acknowledged, gone (no longer in the stream) or unknown (exit 1).\n"
	  "An ID that is in several queues: --job decides.",
	  TAKES_QUEUE, 1, 1, verb_explain },
	{ "retries", "", "What waits for its next attempt, the next due first",
	  "As a table on a terminal the first 1,000, unless --limit says otherwise. With --later: what was added for later (add --in,\n"
	  "--at) and is not due yet.",
	  TAKES_FILTERS | TAKES(OPTION_LATER), 0, 0, verb_retries },
	{ "retry", "[ID...]", "Let parked entries run now",
	  "Which: IDs, or filters, or --all. With filters or --all it says the count and asks; where nobody can be asked it\n"
	  "wants --yes.",
	  TAKES_FILTERS | TAKES_CHANGE, 0, -1, verb_retry },
	{ "cancel", "ID...", "End a running handler (TERM, then KILL) and make its entry a dead letter",
	  "The reason is cancelled, also if the handler answers TERM with exit 0; one that had ended before has ended as it did.\n"
	  "With --retry it is parked for its next attempt; the cancelled one counts. What is parked becomes a dead letter at once; so\n"
	  "does what waits for its first run, or was added for later, unless another group of the stream wants it, too (what is not\n"
	  "due yet can be taken from all of them with --force). A handler of another host is ended there. Where one process works on several entries (modes batch and persistent), the others are given back and run\n"
	  "again: that wants --force. Status: 0 all of them, 1 not, 75 --timeout passed (default: kill_grace and 15 s).",
	  TAKES_QUEUE | TAKES(OPTION_RETRY) | TAKES(OPTION_FORCE) | TAKES(OPTION_TIMEOUT), 1, -1, verb_cancel },
	{ "dead ls", "", "The dead letters, the oldest first",
	  "As a table on a terminal the first 1,000, unless --limit says otherwise.",
	  TAKES_FILTERS, 0, 0, verb_dead_ls },
	{ "dead show", "ID", "One dead letter in full: by its own ID or the entry's", NULL,
	  TAKES_QUEUE, 1, 1, verb_dead_show },
	{ "dead requeue", "[ID...]", "Give dead letters another life as new entries; prints the new IDs",
	  "Which: IDs (the dead letter's or the entry's), or filters, or --all. With filters or --all it says the count\n"
	  "and asks; where nobody can be asked it wants --yes.",
	  TAKES_FILTERS | TAKES_CHANGE, 0, -1, verb_dead_requeue },
	{ "dead purge", "[ID...]", "Remove dead letters for good",
	  "Which: IDs (the dead letter's or the entry's), or filters, or --all. With filters or --all it says the count\n"
	  "and asks; where nobody can be asked it wants --yes.",
	  TAKES_FILTERS | TAKES_CHANGE, 0, -1, verb_dead_purge },
	{ "dead edit", "ID [FIELD=VALUE...]", "Give a dead letter other fields; prints its new ID",
	  "With fields: they take the place of those of their name, or stand behind; FIELD=@FILE and FIELD=@- as in add. Without:\n"
	  "all fields in $VISUAL or $EDITOR. It stays a dead letter; dead requeue puts it back.",
	  TAKES_QUEUE, 1, -1, verb_dead_edit },
	{ "dead export", "[ID...]", "Dead letters as JSON lines that lose nothing, for dead import",
	  "Which: IDs, or all that fit the filters. What is not UTF-8 is {\"b64\": ...}. They stay where they are.",
	  TAKES_FILTERS, 0, -1, verb_dead_export },
	{ "dead import", "[FILE]", "Put exported dead letters back; from FILE or standard input",
	  "A dead letter that is there already is left alone, so it may be run again. The ID is kept where it can be.",
	  TAKES_QUEUE | TAKES(OPTION_DRY_RUN), 0, 1, verb_dead_import },
	{ "wait", "ID", "Wait until an entry is done; prints its result, if the handler gave one",
	  "A result is there for result_ttl. What is not UTF-8 in it is result_b64 in JSON. Status: 0 it is done, 1 it is a dead letter\n"
	  "or unknown (or with --raw has no result), 75 --timeout passed. Redis going away is waited for, too.",
	  TAKES_QUEUE | TAKES(OPTION_TIMEOUT) | TAKES(OPTION_RAW), 1, 1, verb_wait },
	{ "check", "", "Whether all is well, as a monitoring plugin: one line with performance data",
	  "Each limit is for each queue by itself. A paused queue or a suspended job is a warning; what cannot be told, Redis or\n"
	  "the configuration being the reason, is unknown. Status: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.",
	  VERB_ALONE | TAKES_QUEUE | TAKES(OPTION_MAX_WAITING) | TAKES(OPTION_MAX_AGE) | TAKES(OPTION_MAX_DEAD), 0, 0, verb_check },
	{ "doctor", "", "Look at all that xackd stands on, and say what is wrong and what to do about it",
	  "Configuration, files, handlers, limits; Redis's version, rights, persistence, memory, clock; keys, groups, consumers and\n"
	  "sizes of each queue. A line each; where all is well, nothing. With --fix it puts right what cannot lose anything: rights\n"
	  "of files that are too wide, due times that are missing, consumers that hold nothing. Status: 0 all is well, 1 warnings,\n"
	  "2 errors.",
	  VERB_ALONE | TAKES(OPTION_FIX), 0, 0, verb_doctor },
	{ "events", "[FILE]", "The log in words, filtered",
	  "Reads JSON lines from FILE or standard input (journalctl -u xackd -o cat | xackctl events); lines that are no events\n"
	  "are left out. With -o json or jsonl the lines as they are.",
	  VERB_ALONE | TAKES(OPTION_JOB) | TAKES(OPTION_EVENT) | TAKES(OPTION_ID) | TAKES(OPTION_LEVEL) | TAKES(OPTION_FOLLOW), 0, 1, verb_events },
#ifdef HAVE_REPORT
	{ "report", "[FILE]", "The log as one page for a browser: throughput, failures, times, retries, dead letters, outages",
	  "Reads JSON lines from FILE or standard input (-), the files of a journal if FILE is a folder, or with --journal this\n"
	  "machine's. The page stands on its own, with nothing loaded from anywhere; it goes to standard output, or with --output\n"
	  "report.html to a file. --json gives its figures. With --serve it is served and kept up to date, read-only; on this machine\n"
	  "alone unless --public says otherwise. Needs about 10 MB, however long the log is.",
	  VERB_ALONE | VERB_WRITES | TAKES(OPTION_JOB) | TAKES(OPTION_SINCE) | TAKES(OPTION_UNTIL) | TAKES(OPTION_JOURNAL) | TAKES(OPTION_SERVE) |
	  TAKES(OPTION_PUBLIC), 0, 1, verb_report },
#endif
	{ "replay", "[JOB]", "Run again what is done: the same entries with their IDs, for this group alone",
	  "Which: --from (and --to), and JOB or --queue; --match. What runs, is parked, waits, or stands as a dead letter is left alone, and so is\n"
	  "what was delivered after it began. Each has all its attempts again. With --rate so many a second, while it runs; without, all of\n"
	  "them are due now, and new entries get every fourth turn. How far it has got is kept in Redis: stopped in the middle, also by\n"
	  "kill -9, the same command goes on behind it, and no entry runs twice by it. Without --yes it says the count and asks.",
	  TAKES_QUEUE | TAKES(OPTION_FROM) | TAKES(OPTION_TO) | TAKES(OPTION_MATCH) | TAKES(OPTION_LIMIT) | TAKES(OPTION_RATE) | TAKES(OPTION_ANEW) |
	  TAKES(OPTION_DRY_RUN) | TAKES(OPTION_YES), 0, 1, verb_replay },
	{ "trim", "[JOB]", "Remove the oldest entries of a stream, but nothing that any group of it has not acknowledged",
	  "Which: --acked, --older-than (by the time in the ID) or --maxlen, and JOB, --queue or --all. All groups of the stream count, also\n"
	  "those that are not xackd's: what is pending in one, or was not delivered to it yet, stays with all that is behind it; it says\n"
	  "which group that is. It goes by small steps, so that Redis has time for others; stopped in the middle it has trimmed less, and\n"
	  "nothing else. What is to go all the time: retain in the configuration.",
	  TAKES_QUEUE | TAKES_CHANGE | TAKES(OPTION_ACKED) | TAKES(OPTION_OLDER_THAN) | TAKES(OPTION_MAXLEN), 0, 1, verb_trim },
	{ "drain", "", "Stop the daemon of this host as SIGTERM does: fetch nothing more, let handlers end",
	  "Handlers have drain_timeout; what does not end by then is ended and given back, its attempt too. The daemon ends with 0, so\n"
	  "systemd (Restart=on-failure) leaves it stopped until systemctl start xackd. A second drain changes nothing; a second SIGTERM\n"
	  "hurries. To keep it running and start nothing: pause, which is for all hosts. With --wait: until it has ended; status 75 when\n"
	  "--timeout passed before that.",
	  TAKES(OPTION_WAIT) | TAKES(OPTION_TIMEOUT), 0, 0, verb_drain },
	{ "pause", "[JOB]", "Start nothing more of a queue, on any host; what runs goes on",
	  "A pause is the whole queue's: a job that shares its queue is paused with --queue. Without JOB or --queue: all queues.",
	  TAKES(OPTION_QUEUE), 0, 1, verb_pause },
	{ "resume", "[JOB]", "Go on after a pause, and try suspended jobs again at once",
	  "Without JOB or --queue: all queues.",
	  TAKES(OPTION_QUEUE), 0, 1, verb_resume },
};
/* clang-format on */

const struct verb *verb_table(size_t *ret_count)
{
	*ret_count = ARRAY_LEN(verbs);
	return verbs;
}

/* How many of the words are this name; 0 = it is another. */
static int words_of_name(const char *name, char *const *words, int count)
{
	for (int i = 0; i < count; i++) {
		size_t n = strlen(words[i]);
		if (strncmp(name, words[i], n) != 0 || (name[n] != ' ' && name[n] != '\0'))
			return 0;
		if (name[n] == '\0')
			return i + 1;
		name += n + 1;
	}
	return 0;
}

const struct verb *verb_find(char *const *words, int count, int *ret_used)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		*ret_used = words_of_name(verbs[i].name, words, count);
		if (*ret_used > 0)
			return &verbs[i];
	}
	*ret_used = 0;
	return NULL;
}

bool verb_is_family(const char *name)
{
	size_t n = strlen(name);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (strncmp(verbs[i].name, name, n) == 0 && verbs[i].name[n] == ' ')
			return true;
	}
	return false;
}
