/* A command under construction: arguments of known length. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

struct command {
	struct buf text;       /* private: all arguments, one behind the other */
	struct buf lengths;    /* private: size_t for each */
	size_t argc;
	bool waits;            /* private: it may block */
	int script;            /* private: index of the script when EVALSHA, else -1 (set by command_script) */
};

/* Begin: forgets what was there, keeps the memory. Zero-initialise the struct once before. */
void command_begin(struct command *c, const char *name);
/* Begin a script call "EVALSHA sha numkeys"; keys, then arguments must follow. On NOSCRIPT the connection sends
 * the same as EVAL by itself. name is the file's name in src/lua without .lua. */
void command_script(struct command *c, const char *name, size_t key_count);
/* It is a read that may wait: what is sent behind it is not looked at until it ends. */
void command_waits(struct command *c);
void command_text(struct command *c, const char *text);
void command_two(struct command *c, const char *text, const char *more); /* one argument of both */
void command_bytes(struct command *c, struct bytes bytes);
void command_i64(struct command *c, int64_t value);
void command_u64(struct command *c, uint64_t value);
void command_done(struct command *c);
#define AUTO_COMMAND __attribute__((cleanup(command_done))) struct command
