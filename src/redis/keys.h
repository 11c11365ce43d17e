/* The names of a queue's keys. */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "domain/target.h"

struct queue_keys {
	char *stream; /* copies, NUL-terminated; the configuration has made sure of no NUL and of a valid hash tag */
	char *group;
	char *due;
	char *given;
	char *note;
	char *dead;
	char *hosts;
	char *paused;
	char *remade;
	char *replay;
	char *later;
	char *later_data;
	char *cron;
	char *result; /* without the entry's ID, which follows */
	char *promoted;
};

/* The name of a key that a queue has for one of its jobs; malloc'ed, NULL: no memory. */
char *queue_job_key(const char *stream, const char *group, const char *what, const char *job);

#define XACKD_PARKED "xackd:parked"

/* 0 or -ENOMEM. */
MUST_CHECK int queue_keys_init(struct queue_keys *k, const char *stream, const char *group);
void queue_keys_done(struct queue_keys *k);
/* The key that lets an entry be added once only; name: any bytes. */
void queue_keys_add_once(const struct queue_keys *k, struct bytes name, struct buf *out);
