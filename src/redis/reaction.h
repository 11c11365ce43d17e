/* Every answer of Redis that is an error has its reaction: one table. */
#pragma once

#include <stddef.h>

#include "base/bytes.h"

enum reaction {
	REACT_NONE,      /* no error */
	REACT_BACK_OFF,  /* LOADING BUSY OOM MISCONF NOREPLICAS CLUSTERDOWN TRYAGAIN …: keep all, wait with jitter, again */
	REACT_RECONNECT, /* READONLY MASTERDOWN, refused, time-out, EOF, max clients: drop the connection, back off, connect */
	REACT_RESEND,    /* NOSCRIPT (inside the connection), script killed before it wrote: the same call once more */
	REACT_REREAD,    /* UNBLOCKED: read again, what then comes decides */
	REACT_GROUP,     /* NOGROUP: make the group again where it had got to */
	REACT_OPERATOR,  /* NOAUTH WRONGPASS NOPERM WRONGTYPE CROSSSLOT, unknown command: say what to change, retry slowly */
	REACT_FOLLOW,    /* MOVED ASK */
	REACT_UNKNOWN,   /* log it whole, back off */
	REACT_COUNT,
};

struct reaction_row {
	const char *code;     /* first word of the error, or a longer prefix; longest match wins */
	enum reaction reaction;
	const char *advice;   /* for REACT_OPERATOR: what to change; else why, for people */
};

/* The row for an error text (without the leading '-'); never NULL: the last row is the catch-all. */
const struct reaction_row *reaction_find(struct bytes error);
/* All rows, for the tests; ends with code "" (the catch-all). */
const struct reaction_row *reaction_table(size_t *ret_count);

/* An error reply, or a broken connection (reaction RECONNECT), kept for the log. */
struct redis_error {
	enum reaction reaction; /* REACT_NONE: there is none */
	const char *advice;
	char text[256];         /* printable, cut */
};
