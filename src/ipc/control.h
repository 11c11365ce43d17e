/* The control socket: xackctl asks the daemon. A unix stream socket; one JSON object a line in, one out, then closed. Mode 0660, peers are checked by the
 * folder's rights. Requests are bounded (64 KiB) and slow peers are cut off; nothing here blocks the loop. */
#pragma once

#include <ev.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/fault.h"
#include "base/json.h"

struct control_server;
/* Answer a request {"verb": …}. Gives a new reference (never NULL). Borrows request. Called from the loop. */
typedef json_t *control_handler_fn(void *user, json_t *request);

/* -EADDRINUSE: another daemon answers there (a left-over socket without one is replaced). */
MUST_CHECK int control_server_start(struct ev_loop *loop, const char *path, control_handler_fn *fn, void *user,
				    struct control_server **ret_server, struct fault *ret_fault);
void control_server_free(struct control_server *s); /* removes the socket; NULL-safe */

/* xackctl: ask and wait. 0 with the answer (a reference); -ENOENT, -ECONNREFUSED: no daemon there; -ETIMEDOUT; -EPROTO. */
MUST_CHECK int control_call(const char *path, json_t *request, int64_t timeout_ms, json_t **ret_answer, struct fault *ret_fault);
