/* An address to listen on, as text: "127.0.0.1:9127", "[::1]:9127". Numbers only: no name is ever looked up.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "base/fault.h"

struct address {
	struct sockaddr_storage storage;
	socklen_t size;
};

/* Port 0 is a valid text: whoever binds it gets a free one. 0; -EINVAL with what would have been right. */
MUST_CHECK int address_parse(const char *text, struct address *ret_address, struct fault *ret_fault);
unsigned address_port(const struct address *a);
/* Only this machine can reach it. */
bool address_is_loopback(const struct address *a);
/* A TCP socket that listens there, not blocking, close-on-exec; IPv6 does not take IPv4's port. Gives. 0 or
 * -errno with a sentence. */
MUST_CHECK int address_listen(const struct address *a, const char *text, int *ret_fd,
			      struct fault *ret_fault);
