/* The main file's settings become the configuration's: the host's name, the paths that follow from others,
 * Redis. */
#include "config/load.h"

#include <errno.h>

enum { SOCKET_PATH_MAX = 107 }; /* sun_path with its NUL */

static struct place main_place(const struct loading *l, enum key_id key)
{
	return l->main_at[key] ? l->main_at[key]->at : (struct place){ 0, 0, 0 };
}

/* The host's name with '-' for what cannot stand in a name. */
static int name_from_host(struct loading *l, char **ret_name)
{
	const char *host = l->source->host[0] ? l->source->host : "localhost";
	size_t length = strnlen(host, NAME_MAX_BYTES);
	char *name = arena_text(l->loader.arena, host, length);

	if (!name)
		return -ENOMEM;
	for (size_t i = 0; i < length; i++) {
		if (!name_valid((const char[2]){ name[i], '\0' }, 1))
			name[i] = '-';
	}
	*ret_name = name;
	return 0;
}

static int resolve_paths(struct loading *l)
{
	struct config *c = l->config;
	const char *slash = strrchr(c->control_socket, '/');

	if (strlen(c->control_socket) > SOCKET_PATH_MAX)
		report_add(l->loader.report, main_place(l, KEY_MAIN_CONTROL_SOCKET),
			   &(struct key_path){ NULL, "control_socket", 0 },
			   "the path of the socket is longer than the system allows (%d bytes)",
			   SOCKET_PATH_MAX);
	c->runtime_dir = arena_text(l->loader.arena, c->control_socket,
				    slash == c->control_socket ? 1 : (size_t)(slash - c->control_socket));
	return c->runtime_dir ? 0 : -ENOMEM;
}

/* URLs of other versions deserve better than "unknown". */
static bool url_is_not_yet(const char *url)
{
	static const char *const schemes[] = { "rediss://", "redis+sentinel://", "redis+cluster://" };

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (strncmp(url, schemes[i], strlen(schemes[i])) == 0)
			return true;
	}
	return false;
}

static int resolve_redis(struct loading *l)
{
	const struct settings *s = l->settings;
	const struct key_path top = { NULL, "redis", 0 }, path = { &top, "url", 0 };
	const struct redis_target_settings wanted = {
		.url = s->redis_url,
		.state_dir = s->state_dir,
		.username = s->redis_username,
		.password_file = s->redis_password_file,
		.password_env = s->redis_password_env,
		.connect_timeout_ms = s->redis_connect_timeout_ms,
		.command_timeout_ms = s->redis_command_timeout_ms,
	};
	struct fault fault = { 0 };

	if (url_is_not_yet(s->redis_url)) {
		report_add(l->loader.report, main_place(l, KEY_REDIS_URL), &path,
			   "%s is not supported in this version (write embedded, redis:// or unix://)",
			   QUOTED_TEXT(s->redis_url));
		return 0;
	}
	if (s->redis_password_file && s->redis_password_env) {
		report_add(l->loader.report, main_place(l, KEY_REDIS_PASSWORD_ENV), &top,
			   "password_file and password_env exclude each other");
		return 0;
	}
	int r = redis_target_resolve(&wanted, &l->config->redis, &fault);
	if (r != -EINVAL)
		return r;
	report_add(l->loader.report, main_place(l, KEY_REDIS_URL), &path, "%s", fault.text);
	return 0;
}

int resolve_main(struct loading *l)
{
	struct settings *s = l->settings;
	struct config *c = l->config;
	int r = 0;

	if (!s->name)
		r = name_from_host(l, &s->name);
	c->file = arena_text(l->loader.arena, l->source->file, strlen(l->source->file));
	if (r < 0 || !c->file)
		return -ENOMEM;
	c->name = s->name;
	c->group = s->group;
	c->unmatched = s->unmatched;
	c->drain_timeout_ms = s->drain_timeout_ms;
	c->state_dir = s->state_dir;
	c->control_socket = s->control_socket;
	c->log_format = s->log_format;
	c->log_level = s->log_level;
	c->metrics_listen = s->metrics_listen;
	c->metrics_textfile = s->metrics_textfile;
	r = resolve_paths(l);
	return r == 0 ? resolve_redis(l) : r;
}
