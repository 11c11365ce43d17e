/* ncurses, and nothing else: lines of marked text go to the terminal, keys come from it. */
#include "ctl/top_screen.h"

#ifdef HAVE_NCURSES

/* As functions only: as macros they have names that anybody uses. */
#define NCURSES_NOMACROS 1
#include <ncurses.h>
#include <term.h>
#include <sys/ioctl.h>
#include <wchar.h>

/* What term.h takes for itself. */
#undef lines
#undef columns

enum { ESCAPE_WAIT_MS = 50 };

static void use_colours(bool colour)
{
	if (!colour || !has_colors() || start_color() == ERR)
		return;
	(void)use_default_colors();
	(void)init_pair(TOP_GOOD, COLOR_GREEN, -1);
	(void)init_pair(TOP_WARN, COLOR_YELLOW, -1);
	(void)init_pair(TOP_BAD, COLOR_RED, -1);
}

/* A terminal whose cursor can be put anywhere. Asked before newterm, which loses memory where it fails, and
 * draws one line over the other where the cursor cannot be moved. */
static bool can_draw(const char *kind)
{
	int error = 0;
	if (!kind || !*kind || setupterm(kind, STDOUT_FILENO, &error) == ERR)
		return false;
	bool moves = cursor_address != NULL;
	(void)del_curterm(cur_term);
	return moves;
}

int top_screen_open(bool colour, struct buf *why)
{
	const char *kind = getenv("TERM");
	if (!can_draw(kind) || !newterm(NULL, stdout, stdin)) {
		buf_addf(why,
			 "nothing can be drawn on a terminal of kind \"%s\" (TERM): use xackctl top --batch",
			 kind ? kind : "");
		return CTL_USAGE;
	}
	(void)set_escdelay(ESCAPE_WAIT_MS);
	use_colours(colour);
	(void)cbreak();
	(void)noecho();
	(void)nonl();
	(void)intrflush(stdscr, FALSE);
	(void)keypad(stdscr, TRUE);
	(void)nodelay(stdscr, TRUE);
	(void)scrollok(stdscr, FALSE);
	(void)curs_set(0);
	return 0;
}

void top_screen_close(void)
{
	if (!isendwin())
		(void)endwin();
}

void top_screen_again(void)
{
	struct winsize size = { 0 };
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
		(void)resizeterm(size.ws_row, size.ws_col);
	(void)clearok(stdscr, TRUE);
	(void)refresh();
}

void top_screen_size(size_t *ret_rows, size_t *ret_columns)
{
	int rows = getmaxy(stdscr), columns = getmaxx(stdscr);
	*ret_rows = rows > 0 ? (size_t)rows : 0;
	*ret_columns = columns > 0 ? (size_t)columns : 0;
}

static attr_t attributes(enum top_style style)
{
	switch (style) {
	case TOP_PLAIN:
		return A_NORMAL;
	case TOP_GOOD:
	case TOP_WARN:
	case TOP_BAD:
		return (attr_t)COLOR_PAIR(style) | (style == TOP_BAD ? A_BOLD : A_NORMAL);
	case TOP_BOLD:
		return A_BOLD;
	case TOP_TITLE:
		return A_BOLD | A_REVERSE;
	case TOP_SELECTED:
		return A_REVERSE;
	}
	return A_NORMAL;
}

/* As wide characters: ncurses takes single bytes of UTF-8 between 0x80 and 0x9f for control characters. */
static void add(struct bytes text)
{
	wchar_t *wide = calloc(text.n + 1, sizeof(*wide));
	const char *from = text.p;
	mbstate_t state = { 0 };
	size_t n = wide ? mbsnrtowcs(wide, &from, text.n, text.n, &state) : 0;
	if (n != (size_t)-1)
		(void)waddnwstr(stdscr, wide, (int)n);
	free(wide);
}

static void draw_line(int y, const struct top_line *line)
{
	size_t at = 0;
	(void)wmove(stdscr, y, 0);
	for (size_t i = 0; i <= line->mark_count; i++) {
		size_t end = i < line->mark_count ? line->marks[i].from : line->text.n;
		if (end > at)
			add((struct bytes){ line->text.p + at, end - at });
		at = end;
		if (i < line->mark_count)
			(void)wattrset(stdscr, (int)attributes(line->marks[i].style));
	}
	(void)wattrset(stdscr, (int)A_NORMAL);
}

void top_screen_draw(const struct top_lines *lines)
{
	(void)werase(stdscr);
	for (size_t i = 0; i < lines->count; i++)
		draw_line((int)i, &lines->lines[i]);
	(void)wrefresh(stdscr);
}

bool top_screen_key(uint32_t *ret_key)
{
	static const struct {
		wint_t code;
		uint32_t key;
	} keys[] = {
		{ KEY_UP, TOP_KEY_UP },
		{ KEY_DOWN, TOP_KEY_DOWN },
		{ KEY_PPAGE, TOP_KEY_PAGE_UP },
		{ KEY_NPAGE, TOP_KEY_PAGE_DOWN },
		{ KEY_HOME, TOP_KEY_HOME },
		{ KEY_END, TOP_KEY_END },
		{ KEY_BTAB, TOP_KEY_BACKTAB },
		{ KEY_ENTER, TOP_KEY_ENTER },
		{ KEY_BACKSPACE, TOP_KEY_BACKSPACE },
		{ KEY_DC, TOP_KEY_BACKSPACE },
	};
	enum { CONTROL_L = 12 };
	wint_t code = 0;
	int kind = wget_wch(stdscr, &code);
	if (kind == ERR)
		return false;
	*ret_key = kind == KEY_CODE_YES ? TOP_KEY_SPECIAL : (uint32_t)code;
	for (size_t i = 0; kind == KEY_CODE_YES && i < ARRAY_LEN(keys); i++) {
		if (keys[i].code == code)
			*ret_key = keys[i].key;
	}
	if (*ret_key == CONTROL_L)
		*ret_key = TOP_KEY_REDRAW;
	return true;
}

#else

int top_screen_open(bool colour, struct buf *why)
{
	(void)colour;
	buf_add_text(why, "this xackctl was built without ncurses: there is only xackctl top --batch");
	return CTL_USAGE;
}

void top_screen_close(void)
{
}

void top_screen_again(void)
{
}

void top_screen_size(size_t *ret_rows, size_t *ret_columns)
{
	*ret_rows = *ret_columns = 0;
}

void top_screen_draw(const struct top_lines *lines)
{
	(void)lines;
}

bool top_screen_key(uint32_t *ret_key)
{
	(void)ret_key;
	return false;
}

#endif
