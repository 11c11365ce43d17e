/* Configurations that are or were in force. The one in force is the first of the list; an older one stays for as long as a worker works by it, or the
 * reaper or its connection points into it. What only a new start can change is told here, and whether a pool is the same in two of them. */
#include "supervisor/state.h"

#include <errno.h>

int generation_new(struct config *config, const struct config_source *source, uint64_t number, struct generation **ret_gen)
{
	struct generation *g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	int r = config_source_to_memfd(source, &g->source_fd);
	if (r < 0) {
		free(g);
		return r;
	}
	g->number = number;
	g->config = config;
	*ret_gen = g;
	return 0;
}

void generation_free(struct generation *g)
{
	config_free(g->config);
	(void)close(g->source_fd);
	free(g);
}

void generations_sweep(struct supervisor *s, uint64_t oldest_worker)
{
	uint64_t reaper = reaper_generation(s->reaper, false);

	for (struct generation **at = &s->gen->older; *at;) {
		struct generation *g = *at;
		bool used = g->number == s->target_from || g->number >= reaper || g->number >= oldest_worker;
		if (used) {
			at = &g->older;
			continue;
		}
		*at = g->older;
		generation_free(g);
	}
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_place(const struct redis_target *a, const struct redis_target *b)
{
	return a->kind == b->kind && a->embedded == b->embedded && same_text(a->host, b->host) && a->port == b->port &&
	       same_text(a->path, b->path) && a->db == b->db;
}

bool generation_same_target(const struct redis_target *a, const struct redis_target *b)
{
	return same_place(a, b) && same_text(a->username, b->username) && same_text(a->password_file, b->password_file) &&
	       same_text(a->password_env, b->password_env) && a->connect_timeout_ms == b->connect_timeout_ms &&
	       a->command_timeout_ms == b->command_timeout_ms;
}

void generation_fixed_keys(const struct config *a, const struct config *b, struct buf *ret_names)
{
	const struct {
		const char *name;
		bool same;
	} keys[] = {
		{ "name", same_text(a->name, b->name) },
		{ "redis.url", same_place(&a->redis, &b->redis) },
		{ "control_socket", same_text(a->control_socket, b->control_socket) },
		{ "state_dir", same_text(a->state_dir, b->state_dir) },
	};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (!keys[i].same)
			buf_addf(ret_names, "%s: %s: can only be changed by a restart\n", b->file, keys[i].name);
	}
}

bool generation_same_pool(const struct config *a, const struct pool *in_a, const struct config *b, const struct pool *in_b)
{
	AUTO_BUF old = { 0 };
	AUTO_BUF fresh = { 0 };

	if (config_print_pool(a, in_a, &old) < 0 || config_print_pool(b, in_b, &fresh) < 0)
		return false;
	return bytes_eq(buf_bytes(&old), buf_bytes(&fresh));
}
