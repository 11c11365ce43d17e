/* Looking for an entry in the queues of the configuration. */
#pragma once

#include "ctl/ctl.h"
#include "redis/desk.h"

struct sighting {
	size_t queue;
	char id[ENTRY_ID_SIZE]; /* the entry's, also when the dead letter's was asked for, or the one it had while it was delayed */
	char later_id[ENTRY_ID_SIZE]; /* that one, when it was asked for; else "" */
	const struct job *job;  /* NULL = none, or not to be told */
	struct explanation found;
	bool has_letter;
	struct dead_letter letter; /* state dead */
	struct result result;      /* state acknowledged or gone, where one is kept */
};
void sighting_done(struct sighting *s);

struct sightings {
	struct sighting *rows;
	size_t count;
};
void sightings_done(struct sightings *s);
#define AUTO_SIGHTINGS __attribute__((cleanup(sightings_done))) struct sightings

/* In which of the chosen queues it is (unknown ones left out). 0 or the exit code (said). */
MUST_CHECK int sightings_find(struct ctl *ctl, const char *id, struct sightings *ret);
/* It is in several: list them; CTL_NO. */
int sightings_list(struct ctl *ctl, const char *id, const struct sightings *all);

/* One queue, and nothing is said: 0 (also when it knows of no such entry), -EIO, -EPROTO, -ENOMEM with ret_error. */
MUST_CHECK int sighting_look(struct ctl *ctl, struct connection *connection, size_t queue, const char *id,
			     struct sighting *ret, struct redis_error *ret_error);
/* All about it, as `explain` prints it, fit for a terminal. Asks the daemon which handler it is. */
void sighting_add_text(struct ctl *ctl, const struct sighting *s, struct buf *text);
