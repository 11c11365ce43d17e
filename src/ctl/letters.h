/* Dead letters as the verbs walk over them: by filter, page by page in bounded memory, or by ID. */
#pragma once

#include "ctl/ctl.h"
#include "ctl/filter.h"
#include "redis/desk.h"

/* One letter that fits. 0 = go on, LETTERS_STOP, else the exit code (said). */
enum { LETTERS_STOP = -1 };
typedef int letter_fn(void *user, size_t queue, const struct dead_letter *letter);

/* Where a walk ends, queue by queue: what died later is not part of it (it may have died of this very walk).
 */
struct letters_end {
	char (*last)[ENTRY_ID_SIZE]; /* by queue; "" = nothing of this queue */
};

/* All that fit, at most filter->limit. until: NULL = to the end. fn answers 0 to go on, LETTERS_STOP, or an
 * exit code (said), which ends it. */
MUST_CHECK int letters_walk(struct ctl *ctl, const struct filter *filter, const struct letters_end *until,
			    letter_fn *fn, void *user);

/* The letter with this ID (its own, else the entry's) in the chosen queues. 0; CTL_NO, said, also when several
 * queues have one. */
MUST_CHECK int letters_find(struct ctl *ctl, const char *id, size_t *ret_queue,
			    struct dead_letter *ret_letter);

/* A letter as a row. */
enum { LETTER_COLUMNS = 14 };
extern const struct column letter_columns[LETTER_COLUMNS];
void letter_cells(const struct ctl *ctl, size_t queue, const struct dead_letter *letter,
		  struct cell cells[LETTER_COLUMNS]);
