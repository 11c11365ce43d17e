/* The human shape of lists and records; used by output.c alone. */
#pragma once

#include "ctl/output.h"

MUST_CHECK int table_begin(struct list *l);
void table_row(struct list *l, const struct cell *cells);
void table_end(struct list *l);
void table_record(struct buf *out, const struct output *o, const struct column *columns,
		  const struct cell *cells, size_t n);
