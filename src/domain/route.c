/* See the header. */
#include "domain/route.h"

static bool fits(const struct job *job, const struct entry *e)
{
	for (size_t i = 0; i < job->match_count; i++) {
		const struct entry_pair *p = entry_find(e, bytes_of(job->matches[i].name));
		if (!p || !bytes_eq(p->value, bytes_of(job->matches[i].value)))
			return false;
	}
	return true;
}

const struct job *route_job(const struct queue *queue, const struct entry *entry)
{
	for (size_t i = 0; i < queue->job_count; i++) {
		if (fits(queue->jobs[i], entry))
			return queue->jobs[i];
	}
	return NULL;
}

size_t route_fill(const struct job *job, struct entry_pair *pairs, size_t n)
{
	for (size_t i = 0; i < job->match_count; i++) {
		const struct entry given = { .pairs = pairs, .pair_count = n };
		const struct match_rule *rule = &job->matches[i];
		if (!entry_find(&given, bytes_of(rule->name)))
			pairs[n++] = (struct entry_pair){ bytes_of(rule->name), bytes_of(rule->value) };
	}
	return n;
}
