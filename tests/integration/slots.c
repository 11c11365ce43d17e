/* The times of a schedule, for comparing with another reckoning of them: reads lines "ZONE FROM UNTIL
 * EXPRESSION" (ZONE: a file, or a rule; times in seconds since 1970), writes the slots in (FROM, UNTIL] of
 * each on a line. */
#include <stdio.h>
#include <stdlib.h>

#include "base/fd.h"
#include "domain/cron.h"

static struct zone *zone_of(const char *name)
{
	struct zone *zone = NULL;
	AUTO_BUF file = { 0 };
	int r = *name == '/' ? fd_read_file(name, 1 << 20, &file) : zone_from_rule(name, &zone);

	if (r == 0 && *name == '/')
		r = zone_from_file(buf_bytes(&file), &zone);
	if (r < 0) {
		fprintf(stderr, "%s: %d\n", name, r);
		exit(1);
	}
	return zone;
}

int main(void)
{
	char name[256], expression[256];
	long long from, until;

	while (scanf("%255s %lld %lld %255[^\n]", name, &from, &until, expression) == 4) {
		struct zone *zone = zone_of(name);
		struct fault fault;
		struct cron cron;
		size_t place;
		if (cron_parse(expression, &cron, &place, &fault) < 0) {
			fprintf(stderr, "%s: %s at %zu\n", expression, fault.text, place);
			return 1;
		}
		for (int64_t at = from; (at = cron_next(&cron, zone, at)) <= until;)
			printf("%lld ", (long long)at);
		printf("\n");
		zone_free(zone);
	}
	return 0;
}
