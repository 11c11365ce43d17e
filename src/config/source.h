/* What struct config_source holds; only this folder sees it. */
#pragma once

#include "config/config.h"
#include "config/report.h"

struct config_text {
	char *name; /* as errors call it: below the path that the user gave */
	char *text; /* NULL: could not be read, see fault */
	size_t length;
	char *fault;        /* why; NULL when it could */
	struct place named; /* where the main file names it */
};

struct config_source {
	char *file;   /* absolute */
	char *folder; /* of file: relative paths start here */
	/* What the machine said when the files were read: a worker that starts later must come to the same
	 * slots and the same name. */
	char *host;
	bool handed_on; /* from the supervisor: for one who reads no zones */
	unsigned cpus;             /* online, at least 1 */
	struct config_text *texts; /* [0] is the main file, then the included ones in order */
	size_t count;
};
