/* `top`: what its parts share. A frame is what was found at one moment: pure data, made by top_collect.c,
 * never changed afterwards. The view (top_view.c) makes lines of text from a frame and from where the reader
 * is (top_state); these lines go to the screen (top_screen.c, the only one that knows of ncurses) or, with
 * --batch, to standard output. Keys change the state (top_keys.c); what is to be done in Redis leaves them as
 * a request (top_act.c).
 *
 * In the full screen a thread asks (top_live.c), so that keys work while Redis does not answer: a frame then
 * belongs to the screen's thread, and the asking one has a struct ctl of its own. */
#pragma once

#include "ctl/ctl.h"
#include "redis/admin.h"

enum top_pane { TOP_QUEUES, TOP_WORKERS, TOP_FAILURES, TOP_PANES };

enum {
	TOP_QUEUE_COLUMNS = 14,
	TOP_WORKER_COLUMNS = 14,
	TOP_FAILURE_COLUMNS = 13,
	TOP_MOST_COLUMNS = 14,
	TOP_NO_QUEUE = -1,
};

/* Texts in rows belong to the frame (top_keep) or to the configuration. -1 is a figure that nobody can tell.
 */
struct top_queue {
	int index; /* in the configuration */
	const char *stream, *group;
	const char *shown; /* how people call it */
	const char *jobs, *jobs_json;
	const char *suspended, *suspended_json; /* NULL: no daemon to tell; "" = none */
	const char *refused; /* why Redis does not let us look into this queue; NULL = it does */
	bool known;          /* the figures are there */
	struct queue_gauges gauges;
	int64_t waiting;
	int64_t oldest_waiting_ms;
	int64_t done_milli_per_s;
	int64_t failed_milli_per_s;
};

struct top_worker {
	const char *name; /* POOL/SLOT */
	const char *state;
	const char *job, *id, *stream, *group, *status; /* NULL: it runs nothing, or has not said */
	int queue;                                      /* of what it runs, or TOP_NO_QUEUE */
	int64_t pid, handler_pid, attempt, running_ms, progress, done, failed;
};

struct top_failure {
	bool dead; /* else parked until its next attempt */
	int queue;
	const char *stream, *group;
	const char *id, *dead_id;          /* dead_id NULL = parked */
	const char *job, *reason, *detail; /* NULL = not known */
	int64_t attempts, at_ms, due_in_ms, ago_ms;
};

struct top_frame {
	const char *host;
	int64_t wall_ms, mono_ms; /* when it was made */
	int64_t interval_ms;
	const char *daemon_error; /* NULL = it answered */
	const char *daemon_state, *daemon_version;
	int64_t daemon_pid, daemon_uptime_ms;
	bool daemon_has_redis; /* the daemon's own connection stands */
	const char *redis_url;
	const char *redis_error;                      /* NULL = it answered */
	int64_t total, busy, idle, starting;          /* workers */
	int64_t done_milli_per_s, failed_milli_per_s; /* of this host */
	struct top_queue *queues;
	struct top_worker *workers;
	struct top_failure *failures;
	size_t queue_count, worker_count, failure_count;
	bool failed; /* out of memory: something is missing */
	/* private: */
	char **texts;
	size_t text_count, text_room;
};
struct top_frame *top_frame_new(void);
void top_frame_free(struct top_frame *f); /* NULL-safe */
/* A copy that lives as long as the frame; "" when memory is short. */
const char *top_keep(struct top_frame *f, struct bytes text);
const char *top_keepf(struct top_frame *f, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- rows as cells: for the table, for sorting and for JSON ---- */
struct top_columns {
	const char *name; /* of the pane */
	const struct column *columns;
	size_t n;
	uint32_t right; /* bits: columns that stand flush right */
};
const struct top_columns *top_columns(enum top_pane pane);
size_t top_count(const struct top_frame *f, enum top_pane pane);
/* What finished JSON and shown texts point into; one for each row that is held at a time. */
struct top_scratch {
	struct buf texts[6];
};
void top_scratch_done(struct top_scratch *s);
#define AUTO_TOP_SCRATCH __attribute__((cleanup(top_scratch_done))) struct top_scratch
void top_cells(const struct top_frame *f, enum top_pane pane, size_t row, struct top_scratch *scratch,
	       struct cell cells[TOP_MOST_COLUMNS]);
/* What tells a row from the others of its pane, also in the next frame. */
void top_row_key(const struct top_frame *f, enum top_pane pane, size_t row, struct buf *key);
/* The frame as one JSON object. */
void top_frame_json(const struct top_frame *f, struct buf *out);

/* ---- collecting ---- */
struct top_collector;
/* Borrows ctl, which nobody else may use meanwhile. NULL without memory. */
struct top_collector *top_collector_new(struct ctl *ctl, int64_t interval_ms);
void top_collector_free(struct top_collector *c);
/* Ask the daemon and Redis. Never says anything on stderr; what is not there is told in the frame. NULL
 * without memory. */
struct top_frame *top_collect(struct top_collector *c);

/* ---- what keys ask for ---- */
enum top_request_kind { TOP_NOTHING, TOP_RETRY, TOP_PAUSE, TOP_RESUME, TOP_LOOK };
struct top_request {
	enum top_request_kind kind;
	int queue;
	char id[ENTRY_ID_SIZE];
};
/* Do it. words: for the status line; text: for TOP_LOOK, lines ready for a terminal. True when it was done.
 */
bool top_act(struct ctl *ctl, const struct top_request *request, struct buf *words, struct buf *text);

/* ---- the state of the reader ---- */
enum top_mode { TOP_LIST, TOP_FILTER, TOP_CONFIRM, TOP_LOOKING, TOP_HELP };
enum { TOP_FILTER_SIZE = 64, TOP_MESSAGE_SIZE = 240, TOP_MESSAGE_MS = 6000 };
struct top_place {
	struct buf selected; /* the row's key; the cursor follows it */
	size_t cursor, first;
	size_t rows; /* as many were shown last time */
	int sort;    /* column, -1 = as the frame has it */
	bool reversed;
};
struct top_state {
	enum top_mode mode;
	enum top_pane pane;
	struct top_place places[TOP_PANES];
	char filter[TOP_FILTER_SIZE];
	char filter_before[TOP_FILTER_SIZE]; /* Esc brings it back */
	struct top_request asked;            /* CONFIRM */
	char message[TOP_MESSAGE_SIZE];
	bool message_bad;
	int64_t message_until_ms; /* monotonic */
	struct buf look;          /* the text that is looked at */
	struct top_request looked;
	bool look_parked; /* what is looked at can be retried */
	size_t look_first, look_rows;
};
void top_state_init(struct top_state *s);
void top_state_done(struct top_state *s);
void top_say(struct top_state *s, bool bad, int64_t until_ms, const char *format, ...) PRINTF_LIKE(4, 5);

/* The rows of a pane that the filter leaves, in the order to show. Gives an array (free it); NULL without
 * memory. */
size_t *top_order(const struct top_frame *f, const struct top_state *s, enum top_pane pane,
		  size_t *ret_count);
/* Put the cursor where its row is in this frame; where that is gone, it stays at its place. */
void top_follow(const struct top_frame *f, struct top_place *p, enum top_pane pane, const size_t *order,
		size_t count);
/* Put the cursor there (as near as there are rows). */
void top_move(const struct top_frame *f, struct top_place *p, enum top_pane pane, const size_t *order,
	      size_t count, size_t cursor);

/* ---- keys ---- */
enum top_key {
	TOP_KEY_ENTER = '\n',
	TOP_KEY_ESCAPE = 27,
	TOP_KEY_BACKSPACE = 127,
	TOP_KEY_SPECIAL = 0x110000, /* beyond every character */
	TOP_KEY_UP,
	TOP_KEY_DOWN,
	TOP_KEY_PAGE_UP,
	TOP_KEY_PAGE_DOWN,
	TOP_KEY_HOME,
	TOP_KEY_END,
	TOP_KEY_BACKTAB,
	TOP_KEY_REDRAW,
};
enum top_answer { TOP_STAY, TOP_QUIT, TOP_ASK };
/* frame may be NULL (none yet). TOP_ASK: ret_request is to be done. */
enum top_answer top_press(struct top_state *s, const struct top_frame *f, uint32_t key, int64_t now_mono_ms,
			  struct top_request *ret_request);

/* A character as UTF-8 with a NUL behind it; its length, 0 when it is none. */
size_t top_utf8(uint32_t code, char ret_text[5]);

/* ---- the view ---- */
enum top_style { TOP_PLAIN, TOP_GOOD, TOP_WARN, TOP_BAD, TOP_BOLD, TOP_TITLE, TOP_SELECTED };
enum { TOP_MOST_MARKS = 40 };
struct top_line {
	struct buf text; /* fit for a terminal, never wider than asked for */
	struct top_mark {
		size_t from; /* byte */
		enum top_style style;
	} marks[TOP_MOST_MARKS];
	size_t mark_count;
};
struct top_lines {
	struct top_line *lines;
	size_t count, room;
	size_t width; /* 0 = no limit */
	bool unicode;
	bool failed;
};
void top_lines_done(struct top_lines *l);
/* Exactly height lines for a screen; the state's places are moved so that the cursor is seen. frame may be
 * NULL. */
void top_view(const struct top_frame *f, struct top_state *s, int64_t now_mono_ms, size_t height,
	      struct top_lines *out);
/* All of a frame, for --batch. */
void top_view_all(const struct top_frame *f, struct top_lines *out);

/* A title and the rows order[first] … order[first + limit - 1], with columns as wide as all of the ordered
 * rows need, fitted to out->width. */
struct top_grid {
	enum top_pane pane;
	const size_t *order;
	size_t count, first, limit;
	size_t selected;      /* index in order; count = none */
	enum top_style title; /* of the head line */
	bool numbered;        /* the title begins with the pane's key */
	int sort;             /* this column is marked, -1 = none */
	bool reversed;
};
void top_grid(const struct top_frame *f, const struct top_grid *g, struct top_lines *out);

/* A new, empty line; NULL without memory (lines->failed says so in the end). The three below take NULL. */
struct top_line *top_line_add(struct top_lines *l);
void top_line_style(struct top_line *line, enum top_style style); /* for what is added from here on */
/* Add text, spelled out, cut where the line is full. */
void top_line_text(struct top_lines *l, struct top_line *line, struct bytes text);
void top_line_textf(struct top_lines *l, struct top_line *line, const char *format, ...) PRINTF_LIKE(3, 4);
/* Add text that is fit for a terminal already (text_escape made it). */
void top_line_shown(struct top_lines *l, struct top_line *line, struct bytes shown);
/* Add blanks up to that column. */
void top_line_pad(struct top_lines *l, struct top_line *line, size_t column);

/* ---- the full screen ---- */
/* Runs until the reader has seen enough; the exit code (said). */
int top_live(struct ctl *ctl, int64_t interval_ms);
