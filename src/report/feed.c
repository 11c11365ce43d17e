/* See feed.h. Most lines of a log are what handlers wrote, and the report does not look at these: as xackd
 * writes the name of an event at a fixed place, they are left out without being parsed. */
#include "report/feed.h"

/* The event's name where xackd puts it: {"ts":"…","level":"…","event":"NAME"; empty if the line is not of
 * that form. */
static struct bytes name_up_front(struct bytes line)
{
	static const char head[] = "{\"ts\":\"", mark[] = ",\"event\":\"";
	enum { WITHIN = 120 };
	if (line.n < WITHIN / 2 || memcmp(line.p, head, sizeof(head) - 1) != 0)
		return (struct bytes){ 0 };
	size_t n = line.n < WITHIN ? line.n : WITHIN;
	const char *begin = memmem(line.p, n, mark, sizeof(mark) - 1);
	if (!begin)
		return (struct bytes){ 0 };
	begin += sizeof(mark) - 1;
	const char *end = memchr(begin, '"', n - (size_t)(begin - line.p));
	return end ? (struct bytes){ begin, (size_t)(end - begin) } : (struct bytes){ 0 };
}

void feed_event(struct feed *f, json_t *event)
{
	struct record record;
	if (!record_read(&record, event))
		f->source.foreign++;
	else if (!digest_take(f->digest, &record) && !digest_wants(record.event))
		f->source.unused++;
}

static void take_line(struct feed *f, struct bytes line)
{
	while (line.n > 0 && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == ' '))
		line.n--;
	if (line.n == 0)
		return;
	f->source.lines++;
	struct bytes name = name_up_front(line);
	if (name.n > 0 && !digest_wants(name)) {
		f->source.unused++;
		return;
	}
	AUTO_JSON *event = json_parse(line);
	if (json_is_object(event))
		feed_event(f, event);
	else
		f->source.malformed++;
}

static void end_line(struct feed *f)
{
	if (f->overlong || f->line.failed) {
		f->source.lines++;
		f->source.malformed++;
	} else {
		take_line(f, buf_bytes(&f->line));
	}
	buf_clear(&f->line);
	f->line.failed = false;
	f->overlong = false;
}

void feed_bytes(struct feed *f, struct bytes text)
{
	f->source.bytes += text.n;
	while (text.n > 0) {
		const char *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) : text.n;
		if (end && f->line.n == 0 && !f->overlong && n <= FEED_LONGEST_LINE) {
			take_line(f, (struct bytes){ text.p, n }); /* whole: it need not be copied */
		} else {
			f->overlong = f->overlong || f->line.n + n > FEED_LONGEST_LINE;
			if (!f->overlong)
				buf_add(&f->line, text.p, n);
			if (end)
				end_line(f);
		}
		n += end ? 1 : 0;
		text = (struct bytes){ text.p + n, text.n - n };
	}
}

void feed_end(struct feed *f)
{
	if (f->line.n > 0 || f->overlong)
		end_line(f);
}

void feed_done(struct feed *f)
{
	buf_done(&f->line);
}
