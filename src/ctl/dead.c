/* `dead ls`, `dead show`: the dead letters, many in short or one in full. */
#include "ctl/letters.h"
#include "ctl/verb.h"

struct listing {
	struct ctl *ctl;
	struct list list;
};

static int give_row(void *user, size_t queue, const struct dead_letter *letter)
{
	struct listing *l = user;
	struct cell cells[LETTER_COLUMNS];
	letter_cells(l->ctl, queue, letter, cells);
	return list_row(&l->list, cells) ? 0 : LETTERS_STOP;
}

int verb_dead_ls(struct ctl *ctl)
{
	AUTO_FILTER filter = { 0 };
	struct connection *connection;
	struct listing listing = { .ctl = ctl };
	int r = filter_init(&filter, ctl->args);
	if (r == 0)
		r = ctl_check_queue(ctl);
	if (r == 0)
		r = ctl_redis(ctl, &connection);
	if (r != 0)
		return r;
	if (list_begin(&listing.list, &ctl->out, letter_columns, LETTER_COLUMNS) < 0)
		return ctl_say(CTL_NO, "out of memory");
	filter_for_reader(&filter, &ctl->out);
	r = letters_walk(ctl, &filter, NULL, give_row, &listing);
	list_end(&listing.list, r == 0 ? "No dead letters." : NULL);
	filter_tell_reader(&filter, listing.list.rows);
	/* Dead letters outlive their jobs' configuration; but of a job that is in neither, the name is likely to be wrong. */
	return r == 0 && listing.list.rows == 0 ? ctl_check_choice(ctl) : r;
}

int verb_dead_show(struct ctl *ctl)
{
	/* The same keys as in a list, in words for a page. */
	static const char *const titles[LETTER_COLUMNS] = {
		"Dead letter", "ID",   "Stream", "Group",  "Job",  "Reason", "In words",
		"Attempts",    "Exit", "Signal", "Stderr", "Host", "Died",   "Fields",
	};
	struct column columns[LETTER_COLUMNS];
	struct cell cells[LETTER_COLUMNS];
	struct dead_letter letter = { 0 };
	size_t queue;
	int r = ctl_check_queue(ctl);
	if (r == 0)
		r = letters_find(ctl, ctl->args->rest[0], &queue, &letter);
	if (r != 0)
		return r;
	for (size_t i = 0; i < LETTER_COLUMNS; i++) {
		columns[i] = letter_columns[i];
		columns[i].title = titles[i];
	}
	letter_cells(ctl, queue, &letter, cells);
	output_record(&ctl->out, columns, cells, LETTER_COLUMNS);
	dead_letter_done(&letter);
	return CTL_DONE;
}
