/* What a key does. Only the state changes here; what is to be done in Redis is asked for, and, where it
 * changes anything, only after a y. */
#include "ctl/top.h"

/* Where the cursor is: a frame, the rows of the pane as they are shown, the one that is meant. */
struct here {
	const struct top_frame *frame;
	struct top_place *place;
	size_t *order;
	size_t count;
};

static bool look_here(struct top_state *s, const struct top_frame *f, struct here *h)
{
	*h = (struct here){ .frame = f, .place = &s->places[s->pane] };
	if (f)
		h->order = top_order(f, s, s->pane, &h->count);
	if (!h->order)
		return false;
	top_follow(f, h->place, s->pane, h->order, h->count);
	return true;
}

static void move_to(struct top_state *s, const struct top_frame *f, uint32_t key)
{
	struct here h;
	if (!look_here(s, f, &h))
		return;
	size_t page = h.place->rows > 1 ? h.place->rows - 1 : 1, at = h.place->cursor;
	switch (key) {
	case TOP_KEY_UP:
		at = at > 0 ? at - 1 : 0;
		break;
	case TOP_KEY_DOWN:
		at++;
		break;
	case TOP_KEY_PAGE_UP:
		at = at > page ? at - page : 0;
		break;
	case TOP_KEY_PAGE_DOWN:
		at += page;
		break;
	case TOP_KEY_HOME:
		at = 0;
		break;
	default:
		at = h.count;
		break;
	}
	top_move(f, h.place, s->pane, h.order, h.count, at);
	free(h.order);
}

static void scroll_look(struct top_state *s, uint32_t key)
{
	size_t page = s->look_rows > 1 ? s->look_rows - 1 : 1, at = s->look_first;
	switch (key) {
	case TOP_KEY_UP:
		at = at > 0 ? at - 1 : 0;
		break;
	case TOP_KEY_DOWN:
		at++;
		break;
	case TOP_KEY_PAGE_UP:
		at = at > page ? at - page : 0;
		break;
	case TOP_KEY_PAGE_DOWN:
		at += page;
		break;
	case TOP_KEY_HOME:
		at = 0;
		break;
	default:
		at = SIZE_MAX / 2; /* the view knows where the end is */
		break;
	}
	s->look_first = at;
}

/* The keys of the hand's home row mean the same. */
static uint32_t movement(uint32_t key)
{
	switch (key) {
	case 'k':
		return TOP_KEY_UP;
	case 'j':
		return TOP_KEY_DOWN;
	case 'g':
		return TOP_KEY_HOME;
	case 'G':
		return TOP_KEY_END;
	default:
		return key >= TOP_KEY_UP && key <= TOP_KEY_END ? key : 0;
	}
}

/* The next column that is shown, and after the last the order of the frame itself. */
static void next_sort(struct top_state *s)
{
	const struct top_columns *c = top_columns(s->pane);
	struct top_place *p = &s->places[s->pane];
	p->reversed = false;
	for (p->sort++; p->sort < (int)c->n; p->sort++) {
		if (c->columns[p->sort].title)
			return;
	}
	p->sort = -1;
}

/* ---- what can be asked for ---- */

/* What the row under the cursor is about. id "": nothing to look at. */
static bool row_about(struct top_state *s, const struct top_frame *f, struct top_request *about,
		      bool *ret_parked)
{
	struct here h;
	*about = (struct top_request){ .queue = TOP_NO_QUEUE };
	*ret_parked = false;
	if (!look_here(s, f, &h) || h.count == 0) {
		free(h.order);
		return false;
	}
	size_t row = h.order[h.place->cursor];
	const char *id = NULL;
	free(h.order);
	if (s->pane == TOP_QUEUES) {
		about->queue = f->queues[row].index;
	} else if (s->pane == TOP_WORKERS) {
		about->queue = f->workers[row].queue;
		id = f->workers[row].id;
	} else {
		about->queue = f->failures[row].queue;
		id = f->failures[row].id;
		*ret_parked = !f->failures[row].dead;
	}
	if (id && strlen(id) < sizeof(about->id))
		memcpy(about->id, id, strlen(id) + 1);
	return true;
}

static void refuse(struct top_state *s, int64_t now_mono_ms, const char *text)
{
	top_say(s, true, now_mono_ms + TOP_MESSAGE_MS, "%s", text);
}

static void confirm(struct top_state *s, const struct top_request *about, enum top_request_kind kind)
{
	s->asked = *about;
	s->asked.kind = kind;
	s->mode = TOP_CONFIRM;
}

static const struct top_queue *queue_of(const struct top_frame *f, int index)
{
	for (size_t i = 0; f && i < f->queue_count; i++) {
		if (f->queues[i].index == index)
			return &f->queues[i];
	}
	return NULL;
}

static void want_pause(struct top_state *s, const struct top_frame *f, const struct top_request *about,
		       int64_t now_mono_ms)
{
	const struct top_queue *q = queue_of(f, about->queue);
	if (!q)
		refuse(s, now_mono_ms, "this row is of no queue: choose one that is, or press 1");
	else if (!q->known)
		refuse(s, now_mono_ms, "Redis does not tell whether this queue is paused");
	else
		confirm(s, about,
			q->gauges.paused || (q->suspended && *q->suspended) ? TOP_RESUME : TOP_PAUSE);
}

static void want_retry(struct top_state *s, const struct top_request *about, bool parked, int64_t now_mono_ms)
{
	if (parked)
		confirm(s, about, TOP_RETRY);
	else
		refuse(s, now_mono_ms,
		       "only a parked entry can be retried: press 3 and choose one that is parked");
}

static enum top_answer want_look(struct top_state *s, const struct top_frame *f, int64_t now_mono_ms,
				 struct top_request *ret_request)
{
	struct top_request about;
	bool parked;
	if (!row_about(s, f, &about, &parked))
		return TOP_STAY;
	if (s->pane == TOP_WORKERS && !about.id[0]) {
		refuse(s, now_mono_ms, "this worker runs nothing");
		return TOP_STAY;
	}
	if (about.queue == TOP_NO_QUEUE) {
		refuse(s, now_mono_ms, "what it runs is of a queue that this configuration does not have");
		return TOP_STAY;
	}
	about.kind = TOP_LOOK;
	*ret_request = about;
	s->looked = about;
	s->look_parked = parked;
	return TOP_ASK;
}

/* ---- by mode ---- */

static void leave_look(struct top_state *s)
{
	s->mode = TOP_LIST;
	s->look_first = 0;
	s->looked.kind = TOP_NOTHING;
	buf_clear(&s->look);
}

static void press_filter(struct top_state *s, uint32_t key)
{
	size_t n = strlen(s->filter);
	char utf8[5] = { 0 };
	if (key == TOP_KEY_ENTER) {
		s->mode = TOP_LIST;
	} else if (key == TOP_KEY_ESCAPE) {
		memcpy(s->filter, s->filter_before, sizeof(s->filter));
		s->mode = TOP_LIST;
	} else if (key == TOP_KEY_BACKSPACE) {
		while (n > 0 && ((unsigned char)s->filter[n - 1] & 0xc0) == 0x80)
			n--;
		s->filter[n > 0 ? n - 1 : 0] = '\0';
	} else if (key >= ' ' && key < TOP_KEY_SPECIAL) {
		size_t length = top_utf8(key, utf8);
		if (n + length < sizeof(s->filter))
			memcpy(s->filter + n, utf8, length + 1);
	}
}

static enum top_answer press_confirm(struct top_state *s, uint32_t key, struct top_request *ret_request)
{
	s->mode = s->look.n > 0 ? TOP_LOOKING : TOP_LIST;
	if (key != 'y' && key != 'Y')
		return TOP_STAY;
	*ret_request = s->asked;
	return TOP_ASK;
}

static enum top_answer press_looking(struct top_state *s, const struct top_frame *f, uint32_t key,
				     int64_t now_mono_ms)
{
	if (movement(key))
		scroll_look(s, movement(key));
	else if (key == 'q' || key == TOP_KEY_ESCAPE || key == TOP_KEY_ENTER || key == TOP_KEY_BACKSPACE)
		leave_look(s);
	else if (key == 'r')
		want_retry(s, &s->looked, s->look_parked, now_mono_ms);
	else if (key == 'p')
		want_pause(s, f, &s->looked, now_mono_ms);
	return TOP_STAY;
}

static void begin_filter(struct top_state *s)
{
	memcpy(s->filter_before, s->filter, sizeof(s->filter));
	s->mode = TOP_FILTER;
}

static enum top_answer press_list(struct top_state *s, const struct top_frame *f, uint32_t key,
				  int64_t now_mono_ms, struct top_request *ret_request)
{
	struct top_request about;
	bool parked;
	if (movement(key)) {
		move_to(s, f, movement(key));
		return TOP_STAY;
	}
	switch (key) {
	case 'q':
		return TOP_QUIT;
	case '\t':
		s->pane = (enum top_pane)((s->pane + 1) % TOP_PANES);
		break;
	case TOP_KEY_BACKTAB:
		s->pane = (enum top_pane)((s->pane + TOP_PANES - 1) % TOP_PANES);
		break;
	case '1':
	case '2':
	case '3':
		s->pane = (enum top_pane)(key - '1');
		break;
	case 's':
		next_sort(s);
		break;
	case 'S':
		s->places[s->pane].reversed = !s->places[s->pane].reversed;
		break;
	case '/':
		begin_filter(s);
		break;
	case TOP_KEY_ESCAPE:
		s->filter[0] = '\0';
		break;
	case '?':
	case 'h':
		s->mode = TOP_HELP;
		break;
	case TOP_KEY_ENTER:
		return want_look(s, f, now_mono_ms, ret_request);
	case 'r':
		if (row_about(s, f, &about, &parked))
			want_retry(s, &about, parked, now_mono_ms);
		break;
	case 'p':
		if (row_about(s, f, &about, &parked))
			want_pause(s, f, &about, now_mono_ms);
		break;
	default:
		break;
	}
	return TOP_STAY;
}

enum top_answer top_press(struct top_state *s, const struct top_frame *f, uint32_t key, int64_t now_mono_ms,
			  struct top_request *ret_request)
{
	*ret_request = (struct top_request){ .kind = TOP_NOTHING, .queue = TOP_NO_QUEUE };
	if (key == '\r')
		key = TOP_KEY_ENTER;
	if (key == '\b')
		key = TOP_KEY_BACKSPACE;
	s->message[0] = '\0';
	switch (s->mode) {
	case TOP_LIST:
		return press_list(s, f, key, now_mono_ms, ret_request);
	case TOP_FILTER:
		press_filter(s, key);
		return TOP_STAY;
	case TOP_CONFIRM:
		return press_confirm(s, key, ret_request);
	case TOP_LOOKING:
		return press_looking(s, f, key, now_mono_ms);
	case TOP_HELP:
		s->mode = TOP_LIST;
		return TOP_STAY;
	}
	return TOP_STAY;
}
