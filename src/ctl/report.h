/* What the files of `report` share: where events come from, and what becomes of them. */
#pragma once

#include "ctl/ctl.h"
#include "report/feed.h"

struct report_journal;

/* A source of events: a file, standard input, or the journal. */
struct report_input {
	struct feed *feed;              /* borrowed */
	const char *path;               /* NULL = standard input or the journal */
	int fd;                         /* -1 = the journal */
	char *space;                    /* owned */
	int64_t done_bytes;             /* read of this file */
	int64_t total_bytes;            /* -1 = not known */
	struct report_journal *journal; /* owned, NULL = none */
};

/* Of the command line: FILE (a folder is one of journal files), standard input, or --journal. 0 or the exit
 * code (said). */
MUST_CHECK int report_input_open(struct report_input *in, struct feed *feed, const struct args *args);
void report_input_close(struct report_input *in);
/* Give the feed a piece of what is there. 1 = there may be more, 0 = that was all for now, or -errno. */
MUST_CHECK int report_input_read(struct report_input *in);
/* At the end of what is there: go on with the file that took its place (rotated). */
void report_input_look_again(struct report_input *in);

/* The journal, of this machine or (folder not NULL) the files in a folder. 0 or -errno (-EOPNOTSUPP: xackd
 * was built without). Gives. */
MUST_CHECK int report_journal_open(const char *folder, int64_t since_ms, struct report_journal **ret_journal);
MUST_CHECK int report_journal_read(struct report_journal *j, struct feed *feed);
/* Readable when something may have been added. */
void report_journal_close(struct report_journal *j);

/* Says on stderr how far it is, if that is a terminal. */
struct report_progress {
	bool shown;
	int64_t began_ms, said_ms;
};
void report_progress_say(struct report_progress *p, const struct report_input *in);
void report_progress_end(struct report_progress *p);

/* --serve: until a signal comes. The exit code. */
int report_serve(struct ctl *ctl, struct report_input *in);
