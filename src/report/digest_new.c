/* What a digest is made of, and how two buckets of time become one. */
#include <errno.h>

#include "report/digest.h"

static void merge_buckets(void *into, const void *from)
{
	struct digest_bucket *a = into;
	const struct digest_bucket *b = from;
	for (size_t i = 0; i < DIGEST_COUNT_SERIES; i++)
		a->count[i] += b->count[i];
	histogram_merge(&a->wait, &b->wait);
	histogram_merge(&a->run, &b->run);
}

static void merge_numbers(void *into, const void *from)
{
	*(uint64_t *)into += *(const uint64_t *)from;
}

static int make_tables(struct digest *t)
{
	t->jobs = calloc(DIGEST_JOBS + 1, sizeof(*t->jobs));
	t->hosts = calloc(DIGEST_HOSTS + 1, sizeof(*t->hosts));
	t->reasons = calloc(DIGEST_REASONS + 1, sizeof(*t->reasons));
	if (!t->jobs || !t->hosts || !t->reasons || tails_init(&t->tails) < 0)
		return -ENOMEM;
	for (size_t i = 0; i <= DIGEST_JOBS; i++)
		t->jobs[i].failed_ms = -1;
	for (size_t i = 0; i <= DIGEST_HOSTS; i++)
		t->hosts[i].first_ms = t->hosts[i].last_ms = t->hosts[i].lost_ms = -1;
	if (series_init(&t->series, sizeof(struct digest_bucket), merge_buckets) < 0 ||
	    series_init(&t->due, sizeof(uint64_t), merge_numbers) < 0)
		return -ENOMEM;
	if (names_init(&t->job_names, DIGEST_JOBS) < 0 || names_init(&t->host_names, DIGEST_HOSTS) < 0 ||
	    names_init(&t->reason_names, DIGEST_REASONS) < 0)
		return -ENOMEM;
	return 0;
}

int digest_new(const struct digest_range *range, struct digest **ret_digest)
{
	struct digest *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->range = *range;
	t->first_ms = t->last_ms = -1;
	int r = make_tables(t);
	const struct {
		struct top *top;
		size_t most;
	} tops[] = { { &t->slowest, DIGEST_RANKED },      { &t->waited, DIGEST_RANKED },
		     { &t->dead, DIGEST_LISTED },         { &t->recovered, DIGEST_LISTED },
		     { &t->outages, DIGEST_LISTED },      { &t->daemon_marks, DIGEST_LISTED },
		     { &t->worker_marks, DIGEST_LISTED }, { &t->job_marks, DIGEST_LISTED } };
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(tops); i++)
		r = top_init(tops[i].top, tops[i].most);
	if (r < 0) {
		digest_free(t);
		return r;
	}
	*ret_digest = t;
	return 0;
}

void digest_free(struct digest *t)
{
	if (!t)
		return;
	struct top *const tops[] = { &t->slowest, &t->waited,       &t->dead,         &t->recovered,
				     &t->outages, &t->daemon_marks, &t->worker_marks, &t->job_marks };
	for (size_t i = 0; i < ARRAY_LEN(tops); i++)
		top_done(tops[i]);
	tails_done(&t->tails);
	names_done(&t->job_names);
	names_done(&t->host_names);
	names_done(&t->reason_names);
	series_done(&t->series);
	series_done(&t->due);
	free(t->reasons);
	free(t->hosts);
	free(t->jobs);
	free(t);
}
