/* The full screen: waits for keys, signals and what the asking thread found, and draws. Whatever ends it, the
 * terminal is as it was before. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "base/clock.h"
#include "ctl/top_ask.h"
#include "ctl/top_screen.h"

enum { REDRAW_MS = 1000 };

struct live {
	struct top_asker *asker;
	struct top_frame *frame;
	struct top_state state;
	bool unicode;
	int signals; /* signalfd */
	bool over;
	int ended_by; /* a signal; 0 = a key */
};

static void draw(struct live *l)
{
	size_t rows, columns;
	top_screen_size(&rows, &columns);
	struct top_lines lines = { .width = columns, .unicode = l->unicode };
	top_view(l->frame, &l->state, clock_mono_ms(), rows, &lines);
	top_screen_draw(&lines);
	top_lines_done(&lines);
}

/* ---- what the asking thread found ---- */

/* Is that what the reader waits for, or sees? Meanwhile keys may have led elsewhere. */
static bool is_looked_at(const struct top_state *s, const struct top_request *r)
{
	return s->looked.kind == TOP_LOOK && r->queue == s->looked.queue &&
	       strcmp(r->id, s->looked.id) == 0 && (s->mode == TOP_LIST || s->look.n > 0);
}

static void take_look(struct top_state *s, const struct top_answered *answered)
{
	if (!is_looked_at(s, &answered->request))
		return;
	buf_clear(&s->look);
	buf_add_bytes(&s->look, buf_bytes(&answered->text));
	if (s->mode == TOP_LIST && s->look.n > 0)
		s->mode = TOP_LOOKING;
}

static void take_answer(struct live *l)
{
	struct top_answered answered;
	if (!top_asker_answer(l->asker, &answered))
		return;
	if (answered.done && answered.request.kind == TOP_LOOK)
		take_look(&l->state, &answered);
	else
		top_say(&l->state, !answered.done, clock_mono_ms() + TOP_MESSAGE_MS, "%s",
			answered.words.p ? answered.words.p : "");
	top_answered_done(&answered);
}

static void take_news(struct live *l)
{
	struct top_frame *frame = top_asker_frame(l->asker);
	take_answer(l);
	if (!frame)
		return;
	top_frame_free(l->frame);
	l->frame = frame;
	/* What is looked at is kept as fresh as the rest. */
	if (l->state.mode == TOP_LOOKING)
		top_asker_want(l->asker, &l->state.looked);
}

/* ---- keys and signals ---- */

static void take_keys(struct live *l)
{
	uint32_t key;
	while (!l->over && top_screen_key(&key)) {
		struct top_request request;
		if (key == TOP_KEY_REDRAW) {
			top_screen_again();
			continue;
		}
		enum top_answer answer = top_press(&l->state, l->frame, key, clock_mono_ms(), &request);
		if (answer == TOP_QUIT)
			l->over = true;
		else if (answer == TOP_ASK)
			top_asker_want(l->asker, &request);
	}
}

/* Ctrl-Z: the shell gets its terminal back; on fg all is drawn anew. */
static void stop_here(void)
{
	top_screen_close();
	(void)raise(SIGSTOP);
	top_screen_again();
}

static void take_signals(struct live *l)
{
	struct signalfd_siginfo info;
	while (read(l->signals, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGWINCH:
			top_screen_again();
			break;
		case SIGTSTP:
			stop_here();
			break;
		default:
			l->over = true;
			l->ended_by = (int)info.ssi_signo;
			break;
		}
	}
}

static void run(struct live *l)
{
	struct pollfd fds[] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = l->signals, .events = POLLIN },
		{ .fd = top_asker_fd(l->asker), .events = POLLIN },
	};
	while (!l->over) {
		draw(l);
		if (poll(fds, ARRAY_LEN(fds), REDRAW_MS) < 0 && errno != EINTR)
			return;
		if (fds[1].revents)
			take_signals(l);
		if (fds[0].revents & POLLIN)
			take_keys(l);
		else if (fds[0].revents) /* the terminal is gone */
			l->over = true;
		if (fds[2].revents)
			take_news(l);
	}
}

/* ---- beginning and end ---- */

static const int handled[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP };

static int take_over_signals(sigset_t *before)
{
	sigset_t set;
	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(handled); i++)
		(void)sigaddset(&set, handled[i]);
	(void)sigprocmask(SIG_BLOCK, &set, before);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Ctrl-C is one way to leave. Of any other signal our parent is to see that it was one. */
static void end_as_told(int number, const sigset_t *before)
{
	if (number == 0 || number == SIGINT)
		return;
	(void)signal(number, SIG_DFL);
	(void)raise(number);
	(void)sigprocmask(SIG_SETMASK, before, NULL);
}

static int live(struct ctl *ctl, int64_t interval_ms, struct live *l, sigset_t *before)
{
	AUTO_BUF why = { 0 };
	l->asker = top_asker_start(ctl, interval_ms);
	if (!l->asker)
		return ctl_say(CTL_NO, "out of memory");
	int code = top_screen_open(ctl->out.colour, &why);
	if (code == 0) {
		run(l);
		top_screen_close();
	}
	if (code != 0)
		code = ctl_say(code, "%s", why.p ? why.p : "?");
	if (top_asker_stop(l->asker))
		return code;
	/* It waits for an answer that may take long; nobody else does. */
	(void)fflush(stdout);
	end_as_told(l->ended_by, before);
	_exit(code);
}

int top_live(struct ctl *ctl, int64_t interval_ms)
{
	sigset_t before;
	struct live l = { .unicode = ctl->out.unicode };
	top_state_init(&l.state);
	l.signals = take_over_signals(&before);
	int code = l.signals < 0 ? ctl_say(CTL_NO, "out of memory") : live(ctl, interval_ms, &l, &before);
	top_frame_free(l.frame);
	top_state_done(&l.state);
	if (l.signals >= 0)
		(void)close(l.signals);
	end_as_told(l.ended_by, &before);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return code;
}
