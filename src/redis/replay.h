/* Running again what a group is done with: the same entries, for this group alone. Conventions as in
 * redis/admin.h. */
#pragma once

#include "redis/admin.h"

enum { REPLAY_TOKEN_SIZE = 33, REPLAY_CURSOR_SIZE = ENTRY_ID_SIZE + 1, REPLAY_PAGE_MOST = 64 };

/* A replay under way; how far it has got is kept in Redis. */
struct replay {
	char token[REPLAY_TOKEN_SIZE];
	char cursor[REPLAY_CURSOR_SIZE]; /* where to go on: "ID", or "(ID" behind it */
	char last[ENTRY_ID_SIZE];
	int64_t count; /* put back so far, by all that worked on it */
	int64_t begun_ms;
};
/* Begin one, or go on with what was asked for in the same words and not finished. from: an ID; to: an ID or
 * "+". 0 with the replay; 1: another one is not finished (ret describes it, *ret_asked its words; owned),
 * unless it is to be forgotten. */
MUST_CHECK int replay_begin(struct connection *c, const struct queue_keys *k, const char *token,
			    const char *asked, const char *from, const char *to, bool forget,
			    struct replay *ret, char **ret_asked, struct redis_error *ret_error);

enum replay_state { REPLAY_DONE, REPLAY_PENDING, REPLAY_DEAD, REPLAY_NOT_YET };
struct replay_row {
	enum replay_state state;
	struct entry entry; /* its ID; its pairs, where they were asked for */
};
struct replay_page {
	struct replay_row *rows;
	size_t count;
	char last[ENTRY_ID_SIZE]; /* "" = there is nothing more */
};
void replay_page_done(struct replay_page *p);
/* At most max (REPLAY_PAGE_MOST) entries from cursor to last. */
MUST_CHECK int replay_look(struct connection *c, const struct queue_keys *k, const char *cursor,
			   const char *last, int64_t max, bool with_pairs, struct replay_page *ret,
			   struct redis_error *ret_error);

/* Put back those of them that are still done, and go on behind `next` (""= that was the end). 0 with the
 * number put back; r->cursor and r->count are renewed. 1: somebody else goes on with it, or it is another
 * one. */
MUST_CHECK int replay_step(struct connection *c, const struct queue_keys *k, struct replay *r,
			   const char *next, const char *const *ids, size_t n, int64_t *ret_count,
			   struct redis_error *ret_error);
