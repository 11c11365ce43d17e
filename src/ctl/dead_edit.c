/* `dead edit`: other fields for a dead letter, from the command line or in an editor. The letter that was
 * edited stands in the old one's place (with a new ID, as a stream has it), in one atomic step: nothing is
 * requeued by it. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "ctl/fields.h"
#include "ctl/letters.h"
#include "ctl/pairs.h"
#include "ctl/verb.h"

enum { MOST_TEXT_BYTES = 1 << 30 };

/* The letter's pairs with those of the command line in the place of the first of each name, or behind. */
static struct entry_pair *merge(const struct entry *entry, const struct draft *draft, size_t *ret_n)
{
	size_t n = entry->pair_count;
	struct entry_pair *pairs = calloc(n + draft->n + 1, sizeof(*pairs));
	if (!pairs)
		return NULL;
	if (n > 0)
		memcpy(pairs, entry->pairs, n * sizeof(*pairs));
	for (size_t i = 0; i < draft->n; i++) {
		size_t at = 0;
		while (at < n && !bytes_eq(pairs[at].name, draft->pairs[i].name))
			at++;
		pairs[at] = draft->pairs[i];
		n = at == n ? n + 1 : n;
	}
	*ret_n = n;
	return pairs;
}

static int put(struct ctl *ctl, size_t queue, const struct dead_letter *letter,
	       const struct entry_pair *pairs, size_t n)
{
	static const struct column columns[] = { { .key = "dead_id", .title = "Dead letter" },
						 { .key = "edited", .title = "Was" } };
	struct connection *connection;
	struct redis_error error = { 0 };
	char dead_id[ENTRY_ID_SIZE];
	const struct dead_draft draft = { letter->dead_id, letter->id,         letter->meta,
					  pairs,           letter->meta_count, n };
	if (n == 0)
		return ctl_say(CTL_NO, "an entry has at least one field: nothing was changed");
	int r = ctl_redis(ctl, &connection);
	if (r != 0)
		return r;
	r = desk_dead_put(connection, &ctl->keys[queue], DESK_EDIT, &draft, dead_id, &error);
	if (r < 0)
		return ctl_redis_failed(ctl, queue, r, &error);
	if (r > 0)
		return ctl_say(CTL_NO, "there is no dead letter %s any more", letter->dead_id);
	const struct cell cells[] = { cell_text(dead_id), cell_text(letter->dead_id) };
	if (ctl->out.format == OUTPUT_TABLE)
		output_line(&ctl->out, "%s", dead_id);
	else
		output_record(&ctl->out, columns, cells, ARRAY_LEN(columns));
	return CTL_DONE;
}

static int edit_by_fields(struct ctl *ctl, size_t queue, const struct dead_letter *letter)
{
	AUTO_DRAFT draft = { 0 };
	size_t n = 0;
	int r = draft_read(&draft, ctl->args->rest + 1, (size_t)ctl->args->rest_count - 1, 0);
	if (r != 0)
		return r;
	AUTO_FREE struct entry_pair *pairs = merge(&letter->entry, &draft, &n);
	return pairs ? put(ctl, queue, letter, pairs, n) : ctl_say(CTL_NO, "out of memory");
}

/* ---- in an editor ---- */

static const char *editor(void)
{
	const char *visual = getenv("VISUAL"), *plain = getenv("EDITOR");
	return visual && *visual ? visual : plain && *plain ? plain : "vi";
}

/* The editor's name may have options with it, so a shell takes it apart; the file's name never goes through
 * it. */
static int run_editor(const char *path)
{
	char command[1024];
	pid_t pid;
	int status = -1;
	(void)snprintf(command, sizeof(command), "%s \"$1\"", editor());
	char *const words[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", command,
				(char *)(uintptr_t) "sh", (char *)(uintptr_t)path,  NULL };
	int r = posix_spawn(&pid, "/bin/sh", NULL, NULL, words, environ);
	if (r != 0)
		return ctl_say(CTL_NO, "%s: %s", editor(), strerror(r));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0 ? 0 : ctl_say(CTL_NO, "%s failed: nothing was changed", editor());
}

static char *pairs_for_people(const struct entry *entry)
{
	AUTO_BUF json = { 0 };
	pairs_add_json(&json, entry->pairs, entry->pair_count);
	AUTO_JSON *pairs = json_parse(buf_bytes(&json));
	return pairs ? json_dumps(pairs, JSON_INDENT(1)) : NULL;
}

static int write_file(int fd, const char *text)
{
	FILE *file = fdopen(fd, "w");
	if (!file)
		return -errno;
	int r = fputs(text, file) < 0 || fputc('\n', file) < 0 ? -EIO : 0;
	return fclose(file) != 0 ? -EIO : r;
}

static int read_file(const char *path, struct buf *text)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd_read_all(fd, MOST_TEXT_BYTES, text);
}

static int edit_file(struct ctl *ctl, size_t queue, const struct dead_letter *letter, const char *path)
{
	AUTO_BUF text = { 0 };
	AUTO_PAIRS pairs = { 0 };
	int r = run_editor(path);
	if (r != 0)
		return r;
	r = read_file(path, &text);
	if (r < 0)
		return ctl_say(CTL_NO, "%s: %s", path, strerror(-r));
	AUTO_JSON *json = json_parse(buf_bytes(&text));
	if (!json || pairs_read_json(json, &pairs) < 0)
		return ctl_say(CTL_NO, "that is no list of [NAME, VALUE]: nothing was changed");
	bool same = pairs.n == letter->entry.pair_count;
	for (size_t i = 0; same && i < pairs.n; i++)
		same = bytes_eq(pairs.pairs[i].name, letter->entry.pairs[i].name) &&
		       bytes_eq(pairs.pairs[i].value, letter->entry.pairs[i].value);
	return same ? ctl_say(CTL_NO, "nothing was changed") : put(ctl, queue, letter, pairs.pairs, pairs.n);
}

static int edit_by_hand(struct ctl *ctl, size_t queue, const struct dead_letter *letter)
{
	const char *folder = getenv("TMPDIR");
	char path[512];
	AUTO_FREE char *text = pairs_for_people(&letter->entry);
	if (!text)
		return ctl_say(CTL_NO, "out of memory");
	(void)snprintf(path, sizeof(path), "%.480s/xackctl-XXXXXX.json", folder && *folder ? folder : "/tmp");
	int fd = mkostemps(path, 5, O_CLOEXEC); /* 0600: nobody else reads what an entry has */
	if (fd < 0)
		return ctl_say(CTL_NO, "%s: %s", path, strerror(errno));
	int r = write_file(fd, text);
	r = r < 0 ? ctl_say(CTL_NO, "%s: %s", path, strerror(-r)) : edit_file(ctl, queue, letter, path);
	(void)unlink(path);
	return r;
}

int verb_dead_edit(struct ctl *ctl)
{
	struct dead_letter letter = { 0 };
	size_t queue;
	int r = ctl_check_queue(ctl);
	if (r == 0)
		r = letters_find(ctl, ctl->args->rest[0], &queue, &letter);
	if (r != 0)
		return r;
	r = ctl->args->rest_count > 1 ? edit_by_fields(ctl, queue, &letter)
				      : edit_by_hand(ctl, queue, &letter);
	dead_letter_done(&letter);
	return r;
}
