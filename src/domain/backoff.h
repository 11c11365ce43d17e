/* Waiting times. Pure: the random number comes in. */
#pragma once

#include <stdint.h>

#include "domain/job.h"

/* Before attempt n+1, n ≥ 1: by the rules, at most max, then ± jitter × itself. Never negative, never overflows. */
int64_t backoff_retry_ms(const struct retry_rules *rules, int64_t n, double random);
/* For reconnects and restarts: full jitter over min(cap, base × 2^(failures-1)), at least base / 2. */
int64_t backoff_full_jitter_ms(int64_t base_ms, int64_t cap_ms, int64_t failures, double random);
