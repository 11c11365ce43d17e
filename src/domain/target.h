/* Where Redis is and how to get in: the parsed `redis:` section. Plain data, filled by the configuration. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/fault.h"

enum target_kind { TARGET_TCP, TARGET_UNIX };

struct redis_target {
	enum target_kind kind;
	bool embedded;      /* our own redis-server: kind is TARGET_UNIX, path is state_dir/redis.sock */
	char *host;         /* TCP */
	int port;
	char *path;         /* unix */
	int db;
	char *username;     /* NULL = none */
	char *password_file; /* read again at every connect, so that a rotated password is picked up; NULL = none */
	char *password_env;  /* name of a variable; NULL = none */
	int64_t connect_timeout_ms;
	int64_t command_timeout_ms;
};

/* Parse a URL into the fields above (not embedded). 0 or -EINVAL with a sentence.
 * redis://[user@]host[:port][/db], redis://[::1]:6379/2, unix:///path[?db=N]; a password in a URL is refused. */
MUST_CHECK int redis_target_parse(const char *url, struct redis_target *ret_target, struct fault *ret_fault);
void redis_target_done(struct redis_target *t);
/* The URL for people and logs: never a password. Gives. */
char *redis_target_text(const struct redis_target *t);

/* The whole `redis:` section: "embedded" becomes the socket in state_dir. Copies all. 0, -EINVAL, -ENOMEM. */
struct redis_target_settings {
	const char *url;
	const char *state_dir;
	const char *username;
	const char *password_file;
	const char *password_env;
	int64_t connect_timeout_ms;
	int64_t command_timeout_ms;
};
MUST_CHECK int redis_target_resolve(const struct redis_target_settings *settings, struct redis_target *ret_target, struct fault *ret_fault);

/* True unless the braces of a stream's or group's name do not form one valid hash tag: none at all, or exactly one '{' … '}' with
 * something between. */
bool queue_name_valid(const char *name);
