/* Parsing by inet_pton, which guesses nothing; the rest is the port behind the last colon. */
#include "base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/num.h"

enum { PORT_MAX = 65535, HOST_SIZE = 64, BACKLOG = 64 };

static int wrong(const char *text, struct fault *f)
{
	return fault_set(f, -EINVAL,
			 "\"%.80s\" is no address with a port (such as 127.0.0.1:9127 or [::1]:9127; "
			 "numbers, no names)",
			 text);
}

static void set_ipv4(struct address *a, struct in_addr ip, in_port_t port)
{
	const struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = port, .sin_addr = ip };

	*a = (struct address){ .size = sizeof(in) };
	memcpy(&a->storage, &in, sizeof(in));
}

static void set_ipv6(struct address *a, struct in6_addr ip, in_port_t port)
{
	const struct sockaddr_in6 in = { .sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = ip };

	*a = (struct address){ .size = sizeof(in) };
	memcpy(&a->storage, &in, sizeof(in));
}

int address_parse(const char *text, struct address *ret_address, struct fault *ret_fault)
{
	const char *colon = strrchr(text, ':');
	bool brackets = text[0] == '[' && colon && colon > text && colon[-1] == ']';
	size_t n = colon ? (size_t)(colon - text) - (brackets ? 2 : 0) : 0;
	char host[HOST_SIZE];
	int64_t port = 0;
	struct in_addr v4;
	struct in6_addr v6;

	if (!colon || n >= sizeof(host) || num_i64(bytes_of(colon + 1), &port) < 0 || port < 0 ||
	    port > PORT_MAX)
		return wrong(text, ret_fault);
	memcpy(host, text + (brackets ? 1 : 0), n);
	host[n] = '\0';
	if (brackets && inet_pton(AF_INET6, host, &v6) == 1)
		set_ipv6(ret_address, v6, htons((uint16_t)port));
	else if (!brackets && inet_pton(AF_INET, host, &v4) == 1)
		set_ipv4(ret_address, v4, htons((uint16_t)port));
	else
		return wrong(text, ret_fault);
	return 0;
}

static struct sockaddr_in as_ipv4(const struct address *a)
{
	struct sockaddr_in in;
	memcpy(&in, &a->storage, sizeof(in));
	return in;
}

static struct sockaddr_in6 as_ipv6(const struct address *a)
{
	struct sockaddr_in6 in;
	memcpy(&in, &a->storage, sizeof(in));
	return in;
}

unsigned address_port(const struct address *a)
{
	return ntohs(a->storage.ss_family == AF_INET ? as_ipv4(a).sin_port : as_ipv6(a).sin6_port);
}

bool address_is_loopback(const struct address *a)
{
	if (a->storage.ss_family == AF_INET)
		return ntohl(as_ipv4(a).sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	const struct in6_addr ip = as_ipv6(a).sin6_addr;
	return IN6_IS_ADDR_LOOPBACK(&ip);
}

int address_listen(const struct address *a, const char *text, int *ret_fd, struct fault *ret_fault)
{
	const int on = 1;
	bool v6 = a->storage.ss_family == AF_INET6;
	AUTO_FD fd = socket(a->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
	    bind(fd, (const struct sockaddr *)&a->storage, a->size) < 0 || listen(fd, BACKLOG) < 0)
		return fault_set(ret_fault, -errno, "cannot listen on %.80s: %s", text, strerror(errno));
	*ret_fd = TAKE_FD(fd);
	return 0;
}
