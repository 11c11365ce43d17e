/* `dead export`, `dead import`: dead letters as JSON lines that lose nothing, out and back in. An export
 * walks in pages; an import is one atomic step a line and leaves out what is there already, so one that was
 * cut short is simply run again. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "ctl/letters.h"
#include "ctl/pairs.h"
#include "ctl/verb.h"

static int export_row(void *user, size_t queue, const struct dead_letter *letter)
{
	struct ctl *ctl = user;
	AUTO_BUF line = { 0 };
	const struct {
		const char *name, *text;
	} heads[] = {
		{ "dead_id", letter->dead_id },
		{ "stream", ctl->config->queues[queue].stream },
		{ "group", ctl->config->queues[queue].group },
		{ "id", letter->id },
		{ "job", letter->job },
		{ "reason", letter->reason },
	};
	buf_add_char(&line, '{');
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		if (!heads[i].text || !heads[i].text[0])
			continue;
		json_add_name(&line, heads[i].name);
		json_add_text(&line, bytes_of(heads[i].text));
	}
	json_add_name(&line, "meta");
	pairs_add_json(&line, letter->meta, letter->meta_count);
	json_add_name(&line, "pairs");
	pairs_add_json(&line, letter->entry.pairs, letter->entry.pair_count);
	buf_add_char(&line, '}');
	if (line.failed)
		return ctl_say(CTL_NO, "out of memory");
	output_json(&ctl->out, buf_bytes(&line));
	return ctl->out.failed ? LETTERS_STOP : 0;
}

static int export_by_id(struct ctl *ctl, const char *id)
{
	struct dead_letter letter = { 0 };
	size_t queue;
	int r = letters_find(ctl, id, &queue, &letter);
	if (r != 0)
		return r;
	r = export_row(ctl, queue, &letter);
	dead_letter_done(&letter);
	return r == LETTERS_STOP ? 0 : r;
}

int verb_dead_export(struct ctl *ctl)
{
	AUTO_FILTER filter = { 0 };
	int result = ctl_check_queue(ctl);
	if (result == 0)
		result = filter_init(&filter, ctl->args);
	if (result != 0)
		return result;
	if (ctl->args->rest_count == 0)
		return letters_walk(ctl, &filter, NULL, export_row, ctl);
	for (int i = 0; i < ctl->args->rest_count && result != CTL_UNAVAILABLE; i++) {
		int r = export_by_id(ctl, ctl->args->rest[i]);
		result = r ? r : result;
	}
	return result;
}

/* ---- import ---- */

struct import {
	struct ctl *ctl;
	int64_t line, imported, there, wrong;
};

static const char *text_of(json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text ? text : "";
}

static bool find_queue(const struct ctl *ctl, const char *stream, const char *group, size_t *ret_queue)
{
	for (size_t i = 0; i < ctl->config->queue_count; i++) {
		*ret_queue = i;
		if (strcmp(ctl->config->queues[i].stream, stream) == 0 &&
		    strcmp(ctl->config->queues[i].group, group) == 0)
			return true;
	}
	return false;
}

/* What stands in the pairs counts, not what an editor left beside them. "" = the entry is not named. */
static void entry_id_in(const struct pair_list *meta, char ret_id[ENTRY_ID_SIZE])
{
	uint64_t ms, seq;
	ret_id[0] = '\0';
	for (size_t i = 0; i < meta->n; i++) {
		struct bytes value = meta->pairs[i].value;
		if (!bytes_eq(meta->pairs[i].name, bytes_of("xackd.id")) || value.n >= ENTRY_ID_SIZE ||
		    entry_id_parse(value, &ms, &seq) < 0)
			continue;
		memcpy(ret_id, value.p, value.n);
		ret_id[value.n] = '\0';
	}
}

/* xackd.meta says how many pairs are about the letter: a list that was edited may say it wrongly. */
static bool meta_is_whole(const struct pair_list *meta)
{
	char count[24];
	(void)snprintf(count, sizeof(count), "%zu", meta->n - 1);
	return meta->n == 0 || (bytes_eq(meta->pairs[0].name, bytes_of("xackd.meta")) &&
				bytes_eq(meta->pairs[0].value, bytes_of(count)));
}

static int wrong_line(struct import *im, const char *why)
{
	im->wrong++;
	return ctl_say(CTL_NO, "line %" PRId64 ": %s", im->line, why);
}

static int put(struct import *im, size_t queue, const struct dead_draft *draft)
{
	struct connection *connection;
	struct redis_error error = { 0 };
	char dead_id[ENTRY_ID_SIZE];
	int r = ctl_redis(im->ctl, &connection);
	if (r != 0)
		return r;
	r = desk_dead_put(connection, &im->ctl->keys[queue], DESK_IMPORT, draft, dead_id, &error);
	if (r < 0)
		return ctl_redis_failed(im->ctl, queue, r, &error);
	im->imported += r == 0;
	im->there += r > 0;
	return 0;
}

static int import_line(struct import *im, struct bytes line)
{
	AUTO_JSON *object = json_parse(line);
	AUTO_PAIRS meta = { 0 };
	AUTO_PAIRS pairs = { 0 };
	char id[ENTRY_ID_SIZE];
	size_t queue;
	uint64_t ms, seq;
	if (!json_is_object(object) || pairs_read_json(json_object_get(object, "meta"), &meta) < 0 ||
	    pairs_read_json(json_object_get(object, "pairs"), &pairs) < 0 || meta.n + pairs.n == 0 ||
	    entry_id_parse(bytes_of(text_of(object, "dead_id")), &ms, &seq) < 0)
		return wrong_line(im, "this is no line of `dead export`");
	if (!meta_is_whole(&meta))
		return wrong_line(
			im, "\"meta\" does not begin with xackd.meta and the number of pairs that follow");
	if (!find_queue(im->ctl, text_of(object, "stream"), text_of(object, "group"), &queue))
		return wrong_line(im, "no job of the configuration has its queue");
	if (!ctl_chooses_queue(im->ctl, queue))
		return 0;
	entry_id_in(&meta, id);
	if (args_given(im->ctl->args, OPTION_DRY_RUN)) {
		im->imported++;
		return 0;
	}
	const struct dead_draft draft = {
		text_of(object, "dead_id"), id, meta.pairs, pairs.pairs, meta.n, pairs.n
	};
	return put(im, queue, &draft);
}

static int import_all(struct import *im, FILE *file)
{
	char *line = NULL;
	size_t size = 0;
	int result = 0;
	for (ssize_t n; result != CTL_UNAVAILABLE && (n = getline(&line, &size, file)) >= 0;) {
		im->line++;
		while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			n--;
		int r = n > 0 ? import_line(im, (struct bytes){ line, (size_t)n }) : 0;
		result = r ? r : result;
	}
	if (ferror(file))
		result = ctl_say(CTL_NO, "line %" PRId64 ": %s", im->line + 1, strerror(errno));
	free(line);
	return result;
}

static void tell(const struct import *im)
{
	const char *done = args_given(im->ctl->args, OPTION_DRY_RUN) ? "would be imported" : "imported";
	AUTO_BUF text = { 0 };
	if (im->ctl->out.format == OUTPUT_TABLE) {
		output_line(&im->ctl->out, "%" PRId64 " %s, %" PRId64 " already there, %" PRId64 " wrong",
			    im->imported, done, im->there, im->wrong);
		return;
	}
	buf_addf(&text, "{\"imported\":%" PRId64 ",\"already_there\":%" PRId64 ",\"wrong\":%" PRId64 "}",
		 im->imported, im->there, im->wrong);
	output_json(&im->ctl->out, buf_bytes(&text));
}

int verb_dead_import(struct ctl *ctl)
{
	struct import im = { .ctl = ctl };
	struct connection *connection;
	const char *path = ctl->args->rest_count ? ctl->args->rest[0] : "-";
	bool standard = strcmp(path, "-") == 0;
	int r = ctl_check_choice(ctl);
	if (r == 0)
		r = ctl_redis(ctl, &connection);
	if (r != 0)
		return r;
	FILE *file = standard ? stdin : fopen(path, "re");
	if (!file)
		return ctl_say(CTL_NO, "%s: %s", path, strerror(errno));
	r = import_all(&im, file);
	if (!standard)
		(void)fclose(file);
	tell(&im);
	return r;
}
