/* The terminal in full-screen mode. One at a time; main thread only; the thread's locale has to be a UTF-8
 * one. Where xackctl is built without ncurses, top_screen_open says so. */
#pragma once

#include "ctl/top.h"

/* 0; else the exit code, with the words in why (the terminal is as it was). */
MUST_CHECK int top_screen_open(bool colour, struct buf *why);
/* The terminal is as it was before; may be called twice. */
void top_screen_close(void);
/* After a stop (top_screen_close), or when the terminal has another size: rows and columns now, all drawn
 * anew. */
void top_screen_again(void);
void top_screen_size(size_t *ret_rows, size_t *ret_columns);
void top_screen_draw(const struct top_lines *lines);
/* The next key that was pressed (a character, or of enum top_key); false: there is none. */
bool top_screen_key(uint32_t *ret_key);
