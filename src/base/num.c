/* Strict parsing: no locale, no leading blanks, no trailing rest, every overflow found. */
#include "base/num.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum { TEN_YEARS_S = 10 * 366 * 24 * 3600 };

int num_u64(struct bytes text, uint64_t *ret_value)
{
	uint64_t value = 0;
	bool over = false;

	for (size_t i = 0; i < text.n; i++) {
		unsigned digit = (unsigned)(unsigned char)text.p[i] - '0';
		if (digit > 9)
			return -EINVAL;
		over = __builtin_mul_overflow(value, 10u, &value) ||
		       __builtin_add_overflow(value, digit, &value) || over;
	}
	if (text.n == 0)
		return -EINVAL;
	if (over)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int num_i64(struct bytes text, int64_t *ret_value)
{
	bool negative = text.n > 0 && text.p[0] == '-';
	uint64_t value = 0;
	int r = num_u64(negative ? (struct bytes){ text.p + 1, text.n - 1 } : text, &value);
	if (r < 0)
		return r;
	if (value > (uint64_t)INT64_MAX + (negative ? 1 : 0))
		return -ERANGE;
	*ret_value = negative ? (int64_t)(0 - value) : (int64_t)value;
	return 0;
}

/* printf takes ten times as long, and each job has a dozen numbers. */
static size_t add_digits(uint64_t value, char *at)
{
	char digits[NUM_TEXT_SIZE];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	for (size_t i = 0; i < n; i++)
		at[i] = digits[n - 1 - i];
	at[n] = '\0';
	return n;
}

size_t num_u64_text(uint64_t value, char ret_text[NUM_TEXT_SIZE])
{
	return add_digits(value, ret_text);
}

size_t num_i64_text(int64_t value, char ret_text[NUM_TEXT_SIZE])
{
	if (value >= 0)
		return add_digits((uint64_t)value, ret_text);
	ret_text[0] = '-';
	return 1 + add_digits(0 - (uint64_t)value, ret_text + 1);
}

int num_decimal(struct bytes text, double *ret_value)
{
	const char *dot = text.n ? memchr(text.p, '.', text.n) : NULL;
	struct bytes whole = { text.p, dot ? (size_t)(dot - text.p) : text.n };
	uint64_t value = 0;
	double fraction = 0, scale = 1;

	int r = num_u64(whole, &value);
	if (r < 0)
		return r;
	if (dot) {
		struct bytes rest = { dot + 1, text.n - whole.n - 1 };
		if (rest.n == 0)
			return -EINVAL;
		for (size_t i = 0; i < rest.n; i++) {
			if (rest.p[i] < '0' || rest.p[i] > '9')
				return -EINVAL;
			scale /= 10;
			fraction += (rest.p[i] - '0') * scale;
		}
	}
	*ret_value = (double)value + fraction;
	return 0;
}

int num_seconds_ms(struct bytes text, int64_t *ret_ms)
{
	double seconds = 0;
	int r = num_decimal(text, &seconds);
	if (r < 0)
		return r;
	if (seconds > TEN_YEARS_S)
		seconds = TEN_YEARS_S;
	*ret_ms = (int64_t)(seconds * 1000.0 + 0.5);
	return 0;
}

struct unit {
	const char *name;
	int64_t factor;
};

static int with_unit(struct bytes text, const struct unit *units, size_t count, int64_t *ret_value)
{
	size_t digits = 0;
	if (text.n == 0)
		return -EINVAL;
	while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
		digits++;
	struct bytes name = { text.p + digits, text.n - digits };
	int64_t value = 0;
	int r = num_i64((struct bytes){ text.p, digits }, &value);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		if (!bytes_eq(name, bytes_of(units[i].name)))
			continue;
		return __builtin_mul_overflow(value, units[i].factor, ret_value) ? -ERANGE : 0;
	}
	return -EINVAL;
}

static const struct unit duration_units[] = {
	{ "d", 24 * 3600 * 1000 }, { "h", 3600 * 1000 }, { "m", 60 * 1000 }, { "s", 1000 }, { "ms", 1 },
};

int num_duration_ms(struct bytes text, int64_t *ret_ms)
{
	int64_t ms = 0;
	if (bytes_eq(text, bytes_of("0"))) {
		*ret_ms = 0;
		return 0;
	}
	int r = with_unit(text, duration_units, ARRAY_LEN(duration_units), &ms);
	if (r < 0)
		return r;
	if (ms > (int64_t)TEN_YEARS_S * 1000)
		return -ERANGE;
	*ret_ms = ms;
	return 0;
}

int num_size_bytes(struct bytes text, int64_t *ret_bytes)
{
	static const struct unit units[] = {
		{ "", 1 }, { "K", 1 << 10 }, { "M", 1 << 20 }, { "G", 1 << 30 }, { "T", (int64_t)1 << 40 },
	};
	int64_t value = 0;
	int r = with_unit(text, units, ARRAY_LEN(units), &value);
	if (r < 0)
		return r;
	*ret_bytes = value;
	return 0;
}

const char *num_duration_text(int64_t ms, char text[NUM_DURATION_SIZE])
{
	if (ms == 0) {
		snprintf(text, NUM_DURATION_SIZE, "0");
		return text;
	}
	for (size_t i = 0; i < ARRAY_LEN(duration_units); i++) {
		if (ms % duration_units[i].factor != 0)
			continue;
		snprintf(text, NUM_DURATION_SIZE, "%" PRId64 "%s", ms / duration_units[i].factor, duration_units[i].name);
		break;
	}
	return text;
}

static const struct unit rate_units[] = { { "/s", 1000 }, { "/m", 60 * 1000 }, { "/h", 60 * 60 * 1000 } };

int num_rate(struct bytes text, int64_t *ret_count, int64_t *ret_period_ms)
{
	enum { RATE_MOST = 1000000 };
	const char *slash = text.n > 0 ? memchr(text.p, '/', text.n) : NULL;
	int64_t count;

	if (bytes_eq(text, bytes_of("0"))) {
		*ret_count = *ret_period_ms = 0;
		return 0;
	}
	if (!slash)
		return -EINVAL;
	size_t digits = (size_t)(slash - text.p);
	int r = num_i64((struct bytes){ text.p, digits }, &count);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(rate_units); i++) {
		if (!bytes_eq((struct bytes){ slash, text.n - digits }, bytes_of(rate_units[i].name)))
			continue;
		if (count < 1 || count > RATE_MOST)
			return -ERANGE;
		*ret_count = count;
		*ret_period_ms = rate_units[i].factor;
		return 0;
	}
	return -EINVAL;
}

const char *num_rate_text(int64_t count, int64_t period_ms, char text[NUM_DURATION_SIZE])
{
	snprintf(text, NUM_DURATION_SIZE, "0");
	for (size_t i = 0; i < ARRAY_LEN(rate_units); i++) {
		if (rate_units[i].factor == period_ms)
			snprintf(text, NUM_DURATION_SIZE, "%" PRId64 "%s", count, rate_units[i].name);
	}
	return text;
}
