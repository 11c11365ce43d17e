/* The page: template, style, script, the chart library and the data in one text of HTML that asks for nothing
 * from anywhere. */
#pragma once

#include <stdbool.h>

#include "base/bytes.h"
#include "report/digest_json.h"

enum { REPORT_NONCE_SIZE = 33 };

struct report_page_options {
	bool live;                     /* asks its server for news */
	char nonce[REPORT_NONCE_SIZE]; /* what the scripts and styles of this page are known by; empty = one
					  is made */
};

void report_page(struct buf *out, const struct digest *t, const struct digest_source *source,
		 const struct report_page_options *options);

/* The Content-Security-Policy that fits a page with this nonce. */
void report_page_policy(struct buf *out, bool live, const char *nonce);
