/* Where Redis is: the URL of the configuration, taken apart strictly. A password never stands in it, so that no URL that is
 * printed or logged can hold one. */
#include "domain/target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/num.h"

enum { DEFAULT_PORT = 6379, MAX_DB = 1000 * 1000, UNIX_PATH_MAX = 107 /* sun_path with its NUL */ };

static int refuse(struct redis_target *t, struct fault *f, const char *why)
{
	redis_target_done(t);
	return fault_set(f, -EINVAL, "%s", why);
}

static int no_memory(struct redis_target *t, struct fault *f)
{
	redis_target_done(t);
	return fault_set(f, -ENOMEM, "no memory");
}

static int parse_db(struct bytes text, int *ret_db)
{
	int64_t db = 0;
	if (num_i64(text, &db) < 0 || db < 0 || db > MAX_DB)
		return -EINVAL;
	*ret_db = (int)db;
	return 0;
}

static int parse_port(struct bytes text, int *ret_port)
{
	int64_t port = 0;
	if (num_i64(text, &port) < 0 || port < 1 || port > 65535)
		return -EINVAL;
	*ret_port = (int)port;
	return 0;
}

/* host, host:port, [v6], [v6]:port; an empty one is the local host. */
static int parse_address(struct bytes text, struct bytes *ret_host, int *ret_port)
{
	struct bytes rest = { NULL, 0 };

	*ret_port = DEFAULT_PORT;
	if (text.n > 0 && text.p[0] == '[') {
		const char *close = memchr(text.p, ']', text.n);
		if (!close || close == text.p + 1)
			return -EINVAL;
		*ret_host = (struct bytes){ text.p + 1, (size_t)(close - text.p - 1) };
		rest = (struct bytes){ close + 1, text.n - (size_t)(close + 1 - text.p) };
		if (rest.n > 0 && rest.p[0] != ':')
			return -EINVAL;
	} else {
		const char *colon = text.n > 0 ? memchr(text.p, ':', text.n) : NULL;
		*ret_host = colon ? (struct bytes){ text.p, (size_t)(colon - text.p) } : text;
		if (colon)
			rest = (struct bytes){ colon, text.n - (size_t)(colon - text.p) };
	}
	if (ret_host->n == 0)
		*ret_host = bytes_of("127.0.0.1");
	return rest.n > 0 ? parse_port((struct bytes){ rest.p + 1, rest.n - 1 }, ret_port) : 0;
}

static int parse_tcp(const char *rest, struct redis_target *t, struct fault *f)
{
	size_t authority = strcspn(rest, "/?#");
	const char *at = memchr(rest, '@', authority);
	struct bytes address = { rest, authority }, host = { NULL, 0 };

	if (at) {
		struct bytes user = { rest, (size_t)(at - rest) };
		if (user.n > 0 && memchr(user.p, ':', user.n))
			return refuse(t, f, "a password does not belong into the URL: use password_file or password_env");
		if (user.n == 0 || memchr(at + 1, '@', authority - user.n - 1))
			return refuse(t, f, "what stands before the @ must be one user name");
		t->username = strndup(user.p, user.n);
		if (!t->username)
			return no_memory(t, f);
		address = (struct bytes){ at + 1, authority - user.n - 1 };
	}
	if (parse_address(address, &host, &t->port) < 0)
		return refuse(t, f, "the address must be host, host:port, [IPv6] or [IPv6]:port, the port 1 to 65535");
	const char *path = rest + authority;
	if (*path == '?' || *path == '#')
		return refuse(t, f, "options behind a ? are not known here: redis://[user@]host[:port][/db]");
	if (*path == '/' && path[1] != '\0' && parse_db(bytes_of(path + 1), &t->db) < 0)
		return refuse(t, f, "what stands behind the / must be the number of a database");
	t->kind = TARGET_TCP;
	t->host = strndup(host.p, host.n);
	return t->host ? 0 : no_memory(t, f);
}

static int parse_unix(const char *path, struct redis_target *t, struct fault *f)
{
	const char *query = strchr(path, '?');
	size_t n = query ? (size_t)(query - path) : strlen(path);

	if (n == 0 || path[0] != '/')
		return refuse(t, f, "the path of a socket must be absolute: unix:///run/redis/redis.sock");
	if (n > UNIX_PATH_MAX)
		return refuse(t, f, "the path of the socket is longer than the system allows (107 bytes)");
	if (query && (strncmp(query, "?db=", 4) != 0 || parse_db(bytes_of(query + 4), &t->db) < 0))
		return refuse(t, f, "the only option is ?db=NUMBER");
	t->kind = TARGET_UNIX;
	t->path = strndup(path, n);
	return t->path ? 0 : no_memory(t, f);
}

int redis_target_parse(const char *url, struct redis_target *ret_target, struct fault *ret_fault)
{
	struct redis_target t = { 0 };
	int r;

	if (strncmp(url, "redis://", 8) == 0)
		r = parse_tcp(url + 8, &t, ret_fault);
	else if (strncmp(url, "unix://", 7) == 0)
		r = parse_unix(url + 7, &t, ret_fault);
	else
		return fault_set(ret_fault, -EINVAL, "must be embedded, redis://[user@]host[:port][/db] or unix:///path[?db=N]");
	if (r == 0)
		*ret_target = t;
	return r;
}

void redis_target_done(struct redis_target *t)
{
	free(t->host);
	free(t->path);
	free(t->username);
	free(t->password_file);
	free(t->password_env);
	*t = (struct redis_target){ 0 };
}

char *redis_target_text(const struct redis_target *t)
{
	AUTO_BUF b = { 0 };

	if (t->kind == TARGET_UNIX) {
		buf_addf(&b, "unix://%s", t->path ? t->path : "");
		if (t->db > 0)
			buf_addf(&b, "?db=%d", t->db);
		return buf_take(&b);
	}
	const char *host = t->host ? t->host : "";
	bool v6 = strchr(host, ':') != NULL;
	buf_addf(&b, "redis://%s%s%s%s%s:%d/%d", t->username ? t->username : "", t->username ? "@" : "", v6 ? "[" : "", host, v6 ? "]" : "",
		 t->port, t->db);
	return buf_take(&b);
}

static int copy(const char *text, char **ret_text)
{
	if (!text || *text == '\0')
		return 0;
	char *made = strdup(text);
	if (!made)
		return -ENOMEM;
	free(*ret_text);
	*ret_text = made;
	return 0;
}

static int embedded(const char *state_dir, struct redis_target *t, struct fault *f)
{
	AUTO_BUF path = { 0 };

	buf_addf(&path, "%s/redis.sock", state_dir ? state_dir : "");
	if (path.n > UNIX_PATH_MAX)
		return fault_set(f, -EINVAL, "state_dir is too long for a socket in it (redis.sock): 107 bytes at most");
	t->embedded = true;
	t->kind = TARGET_UNIX;
	t->path = buf_take(&path);
	return t->path ? 0 : fault_set(f, -ENOMEM, "no memory");
}

int redis_target_resolve(const struct redis_target_settings *settings, struct redis_target *ret_target, struct fault *ret_fault)
{
	struct redis_target t = { 0 };
	const char *url = settings->url && *settings->url ? settings->url : "redis://127.0.0.1:6379/0";
	const char *user = settings->username;

	if (settings->password_file && *settings->password_file && settings->password_env && *settings->password_env)
		return fault_set(ret_fault, -EINVAL, "password_file or password_env, not both");
	int r = strcmp(url, "embedded") == 0 ? embedded(settings->state_dir, &t, ret_fault) : redis_target_parse(url, &t, ret_fault);
	if (r < 0)
		return r;
	if (t.username && user && *user && strcmp(t.username, user) != 0)
		return refuse(&t, ret_fault, "username and the user in url differ");
	if (copy(user, &t.username) < 0 || copy(settings->password_file, &t.password_file) < 0 || copy(settings->password_env, &t.password_env) < 0)
		return no_memory(&t, ret_fault);
	t.connect_timeout_ms = settings->connect_timeout_ms;
	t.command_timeout_ms = settings->command_timeout_ms;
	*ret_target = t;
	return 0;
}

bool queue_name_valid(const char *name)
{
	const char *open = strchr(name, '{');
	const char *close = strchr(name, '}');

	if (!open && !close)
		return true;
	return open && close && close > open + 1 && !strchr(open + 1, '{') && !strchr(close + 1, '}');
}
