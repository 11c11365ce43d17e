/* Scripts live in Redis's cache under the SHA-1 of their text. They are called by it, and with the whole text only when
 * Redis says NOSCRIPT (after a restart, a failover, SCRIPT FLUSH), so that nothing has to be loaded beforehand. */
#include "redis/scripts.h"

#include "base/num.h"
#include "redis/scripts_gen.h"

int script_find(const char *name)
{
	for (int i = 0; script_sources[i].name; i++)
		if (strcmp(script_sources[i].name, name) == 0)
			return i;
	return -1;
}

size_t script_count(void)
{
	size_t n = 0;
	while (script_sources[n].name)
		n++;
	return n;
}

void script_hash(int script, char ret_hash[SCRIPT_HASH_SIZE])
{
	sha1_hex(bytes_of(script_sources[script].text), ret_hash);
}

static void add_count(struct buf *out, char kind, size_t n)
{
	char text[NUM_TEXT_SIZE];

	buf_add_char(out, kind);
	buf_add(out, text, num_u64_text(n, text));
	buf_add(out, "\r\n", 2);
}

static void add_argument(struct buf *out, const char *p, size_t n)
{
	add_count(out, '$', n);
	buf_add(out, p, n);
	buf_add(out, "\r\n", 2);
}

void command_encode(const struct command *c, const char *hash, struct buf *out)
{
	const char *at = c->text.p;

	add_count(out, '*', c->argc);
	for (size_t i = 0; i < c->argc; i++) {
		size_t n;
		memcpy(&n, c->lengths.p + i * sizeof(n), sizeof(n));
		const char *p = n > 0 ? at : "";
		if (c->script >= 0 && i == 0)
			add_argument(out, hash ? "EVALSHA" : "EVAL", hash ? 7 : 4);
		else if (c->script >= 0 && i == 1 && hash)
			add_argument(out, hash, strlen(hash));
		else if (c->script >= 0 && i == 1)
			add_argument(out, script_sources[c->script].text, strlen(script_sources[c->script].text));
		else
			add_argument(out, p, n);
		at += n;
	}
}
