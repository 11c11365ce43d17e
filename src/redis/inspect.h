/* What `xackctl doctor` asks of Redis: about the server, its rights, and keys of a queue. Blocking calls that
 * change nothing. Conventions as in redis/admin.h. */
#pragma once

#include "redis/desk.h"

/* INFO as text. Gives. */
MUST_CHECK int inspect_info(struct connection *c, char **ret_text, struct redis_error *ret_error);
/* The value of "name:" in it; false if it is not there. */
bool inspect_value(const char *info, const char *name, char *ret_value, size_t size);
int64_t inspect_number(const char *info, const char *name, int64_t fallback);
/* CONFIG GET of one name. 0; 1 = not allowed, or unknown to this server. */
MUST_CHECK int inspect_config(struct connection *c, const char *name, char *ret_value, size_t size,
			      struct redis_error *ret_error);
/* Redis's clock in Unix ms. */
MUST_CHECK int inspect_time(struct connection *c, int64_t *ret_unix_ms, struct redis_error *ret_error);
/* TYPE of a key ("none" when it is not there). */
MUST_CHECK int inspect_type(struct connection *c, const char *key, char ret_type[16],
			    struct redis_error *ret_error);

/* Rights, one by one. Each probe is a call that is refused for its form, or finds nothing to do, but only
 * after Redis has looked at the rights: so it asks as the very user that is configured, and needs no right to
 * ask. */
struct probe {
	const char *what;      /* "XACK on the stream" */
	bool needed;           /* false: xackd does without, only worse */
	bool server;           /* not about a queue's keys */
	const char *words[10]; /* @S @G @due …: the queue's */
};
const struct probe *inspect_probes(size_t *ret_count);
/* 0 allowed; 1 refused, with the server's words in ret_error. */
MUST_CHECK int inspect_probe(struct connection *c, const struct queue_keys *k, const struct probe *p,
			     struct redis_error *ret_error);

/* The hosts of a queue. 0, or 1 = there is none. rows: JSON texts by name, name at 2i, text at 2i + 1. */
struct host_texts {
	char **texts;
	size_t count; /* of hosts */
};
MUST_CHECK int inspect_hosts(struct connection *c, const struct queue_keys *k, struct host_texts *ret,
			     struct redis_error *ret_error);
void host_texts_done(struct host_texts *h);
