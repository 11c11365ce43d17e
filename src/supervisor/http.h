/* A small HTTP server for figures: GET of one page, on the supervisor's loop, by libmicrohttpd. Nobody who
 * asks can hold the loop up: there are few connections, each has one answer and five seconds. No timer runs
 * and nothing wakes while nobody is connected. Private to src/supervisor. */
#pragma once

#include <ev.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "base/fault.h"

struct http_server;

/* Write the page. openmetrics: that form was asked for. What it writes may be given to others, too, for a
 * quarter of a second. */
typedef void http_page_fn(void *user, bool openmetrics, struct buf *out);

/* Listen on text (base/address.h). The library is only loaded here, so that workers, which are the same
 * program, don't carry it. 0 or -errno with a sentence. */
MUST_CHECK int http_server_start(struct ev_loop *loop, const char *text, http_page_fn *page, void *user,
				 struct http_server **ret_server, struct fault *ret_fault);
void http_server_free(struct http_server *s);
