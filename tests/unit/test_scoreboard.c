/* The scoreboard: made, attached, replaced; what a slot says and how it is read while it is written; files that are none of ours. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "ipc/scoreboard.h"

struct scene {
	char folder[64];
	char path[96];
	struct board *board;
};

static int open_scene(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	struct fault fault;
	if (!s)
		return -1;
	snprintf(s->folder, sizeof(s->folder), "/tmp/xackd-unit-board-XXXXXX");
	if (!mkdtemp(s->folder))
		return -1;
	snprintf(s->path, sizeof(s->path), "%s/h1.scoreboard", s->folder);
	*state = s;
	return board_create(s->path, "h1", 3, 2, 4, &s->board, &fault);
}

static int close_scene(void **state)
{
	struct scene *s = *state;
	board_free(s->board);
	(void)unlink(s->path);
	(void)rmdir(s->folder);
	free(s);
	return 0;
}

static void test_fresh(void **state)
{
	struct scene *s = *state;
	struct slot_identity id;
	struct slot_run run;
	struct stat st;

	assert_int_equal(board_header(s->board)->slot_count, 3);
	assert_string_equal(board_header(s->board)->name, "h1");
	assert_int_equal(board_header(s->board)->supervisor_pid, getpid());
	for (size_t i = 0; i < 3; i++) {
		slot_read(board_slot(s->board, i), &id, &run);
		assert_int_equal(run.queue, -1);
		assert_int_equal(run.handler_pid, 0);
		assert_int_equal(atomic_load(&board_slot(s->board, i)->state), WORKER_NONE);
	}
	for (size_t i = 0; i < 4; i++)
		assert_true(atomic_load(&board_queue(s->board, i)->due_mono_ms) == INT64_MAX);
	assert_null(board_slot(s->board, 3));
	assert_null(board_job(s->board, 2));
	assert_null(board_queue(s->board, 4));
	assert_int_equal(stat(s->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void fill_run(struct slot_run *run, const char *id, int64_t delivery)
{
	*run = (struct slot_run){ .queue = 1, .job = 0, .delivery = delivery, .attempt = delivery, .progress = -1 };
	snprintf(run->stream, sizeof(run->stream), "s");
	snprintf(run->group, sizeof(run->group), "g");
	snprintf(run->job_name, sizeof(run->job_name), "work");
	snprintf(run->id, sizeof(run->id), "%s", id);
}

static void test_a_run(void **state)
{
	struct scene *s = *state;
	struct slot *slot = board_slot(s->board, 1);
	struct slot_identity id = { .pool = "default", .slot = 1, .pid = 77, .consumer = "h1/default/1/0123456789abcdef" };
	struct slot_run run;

	fill_run(&run, "5-1", 3);
	slot_set_identity(slot, &id);
	slot_set_client(slot, 12, "runid");
	slot_set_run(slot, &run);
	slot_set_handler(slot, 4711, 99);
	slot_set_progress(slot, 40, BYTES("half"));
	slot_set_progress(slot, -1, (struct bytes){ NULL, 0 });
	slot_read(slot, &id, &run);
	assert_string_equal(id.consumer, "h1/default/1/0123456789abcdef");
	assert_string_equal(id.run_id, "runid");
	assert_int_equal(id.client_id, 12);
	assert_string_equal(run.id, "5-1");
	assert_int_equal(run.handler_pid, 4711);
	assert_int_equal(run.handler_start, 99);
	assert_int_equal(run.progress, 40);
	assert_string_equal(run.status, "half");
	slot_set_run(slot, NULL);
	slot_read(slot, &id, &run);
	assert_int_equal(run.queue, -1);
	assert_int_equal(run.handler_pid, 0);
	assert_string_equal(run.id, "");
	assert_string_equal(id.consumer, "h1/default/1/0123456789abcdef");
}

static void test_long_status_is_cut(void **state)
{
	struct scene *s = *state;
	struct slot *slot = board_slot(s->board, 0);
	char text[500];
	struct slot_identity id;
	struct slot_run run;

	memset(text, 'x', sizeof(text));
	slot_set_progress(slot, 1, (struct bytes){ text, sizeof(text) });
	slot_read(slot, &id, &run);
	assert_int_equal(strlen(run.status), SLOT_STATUS_SIZE - 1);
}

static void test_states(void **state)
{
	struct scene *s = *state;
	struct slot *slot = board_slot(s->board, 0);

	slot_set_state(slot, WORKER_IDLE, 100);
	slot_set_state(slot, WORKER_IDLE, 200);
	assert_int_equal(atomic_load(&slot->state_since_mono_ms), 100);
	assert_int_equal(atomic_load(&slot->beat_mono_ms), 200);
	slot_set_state(slot, WORKER_BUSY, 300);
	assert_int_equal(atomic_load(&slot->state_since_mono_ms), 300);
	assert_string_equal(worker_state_name(WORKER_BUSY), "busy");
	assert_string_equal(worker_state_name((enum worker_state)99), "none");
}

static void test_reset_keeps_counters(void **state)
{
	struct scene *s = *state;
	struct slot *slot = board_slot(s->board, 2);
	struct slot_identity id;
	struct slot_run run;

	fill_run(&run, "7-1", 1);
	slot_set_run(slot, &run);
	atomic_fetch_add(&slot->counters.done, 5);
	slot_reset(slot);
	slot_read(slot, &id, &run);
	assert_int_equal(run.queue, -1);
	assert_string_equal(id.consumer, "");
	assert_int_equal(atomic_load(&slot->counters.done), 5);
	assert_int_equal(atomic_load(&slot->state), WORKER_STARTING);
}

/* A reader never sees halves of two runs, however fast they change. */
static void test_reading_while_writing(void **state)
{
	struct scene *s = *state;
	struct slot *slot = board_slot(s->board, 0);
	struct slot_identity id;
	struct slot_run run;
	int mixed = 0;

	pid_t writer = fork();
	assert_true(writer >= 0);
	if (writer == 0) {
		for (int64_t i = 1;; i++) {
			char text[24];
			snprintf(text, sizeof(text), "%lld-0", (long long)i);
			fill_run(&run, text, i);
			snprintf(run.status, sizeof(run.status), "%lld-0", (long long)i);
			slot_set_run(slot, &run);
		}
	}
	for (int i = 0; i < 20000; i++) {
		slot_read(slot, &id, &run);
		char text[24];
		snprintf(text, sizeof(text), "%lld-0", (long long)run.delivery);
		mixed += run.delivery > 0 && (strcmp(run.id, text) != 0 || strcmp(run.status, text) != 0);
	}
	(void)kill(writer, SIGKILL);
	assert_int_equal(waitpid(writer, NULL, 0), writer);
	assert_int_equal(mixed, 0);
	/* It died anywhere, perhaps in the middle: what can be read ends, and the next writer sets things right. */
	slot_read(slot, &id, &run);
	slot_reset(slot);
	slot_read(slot, &id, &run);
	assert_int_equal(run.queue, -1);
	assert_int_equal(atomic_load(&slot->seq) & 1, 0);
}

static void test_attach_shares(void **state)
{
	struct scene *s = *state;
	struct board *same = NULL;
	int fd = dup(board_fd(s->board));

	assert_int_equal(board_attach(fd, &same), 0);
	atomic_store(&board_job(same, 1)->suspended, SUSPENDED_CANNOT_EXEC);
	assert_int_equal(atomic_load(&board_job(s->board, 1)->suspended), SUSPENDED_CANNOT_EXEC);
	board_free(same);
}

static void test_a_new_life_leaves_the_old_mapping(void **state)
{
	struct scene *s = *state;
	struct board *old = NULL, *fresh = NULL;
	struct slot_identity id;
	struct slot_run run;
	struct fault fault;

	fill_run(&run, "9-9", 2);
	slot_set_run(board_slot(s->board, 1), &run);
	assert_int_equal(board_open_old(s->path, &old), 0);
	assert_int_equal(board_create(s->path, "h1", 1, 1, 1, &fresh, &fault), 0);
	slot_read(board_slot(old, 1), &id, &run);
	assert_string_equal(run.id, "9-9");
	assert_int_equal(board_header(fresh)->slot_count, 1);
	board_free(old);
	board_free(fresh);
}

static char name_a[] = "a", name_b[] = "b", name_c[] = "c", group[] = "g";

static struct board_rows rows_of(struct job *jobs, size_t job_count, struct queue *queues, size_t queue_count)
{
	return (struct board_rows){ .jobs = jobs, .job_count = job_count, .queues = queues, .queue_count = queue_count };
}

/* Rows belong to names: two processes with configurations in another order meet in the same row. */
static void test_rows_belong_to_names(void **state)
{
	struct scene *s = *state;
	struct job old_jobs[] = { { .name = name_a }, { .name = name_b } }, new_jobs[] = { { .name = name_b }, { .name = name_c } };
	struct queue old_queues[] = { { .stream = name_a, .group = group }, { .stream = name_b, .group = group } };
	struct queue new_queues[] = { { .stream = name_b, .group = group }, { .stream = name_c, .group = group } };
	const struct board_rows old = rows_of(old_jobs, 2, old_queues, 2), fresh = rows_of(new_jobs, 2, new_queues, 2);
	struct board *worker = NULL;
	char id[SLOT_ID_SIZE];

	assert_int_equal(board_assign(s->board, &old, 0, 0, false), 0);
	assert_int_equal(board_attach(dup(board_fd(s->board)), &worker), 0);
	assert_int_equal(board_bind(worker, &fresh), -ENOENT);
	assert_int_equal(board_bind(worker, &old), 0);
	atomic_store(&board_job(worker, 1)->suspended, SUSPENDED_CANNOT_EXEC);
	board_note_delivered(worker, 1, "7-1");
	assert_int_equal(board_assign(s->board, &fresh, 1, 0, true), 0);
	assert_int_equal(atomic_load(&board_job(s->board, 0)->suspended), SUSPENDED_CANNOT_EXEC);
	assert_int_equal(atomic_load(&board_job(s->board, 1)->suspended), SUSPENDED_NOT);
	assert_true(board_delivered(s->board, 0, id));
	assert_string_equal(id, "7-1");
	assert_int_equal(atomic_load(&board_queue(s->board, 0)->paused), 0);
	assert_int_equal(atomic_load(&board_queue(s->board, 1)->paused), 1); /* until its group is made */
	assert_int_equal(atomic_load(&board_queue(worker, 0)->paused), 0);
	assert_ptr_not_equal(board_queue(s->board, 2), board_queue(s->board, 1));
	assert_null(board_queue(s->board, 2));
	board_free(worker);
}

/* A row is taken for another name only when no generation that may still use it is left; a board grows, but not without an end. */
static void test_rows_are_used_again(void **state)
{
	struct scene *s = *state;
	char text[16];
	struct job job = { .name = text };
	struct queue queue = { .stream = text, .group = group };
	const struct board_rows rows = rows_of(&job, 1, &queue, 1);

	for (unsigned i = 0; i < 10; i++) {
		snprintf(text, sizeof(text), "n%u", i);
		assert_int_equal(board_assign(s->board, &rows, i, 0, false), 0);
	}
	assert_int_equal(atomic_load(&board_header(s->board)->queue_count), 10);
	assert_int_equal(atomic_load(&board_header(s->board)->job_count), 10);
	for (unsigned i = 10; i < 10000; i++) {
		snprintf(text, sizeof(text), "n%u", i);
		assert_int_equal(board_assign(s->board, &rows, i, i - 1, false), 0);
	}
	assert_int_equal(atomic_load(&board_header(s->board)->queue_count), 10);
	int r = 0;
	for (unsigned i = 10000; i < 20000 && r == 0; i++) {
		snprintf(text, sizeof(text), "n%u", i);
		r = board_assign(s->board, &rows, i, 0, false);
	}
	assert_int_equal(r, -ENOSPC);
}

static void test_slots_grow(void **state)
{
	struct scene *s = *state;
	struct slot_identity id;
	struct slot_run run;
	struct board *old = NULL;

	fill_run(&run, "9-9", 2);
	slot_set_run(board_slot(s->board, 1), &run);
	assert_int_equal(board_grow_slots(s->board, 200), 0);
	assert_int_equal(board_grow_slots(s->board, 20), 0);
	assert_int_equal(atomic_load(&board_header(s->board)->slot_count), 200);
	slot_read(board_slot(s->board, 1), &id, &run);
	assert_string_equal(run.id, "9-9");
	slot_read(board_slot(s->board, 199), &id, &run);
	assert_int_equal(run.queue, -1);
	assert_int_equal(board_open_old(s->path, &old), 0);
	assert_non_null(board_slot(old, 199));
	assert_null(board_slot(old, 200));
	board_free(old);
	assert_int_equal(board_grow_slots(s->board, 1000000), -ENOSPC);
}

static void assert_refused(const char *path, const void *content, size_t n)
{
	struct board *b = NULL;
	AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, n), (ssize_t)n);
	assert_int_equal(board_open_old(path, &b), -EINVAL);
	assert_null(b);
}

static void test_files_that_are_none(void **state)
{
	struct scene *s = *state;
	struct board *b = NULL;
	struct board_header header = *board_header(s->board);
	char path[128];

	snprintf(path, sizeof(path), "%s/x", s->folder);
	assert_int_equal(board_open_old(path, &b), -ENOENT);
	assert_refused(path, "", 0);
	assert_refused(path, "short", 5);
	assert_refused(path, &header, sizeof(header)); /* says that it has more than it has */
	header.slot_count = UINT32_MAX;
	assert_refused(path, &header, sizeof(header));
	header.magic = 0;
	header.slot_count = header.job_count = header.queue_count = 0;
	assert_refused(path, &header, sizeof(header));
	(void)unlink(path);
	assert_int_equal(symlink(s->path, path), 0);
	assert_int_equal(board_open_old(path, &b), -ELOOP);
	(void)unlink(path);
}

static void test_folder_that_is_not_there(void **state)
{
	struct board *b = NULL;
	struct fault fault = { 0 };
	(void)state;
	assert_int_equal(board_create("/nonexistent/folder/h1.scoreboard", "h1", 1, 1, 1, &b, &fault), -ENOENT);
	assert_non_null(strstr(fault.text, "/nonexistent/folder"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fresh, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_a_run, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_long_status_is_cut, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_states, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_reset_keeps_counters, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_reading_while_writing, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_attach_shares, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_a_new_life_leaves_the_old_mapping, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_rows_belong_to_names, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_rows_are_used_again, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_slots_grow, open_scene, close_scene),
		cmocka_unit_test_setup_teardown(test_files_that_are_none, open_scene, close_scene),
		cmocka_unit_test(test_folder_that_is_not_there),
	};
	return RUN_GROUP(tests);
}
