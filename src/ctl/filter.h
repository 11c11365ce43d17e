/* The filters that all lists of entries share. A filter borrows from the command line. */
#pragma once

#include <regex.h>
#include <stdbool.h>

#include "ctl/args.h"
#include "domain/entry.h"

struct field_rule {
	struct bytes name;
	regex_t regex;
};
struct filter {
	const char *job;       /* NULL = any */
	const char *reason;    /* NULL = any */
	int64_t older_than_ms; /* -1 = any */
	int64_t limit;         /* -1 = none */
	struct field_rule *rules;
	size_t rule_count;
	bool for_reader; /* the limit is what a person reads, not what was asked for */
};

/* 0 or the exit code (said). */
MUST_CHECK int filter_init(struct filter *f, const struct args *args);
void filter_done(struct filter *f);
/* A table on a terminal without --limit: the first thousand rows, and a word about it behind them. */
void filter_for_reader(struct filter *f, const struct output *o);
void filter_tell_reader(const struct filter *f, size_t rows);
#define AUTO_FILTER __attribute__((cleanup(filter_done))) struct filter

/* NULL = not known, which fits no filter. */
bool filter_text(const char *wanted, const char *text);
/* at_ms -1 = not known, which is older than nothing. */
bool filter_age(const struct filter *f, int64_t at_ms, int64_t now_ms);
/* Every rule fits one of the fields of its name. */
bool filter_pairs(const struct filter *f, const struct entry *entry);
