/* Waiting times in saturating arithmetic: attempt 1,000 must not overflow into now. */
#include "domain/backoff.h"

static int64_t saturating_mul(int64_t a, int64_t b)
{
	int64_t product;
	return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

static int64_t doubled(int64_t base, int64_t times)
{
	for (; times > 0 && base < INT64_MAX / 2 && base > 0; times--)
		base *= 2;
	return times > 0 && base > 0 ? INT64_MAX : base;
}

int64_t backoff_retry_ms(const struct retry_rules *rules, int64_t n, double random)
{
	int64_t wait = rules->initial_ms;

	if (n < 1)
		n = 1;
	if (rules->backoff == BACKOFF_LINEAR)
		wait = saturating_mul(rules->initial_ms, n);
	else if (rules->backoff == BACKOFF_EXPONENTIAL)
		wait = doubled(rules->initial_ms, n - 1);
	if (wait > rules->max_ms)
		wait = rules->max_ms;
	double spread = (double)wait * rules->jitter * (2.0 * random - 1.0);
	double result = (double)wait + spread;
	if (result <= 0)
		return 0;
	return result >= (double)INT64_MAX / 2 ? INT64_MAX / 2 : (int64_t)(result + 0.5);
}

int64_t backoff_full_jitter_ms(int64_t base_ms, int64_t cap_ms, int64_t failures, double random)
{
	int64_t ceiling = doubled(base_ms, failures > 0 ? failures - 1 : 0);

	if (ceiling > cap_ms)
		ceiling = cap_ms;
	int64_t wait = (int64_t)((double)ceiling * random);
	return wait < base_ms / 2 ? base_ms / 2 : wait;
}
