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
};

#define XACKD_PARKED "xackd:parked"

/* 0 or -ENOMEM. */
MUST_CHECK int queue_keys_init(struct queue_keys *k, const char *stream, const char *group);
void queue_keys_done(struct queue_keys *k);
