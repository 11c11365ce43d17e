/* The journal's own socket: one datagram an event. Private to src/log. */
#pragma once

#include <stdbool.h>
#include <sys/un.h>

#include "base/bytes.h"

struct journal {
	int fd; /* -1: closed */
	struct sockaddr_un address;
	bool stalled; /* the last one was not taken */
};

/* Does this descriptor lead to the journal ($JOURNAL_STREAM says so)? */
bool journal_is(int fd);
/* False: there is no journal here. Again on an open one: nothing. */
bool journal_open(struct journal *j);
void journal_close(struct journal *j);
/* False: it was not taken (slow, dead, no memory). Waits a few milliseconds at most, and not at all while it is stalled. */
bool journal_send(struct journal *j, struct bytes fields);
