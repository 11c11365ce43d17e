/* See the header. */
#include "supervisor/http_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

int http_library_load(struct http_library *ret_library, struct fault *ret_fault)
{
	struct http_library l = { 0 };
	const struct {
		const char *name;
		void *to; /* a pointer to a function: all are of one size here, as dlsym wants it */
	} symbols[] = {
		{ "MHD_start_daemon", &l.start_daemon },
		{ "MHD_stop_daemon", &l.stop_daemon },
		{ "MHD_add_connection", &l.add_connection },
		{ "MHD_run", &l.run },
		{ "MHD_get_timeout", &l.get_timeout },
		{ "MHD_get_daemon_info", &l.get_daemon_info },
		{ "MHD_get_connection_info", &l.get_connection_info },
		{ "MHD_lookup_connection_value", &l.lookup_connection_value },
		{ "MHD_create_response_from_buffer", &l.create_response_from_buffer },
		{ "MHD_add_response_header", &l.add_response_header },
		{ "MHD_queue_response", &l.queue_response },
		{ "MHD_destroy_response", &l.destroy_response },
	};
	void *handle = dlopen(MICROHTTPD_SONAME, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		return fault_set(ret_fault, -ENOENT,
				 "libmicrohttpd cannot be loaded (apt install libmicrohttpd12): %.150s",
				 dlerror());
	for (size_t i = 0; i < ARRAY_LEN(symbols); i++) {
		void *symbol = dlsym(handle, symbols[i].name);
		if (!symbol)
			return fault_set(ret_fault, -ENOENT, "%s has no %s", MICROHTTPD_SONAME,
					 symbols[i].name);
		memcpy(symbols[i].to, &symbol, sizeof(symbol));
	}
	*ret_library = l;
	return 0;
}
