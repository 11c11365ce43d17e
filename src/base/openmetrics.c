/* Numbers are written as integers or as exact decimals, never through a float: what was counted is what is
 * read. */
#include "base/openmetrics.h"

enum { MS_PER_S = 1000 };

static const struct {
	const char *type, *classic_type;
	const char *suffix; /* of its samples */
} kinds[] = {
	[METRIC_COUNTER] = { "counter", "counter", "_total" },
	[METRIC_GAUGE] = { "gauge", "gauge", "" },
	[METRIC_HISTOGRAM] = { "histogram", "histogram", "" },
	[METRIC_INFO] = { "info", "gauge", "_info" },
};

void metric_family(struct openmetrics *m, const char *name, enum metric_type type, const char *help)
{
	const char *suffix = m->classic ? kinds[type].suffix : "";

	m->name = name;
	m->type = type;
	buf_addf(m->out, "# HELP %s%s %s\n", name, suffix, help);
	buf_addf(m->out, "# TYPE %s%s %s\n", name, suffix,
		 m->classic ? kinds[type].classic_type : kinds[type].type);
}

/* Thousands of samples are one page, and whoever writes it has other things to do: no printf for each. */
static void add_number(struct buf *out, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	buf_add(out, digits + at, sizeof(digits) - at);
}

static bool plain(const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
			return false;
	}
	return true;
}

static void add_value(struct buf *out, const char *text)
{
	AUTO_BUF clean = { 0 };

	if (plain(text)) {
		buf_add_text(out, text);
		return;
	}
	buf_add_utf8(&clean, bytes_of(text));
	for (size_t i = 0; i < clean.n; i++) {
		char c = clean.p[i];
		if (c == '\n')
			buf_add_text(out, "\\n");
		else if (c == '"' || c == '\\')
			buf_addf(out, "\\%c", c);
		else
			buf_add_char(out, c);
	}
	if (clean.failed)
		out->failed = true;
}

static void add_label(struct buf *out, const char *before, const struct metric_label *label)
{
	buf_add_text(out, before);
	buf_add_text(out, label->name);
	buf_add_text(out, "=\"");
	add_value(out, label->value ? label->value : "");
	buf_add_char(out, '"');
}

/* le: NULL, or a histogram's bound. */
static void begin_sample(struct openmetrics *m, const char *suffix, const struct metric_label *labels,
			 size_t count, const char *le)
{
	buf_add_text(m->out, m->name);
	buf_add_text(m->out, suffix);
	for (size_t i = 0; i < count; i++)
		add_label(m->out, i == 0 ? "{" : ",", &labels[i]);
	if (le)
		add_label(m->out, count == 0 ? "{" : ",", &(struct metric_label){ "le", le });
	buf_add_text(m->out, count > 0 || le ? "} " : " ");
}

void metric_count(struct openmetrics *m, const struct metric_label *labels, size_t count, uint64_t value)
{
	begin_sample(m, kinds[m->type].suffix, labels, count, NULL);
	add_number(m->out, value);
	buf_add_char(m->out, '\n');
}

static void add_seconds(struct buf *out, uint64_t ms)
{
	uint64_t rest = ms % MS_PER_S;

	add_number(out, ms / MS_PER_S);
	buf_add_char(out, '.');
	buf_add_char(out, (char)('0' + rest / 100));
	buf_add_char(out, (char)('0' + rest / 10 % 10));
	buf_add_char(out, (char)('0' + rest % 10));
}

void metric_seconds(struct openmetrics *m, const struct metric_label *labels, size_t count, int64_t value_ms)
{
	begin_sample(m, kinds[m->type].suffix, labels, count, NULL);
	add_seconds(m->out, value_ms < 0 ? 0 : (uint64_t)value_ms);
	buf_add_char(m->out, '\n');
}

/* As a float is written in the shortest way, but never without its point: "0.005", "1.0", "30.0". */
static void add_bound(struct buf *text, int64_t ms)
{
	buf_clear(text);
	add_seconds(text, (uint64_t)ms);
	while (text->n > 1 && text->p[text->n - 1] == '0' && text->p[text->n - 2] != '.')
		text->p[--text->n] = '\0';
}

void metric_histogram(struct openmetrics *m, const struct metric_label *labels, size_t count,
		      const int64_t *bounds_ms, size_t bound_count, const uint64_t *buckets, uint64_t sum_ms)
{
	AUTO_BUF bound = { 0 };
	uint64_t seen = 0;

	for (size_t i = 0; i <= bound_count; i++) {
		seen += buckets[i];
		if (i < bound_count)
			add_bound(&bound, bounds_ms[i]);
		if (bound.failed)
			m->out->failed = true;
		begin_sample(m, "_bucket", labels, count, i < bound_count && bound.p ? bound.p : "+Inf");
		add_number(m->out, seen);
		buf_add_char(m->out, '\n');
	}
	begin_sample(m, "_count", labels, count, NULL);
	add_number(m->out, seen);
	buf_add_char(m->out, '\n');
	begin_sample(m, "_sum", labels, count, NULL);
	add_seconds(m->out, sum_ms);
	buf_add_char(m->out, '\n');
}

void metrics_end(struct openmetrics *m)
{
	buf_add_text(m->out, "# EOF\n");
}
