/* The scripts by number, their hashes, and commands as bytes on the wire. Private to src/redis. */
#pragma once

#include <stdbool.h>

#include "redis/command.h"

enum { SCRIPT_HASH_SIZE = 41 };

/* The row of script_sources with that name, -1 if there is none (a mistake in the program, which a test finds). */
int script_find(const char *name);
size_t script_count(void);
/* The hash by which EVALSHA calls it: 40 lower-case hex digits and a NUL. */
void script_hash(int script, char ret_hash[SCRIPT_HASH_SIZE]);

/* Adds the command in RESP to out. A script is called by `hash`, or with its text when hash is NULL. */
void command_encode(const struct command *c, const char *hash, struct buf *out);

/* SHA-1 (RFC 3174), only because Redis names scripts by it. */
void sha1_hex(struct bytes data, char ret_hash[SCRIPT_HASH_SIZE]);
