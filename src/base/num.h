/* Strict numbers, durations and sizes: the whole text must be one, nothing is guessed. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

/* Decimal, optional '-'. 0, -EINVAL (not a number), -ERANGE. */
MUST_CHECK int num_i64(struct bytes text, int64_t *ret_value);
MUST_CHECK int num_u64(struct bytes text, uint64_t *ret_value);
/* The other way round; gives the length. */
enum { NUM_TEXT_SIZE = 24 };
size_t num_u64_text(uint64_t value, char ret_text[NUM_TEXT_SIZE]);
size_t num_i64_text(int64_t value, char ret_text[NUM_TEXT_SIZE]);
/* Plain decimal number with optional fraction ("0.5", "30"), never negative, no exponent, locale-free. */
MUST_CHECK int num_decimal(struct bytes text, double *ret_value);
/* Seconds with optional fraction to ms, rounded ("0.5" -> 500); not negative; bounded to 10 years. */
MUST_CHECK int num_seconds_ms(struct bytes text, int64_t *ret_ms);
/* "500ms" "30s" "5m" "2h" "7d" "0"; a bare number is -EINVAL. */
MUST_CHECK int num_duration_ms(struct bytes text, int64_t *ret_ms);
/* "64K" "10M" "1G" "123" (bytes). */
MUST_CHECK int num_size_bytes(struct bytes text, int64_t *ret_bytes);

/* "10/s" "600/m" "5000/h", at least 1 and at most a million; "0": none (both 0). -EINVAL, -ERANGE. */
MUST_CHECK int num_rate(struct bytes text, int64_t *ret_count, int64_t *ret_period_ms);

/* The shortest exact form: 300000 -> "5m", 1500 -> "1500ms", 0 -> "0". */
enum { NUM_DURATION_SIZE = 32 };
const char *num_duration_text(int64_t ms, char text[NUM_DURATION_SIZE]);
/* As it is written; a period that num_rate never gives is a fault of the caller. */
const char *num_rate_text(int64_t count, int64_t period_ms, char text[NUM_DURATION_SIZE]);
