/* A command as two flat buffers, text and lengths: building one for every job costs no allocation once the buffers have
 * grown, and arguments may hold any bytes. A script call leaves a hole where the hash stands: the connection fills it in. */
#include "redis/command.h"

#include "base/num.h"
#include "redis/scripts.h"

static void add(struct command *c, const void *p, size_t n)
{
	buf_add(&c->text, p, n);
	buf_add(&c->lengths, &n, sizeof(n));
	c->argc++;
}

void command_begin(struct command *c, const char *name)
{
	buf_clear(&c->text);
	buf_clear(&c->lengths);
	c->text.failed = false;
	c->lengths.failed = false;
	c->argc = 0;
	c->script = -1;
	c->waits = false;
	command_text(c, name);
}

void command_script(struct command *c, const char *name, size_t key_count)
{
	command_begin(c, "EVALSHA");
	c->script = script_find(name);
	command_text(c, ""); /* the hash, or the text on EVAL */
	command_u64(c, key_count);
}

void command_waits(struct command *c)
{
	c->waits = true;
}

void command_text(struct command *c, const char *text)
{
	add(c, text, strlen(text));
}

void command_two(struct command *c, const char *text, const char *more)
{
	size_t n = strlen(text) + strlen(more);
	buf_add_text(&c->text, text);
	buf_add_text(&c->text, more);
	buf_add(&c->lengths, &n, sizeof(n));
	c->argc++;
}

void command_bytes(struct command *c, struct bytes bytes)
{
	add(c, bytes.p ? bytes.p : "", bytes.n);
}

void command_i64(struct command *c, int64_t value)
{
	char text[NUM_TEXT_SIZE];
	size_t n = num_i64_text(value, text);
	add(c, text, n);
}

void command_u64(struct command *c, uint64_t value)
{
	char text[NUM_TEXT_SIZE];
	size_t n = num_u64_text(value, text);
	add(c, text, n);
}

void command_done(struct command *c)
{
	buf_done(&c->text);
	buf_done(&c->lengths);
	c->argc = 0;
}
