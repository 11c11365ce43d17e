/* The human shape of lists and records: for output.c, and for what draws by itself (top). */
#pragma once

#include "ctl/output.h"

MUST_CHECK int table_begin(struct list *l);
void table_row(struct list *l, const struct cell *cells);
void table_end(struct list *l);
void table_record(struct buf *out, const struct output *o, const struct column *columns,
		  const struct cell *cells, size_t n);
/* A cell as people read it, fit for a terminal. */
void table_cell(struct buf *out, const struct cell *cell, enum show show, bool unicode);
