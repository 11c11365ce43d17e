/* libmicrohttpd, loaded when it is first wanted: it brings gnutls and more with it, which each worker would
 * pay for (a worker is the same program) and most daemons never use. Private to src/supervisor. */
#pragma once

#include <microhttpd.h>

#include "base/fault.h"

struct http_library {
	__typeof__(&MHD_start_daemon) start_daemon;
	__typeof__(&MHD_stop_daemon) stop_daemon;
	__typeof__(&MHD_add_connection) add_connection;
	__typeof__(&MHD_run) run;
	__typeof__(&MHD_get_timeout) get_timeout;
	__typeof__(&MHD_get_daemon_info) get_daemon_info;
	__typeof__(&MHD_get_connection_info) get_connection_info;
	__typeof__(&MHD_lookup_connection_value) lookup_connection_value;
	__typeof__(&MHD_create_response_from_buffer) create_response_from_buffer;
	__typeof__(&MHD_add_response_header) add_response_header;
	__typeof__(&MHD_queue_response) queue_response;
	__typeof__(&MHD_destroy_response) destroy_response;
};

/* 0, -ENOENT with what to install. It stays loaded. */
MUST_CHECK int http_library_load(struct http_library *ret_library, struct fault *ret_fault);
