/* Events out of the journal: native fields by their message IDs, and lines of JSON that a service wrote to
 * its standard error. */
#include "ctl/report.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#ifdef HAVE_LIBSYSTEMD

#include <systemd/sd-journal.h>

#include "base/clock.h"

enum { ENTRIES_AT_ONCE = 500, LONGEST_FIELD = 1 << 16 };

struct report_journal {
	sd_journal *journal;
};

/* Only what the report looks at. Of one field any value does, of several each must fit; a disjunction stands
 * between. */
static int add_matches(sd_journal *j)
{
	static const struct {
		const char *event, *match;
	} rows[] = {
#define EVENT(symbol, name, level, text, id) { name, "MESSAGE_ID=" id },
#include "log/events.def"
#undef EVENT
	};
	int r = 0;
	for (size_t i = 0; r >= 0 && i < ARRAY_LEN(rows); i++) {
		if (digest_wants(bytes_of(rows[i].event)))
			r = sd_journal_add_match(j, rows[i].match, 0);
	}
	r = r < 0 ? r : sd_journal_add_disjunction(j);
	r = r < 0 ? r : sd_journal_add_match(j, "SYSLOG_IDENTIFIER=xackd", 0);
	return r < 0 ? r : sd_journal_add_match(j, "_TRANSPORT=stdout", 0);
}

int report_journal_open(const char *folder, int64_t since_ms, struct report_journal **ret_journal)
{
	struct report_journal *j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	int r = folder ? sd_journal_open_directory(&j->journal, folder, 0)
		       : sd_journal_open(&j->journal, SD_JOURNAL_LOCAL_ONLY);
	r = r < 0 ? r : add_matches(j->journal);
	r = r < 0 ? r : sd_journal_set_data_threshold(j->journal, LONGEST_FIELD);
	if (r >= 0)
		r = since_ms > 0 ? sd_journal_seek_realtime_usec(j->journal, (uint64_t)since_ms * 1000)
				 : sd_journal_seek_head(j->journal);
	if (r < 0) {
		report_journal_close(j);
		return r;
	}
	*ret_journal = j;
	return 0;
}

void report_journal_close(struct report_journal *j)
{
	if (j && j->journal)
		sd_journal_close(j->journal);
	free(j);
}

/* XACKD_DURATION_MS=5 -> "duration_ms": "5". */
static void add_field(json_t *event, struct bytes field)
{
	const size_t prefix = sizeof("XACKD_") - 1;
	char name[64];
	const char *equals = memchr(field.p, '=', field.n);
	size_t n = equals ? (size_t)(equals - field.p) : 0;
	if (n <= prefix || n - prefix >= sizeof(name) || memcmp(field.p, "XACKD_", prefix) != 0)
		return;
	for (size_t i = prefix; i < n; i++)
		name[i - prefix] = (char)tolower((unsigned char)field.p[i]);
	name[n - prefix] = '\0';
	json_object_set_new(event, name, json_text((struct bytes){ equals + 1, field.n - n - 1 }));
}

static void take_entry(sd_journal *j, struct feed *feed)
{
	AUTO_JSON *event = json_object();
	const void *data;
	size_t size;
	uint64_t at_us;
	char stamp[CLOCK_STAMP_SIZE];
	SD_JOURNAL_FOREACH_DATA(j, data, size)
	{
		add_field(event, (struct bytes){ data, size });
	}
	if (!json_object_get(event, "event")) {
		const size_t name = sizeof("MESSAGE=") - 1;
		if (sd_journal_get_data(j, "MESSAGE", &data, &size) >= 0 && size > name)
			feed_bytes(feed, (struct bytes){ (const char *)data + name, size - name });
		feed_bytes(feed, bytes_of("\n"));
		return;
	}
	if (sd_journal_get_realtime_usec(j, &at_us) >= 0) {
		clock_stamp((int64_t)at_us, stamp);
		json_object_set_new(event, "ts", json_string(stamp));
	}
	feed->source.lines++;
	feed_event(feed, event);
}

int report_journal_read(struct report_journal *j, struct feed *feed)
{
	for (int i = 0; i < ENTRIES_AT_ONCE; i++) {
		int r = sd_journal_next(j->journal);
		if (r == 0)
			(void)sd_journal_wait(j->journal,
					      0); /* what was added meanwhile is found the next time */
		if (r <= 0)
			return r;
		take_entry(j->journal, feed);
	}
	return 1;
}

#else

int report_journal_open(const char *folder, int64_t since_ms, struct report_journal **ret_journal)
{
	(void)folder, (void)since_ms, (void)ret_journal;
	return -EOPNOTSUPP;
}

int report_journal_read(struct report_journal *j, struct feed *feed)
{
	(void)j, (void)feed;
	return -EOPNOTSUPP;
}

void report_journal_close(struct report_journal *j)
{
	(void)j;
}

#endif
