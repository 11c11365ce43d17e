/* The mapping, its layout, and the sequence lock of a slot. A new life writes a new file and renames it over the old one, so that a mapping of the
 * old one never changes under its reader. */
#include "ipc/scoreboard.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "domain/entry.h"

enum { BOARD_VERSION = 4, READ_TRIES = 1000, COUNT_MAX = 100000, ROOM_LEAST = 4096, ROOM_FACTOR = 4 };
#define BOARD_MAGIC 0x7861636b64303031u /* "xackd001" */

struct board {
	void *map;
	size_t size;
	int fd;
	size_t slots_at, jobs_at, queues_at;
	size_t *job_rows, *queue_rows; /* NULL: the index is the row */
	size_t jobs_bound, queues_bound;
};

static const char *const state_names[] = {
	[WORKER_NONE] = "none", [WORKER_STARTING] = "starting", [WORKER_CONNECTING] = "connecting", [WORKER_IDLE] = "idle",
	[WORKER_BUSY] = "busy", [WORKER_PAUSED] = "paused",	[WORKER_STOPPING] = "stopping",
};
_Static_assert(ARRAY_LEN(state_names) == WORKER_STATE_COUNT, "every worker state has a name");

const char *worker_state_name(enum worker_state s)
{
	return s < WORKER_STATE_COUNT ? state_names[s] : "none";
}

static size_t align64(size_t n)
{
	return (n + 63) & ~(size_t)63;
}

static size_t layout(struct board *b, size_t slots, size_t jobs, size_t queues)
{
	b->slots_at = align64(sizeof(struct board_header));
	b->jobs_at = b->slots_at + slots * sizeof(struct slot);
	b->queues_at = align64(b->jobs_at + jobs * sizeof(struct job_state));
	return b->queues_at + queues * sizeof(struct queue_state);
}

static struct board *map_board(int fd, size_t size, int protection)
{
	struct board *b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->fd = fd;
	b->size = size;
	b->map = mmap(NULL, size, protection, MAP_SHARED, fd, 0);
	if (b->map == MAP_FAILED) {
		free(b);
		return NULL;
	}
	return b;
}

void board_free(struct board *b)
{
	if (!b)
		return;
	(void)munmap(b->map, b->size);
	free(b->job_rows);
	free(b->queue_rows);
	if (b->fd >= 0)
		(void)close(b->fd);
	free(b);
}

static uint32_t room_for(size_t count)
{
	return (uint32_t)(count * ROOM_FACTOR > ROOM_LEAST ? count * ROOM_FACTOR : ROOM_LEAST);
}

/* What is written later must not fail then: memory for a part of the file. */
static int reserve(struct board *b, size_t from, size_t size)
{
	return size > 0 && posix_fallocate(b->fd, (off_t)from, (off_t)size) != 0 ? -ENOSPC : 0;
}

static int reserve_rows(struct board *b, size_t slots, size_t jobs, size_t queues)
{
	int r = reserve(b, 0, b->slots_at + slots * sizeof(struct slot));
	if (r == 0)
		r = reserve(b, b->jobs_at, jobs * sizeof(struct job_state));
	return r == 0 ? reserve(b, b->queues_at, queues * sizeof(struct queue_state)) : r;
}

static void fill_header(struct board *b, const char *name, size_t slots, size_t jobs, size_t queues)
{
	struct board_header *h = b->map;
	unsigned long long start = 0;

	(void)!fd_process_start(getpid(), &start);
	h->version = BOARD_VERSION;
	h->slot_room = room_for(slots);
	h->job_room = room_for(jobs);
	h->queue_room = room_for(queues);
	atomic_store(&h->slot_count, (uint32_t)slots);
	atomic_store(&h->job_count, (uint32_t)jobs);
	atomic_store(&h->queue_count, (uint32_t)queues);
	h->supervisor_pid = getpid();
	h->supervisor_start = start;
	snprintf(h->name, sizeof(h->name), "%s", name);
	h->started_wall_ms = clock_wall_ms();
	atomic_store(&h->reaper_wakes_mono_ms, INT64_MAX);
	for (size_t i = 0; i < slots; i++)
		slot_reset(board_slot(b, i));
	for (size_t i = 0; i < slots; i++)
		atomic_store(&board_slot(b, i)->state, WORKER_NONE);
	for (size_t i = 0; i < queues; i++)
		atomic_store(&board_queue(b, i)->due_mono_ms, INT64_MAX);
	h->magic = BOARD_MAGIC; /* last: a file without it is not complete */
}

int board_create(const char *path, const char *name, size_t slots, size_t jobs, size_t queues, struct board **ret_board, struct fault *ret_fault)
{
	AUTO_FREE char *fresh = NULL;
	struct board shape;
	size_t size = layout(&shape, room_for(slots), room_for(jobs), room_for(queues));

	if (asprintf(&fresh, "%s.new", path) < 0)
		return fault_set(ret_fault, -ENOMEM, "out of memory");
	(void)unlink(fresh);
	AUTO_FD fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fault_set(ret_fault, -errno, "%s cannot be made: %s", fresh, strerror(errno));
	if (ftruncate(fd, (off_t)size) < 0)
		return fault_set(ret_fault, -ENOSPC, "%s: no room for %zu bytes", fresh, size);
	struct board *b = map_board(fd, size, PROT_READ | PROT_WRITE);
	if (!b)
		return fault_set(ret_fault, -ENOMEM, "%s cannot be mapped: %s", fresh, strerror(errno));
	(void)TAKE_FD(fd);
	(void)layout(b, room_for(slots), room_for(jobs), room_for(queues));
	if (reserve_rows(b, slots, jobs, queues) < 0) {
		board_free(b);
		return fault_set(ret_fault, -ENOSPC, "%s: no room for %zu workers, %zu jobs and %zu queues", fresh, slots, jobs, queues);
	}
	fill_header(b, name, slots, jobs, queues);
	if (rename(fresh, path) < 0) {
		int r = fault_set(ret_fault, -errno, "%s cannot be renamed to %s: %s", fresh, path, strerror(errno));
		board_free(b);
		return r;
	}
	*ret_board = b;
	return 0;
}

/* Takes fd on success. */
static int open_fd(int fd, int protection, struct board **ret_board)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if ((size_t)st.st_size < sizeof(struct board_header))
		return -EINVAL;
	struct board *b = map_board(fd, (size_t)st.st_size, protection);
	if (!b)
		return -ENOMEM;
	const struct board_header *h = b->map;
	bool ours = h->magic == BOARD_MAGIC && h->version == BOARD_VERSION && h->slot_room <= COUNT_MAX * ROOM_FACTOR &&
		    h->job_room <= COUNT_MAX * ROOM_FACTOR && h->queue_room <= COUNT_MAX * ROOM_FACTOR &&
		    atomic_load(&h->slot_count) <= h->slot_room && atomic_load(&h->job_count) <= h->job_room &&
		    atomic_load(&h->queue_count) <= h->queue_room;
	if (!ours || layout(b, h->slot_room, h->job_room, h->queue_room) > b->size) {
		b->fd = -1; /* stays the caller's */
		board_free(b);
		return -EINVAL;
	}
	*ret_board = b;
	return 0;
}

int board_attach(int fd, struct board **ret_board)
{
	return open_fd(fd, PROT_READ | PROT_WRITE, ret_board);
}

int board_open_old(const char *path, struct board **ret_board)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	int r = open_fd(fd, PROT_READ, ret_board);
	if (r == 0)
		(void)TAKE_FD(fd);
	return r;
}

int board_fd(const struct board *b)
{
	return b->fd;
}

struct board_header *board_header(struct board *b)
{
	return b->map;
}

struct slot *board_slot(struct board *b, size_t index)
{
	const struct board_header *h = b->map;
	return index < h->slot_count ? (struct slot *)(void *)((char *)b->map + b->slots_at) + index : NULL;
}

static struct job_state *job_row(struct board *b, size_t row)
{
	const struct board_header *h = b->map;
	return row < h->job_count ? (struct job_state *)(void *)((char *)b->map + b->jobs_at) + row : NULL;
}

static struct queue_state *queue_row(struct board *b, size_t row)
{
	const struct board_header *h = b->map;
	return row < h->queue_count ? (struct queue_state *)(void *)((char *)b->map + b->queues_at) + row : NULL;
}

struct job_state *board_job(struct board *b, size_t index)
{
	if (!b->job_rows)
		return job_row(b, index);
	return index < b->jobs_bound ? job_row(b, b->job_rows[index]) : NULL;
}

struct queue_state *board_queue(struct board *b, size_t index)
{
	if (!b->queue_rows)
		return queue_row(b, index);
	return index < b->queues_bound ? queue_row(b, b->queue_rows[index]) : NULL;
}

/* ---- generations ---- */

static size_t find_job(struct board *b, const char *name)
{
	size_t n = atomic_load(&board_header(b)->job_count);
	for (size_t i = 0; i < n; i++) {
		const struct job_state *s = job_row(b, i);
		if (s && strcmp(s->name, name) == 0)
			return i;
	}
	return SIZE_MAX;
}

static size_t find_queue(struct board *b, const char *stream, const char *group)
{
	size_t n = atomic_load(&board_header(b)->queue_count);
	for (size_t i = 0; i < n; i++) {
		const struct queue_state *s = queue_row(b, i);
		if (s && strcmp(s->stream, stream) == 0 && strcmp(s->group, group) == 0)
			return i;
	}
	return SIZE_MAX;
}

int board_bind(struct board *b, const struct board_rows *rows)
{
	AUTO_FREE size_t *jobs = calloc(rows->job_count + 1, sizeof(*jobs));
	AUTO_FREE size_t *queues = calloc(rows->queue_count + 1, sizeof(*queues));

	if (!jobs || !queues)
		return -ENOMEM;
	for (size_t i = 0; i < rows->job_count; i++) {
		if ((jobs[i] = find_job(b, rows->jobs[i].name)) == SIZE_MAX)
			return -ENOENT;
	}
	for (size_t i = 0; i < rows->queue_count; i++) {
		if ((queues[i] = find_queue(b, rows->queues[i].stream, rows->queues[i].group)) == SIZE_MAX)
			return -ENOENT;
	}
	free(b->job_rows);
	free(b->queue_rows);
	b->job_rows = TAKE(jobs);
	b->queue_rows = TAKE(queues);
	b->jobs_bound = rows->job_count;
	b->queues_bound = rows->queue_count;
	return 0;
}

/* A row without a name, one that nobody uses any more, or one more. */
static struct job_state *new_job(struct board *b, uint64_t reuse)
{
	struct board_header *h = board_header(b);
	size_t n = atomic_load(&h->job_count);

	for (size_t i = 0; i < n; i++) {
		struct job_state *s = job_row(b, i);
		if (s && (!s->name[0] || s->generation < reuse))
			return s;
	}
	if (n >= h->job_room || reserve(b, b->jobs_at + n * sizeof(struct job_state), sizeof(struct job_state)) < 0)
		return NULL;
	atomic_store(&h->job_count, (uint32_t)n + 1);
	return job_row(b, n);
}

static struct queue_state *new_queue(struct board *b, uint64_t reuse)
{
	struct board_header *h = board_header(b);
	size_t n = atomic_load(&h->queue_count);

	for (size_t i = 0; i < n; i++) {
		struct queue_state *s = queue_row(b, i);
		if (s && (!s->stream[0] || s->generation < reuse))
			return s;
	}
	if (n >= h->queue_room || reserve(b, b->queues_at + n * sizeof(struct queue_state), sizeof(struct queue_state)) < 0)
		return NULL;
	atomic_store(&h->queue_count, (uint32_t)n + 1);
	return queue_row(b, n);
}

static int assign_job(struct board *b, const struct job *job, uint64_t generation, uint64_t reuse)
{
	size_t row = find_job(b, job->name);
	struct job_state *s = row != SIZE_MAX ? job_row(b, row) : new_job(b, reuse);

	if (!s)
		return -ENOSPC;
	if (row == SIZE_MAX) {
		memset(s, 0, sizeof(*s));
		snprintf(s->name, sizeof(s->name), "%s", job->name);
	}
	s->generation = generation;
	return 0;
}

/* A queue that comes back after it was away is a new one: what was known of it may be long out of date. */
static int assign_queue(struct board *b, const struct queue *queue, uint64_t generation, uint64_t reuse, bool hold)
{
	size_t row = find_queue(b, queue->stream, queue->group);
	struct queue_state *s = row != SIZE_MAX ? queue_row(b, row) : new_queue(b, reuse);

	if (!s)
		return -ENOSPC;
	if (row == SIZE_MAX) {
		memset(s, 0, sizeof(*s));
		snprintf(s->stream, sizeof(s->stream), "%s", queue->stream);
		snprintf(s->group, sizeof(s->group), "%s", queue->group);
	}
	if (row == SIZE_MAX || s->generation + 1 < generation) {
		atomic_store(&s->due_mono_ms, INT64_MAX);
		atomic_store(&s->paused, hold ? 1 : 0);
		s->delivered_ms = s->delivered_seq = 0;
	}
	s->generation = generation;
	return 0;
}

int board_assign(struct board *b, const struct board_rows *rows, uint64_t generation, uint64_t reuse, bool hold)
{
	for (size_t i = 0; i < rows->job_count; i++) {
		int r = assign_job(b, &rows->jobs[i], generation, reuse);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < rows->queue_count; i++) {
		int r = assign_queue(b, &rows->queues[i], generation, reuse, hold);
		if (r < 0)
			return r;
	}
	return board_bind(b, rows);
}

int board_grow_slots(struct board *b, size_t count)
{
	struct board_header *h = board_header(b);
	size_t n = atomic_load(&h->slot_count);

	if (count <= n)
		return 0;
	if (count > h->slot_room || reserve(b, b->slots_at + n * sizeof(struct slot), (count - n) * sizeof(struct slot)) < 0)
		return -ENOSPC;
	atomic_store(&h->slot_count, (uint32_t)count);
	for (size_t i = n; i < count; i++) {
		slot_reset(board_slot(b, i));
		atomic_store(&board_slot(b, i)->state, WORKER_NONE);
	}
	return 0;
}

/* ---- the sequence lock ---- */

static void write_begin(struct slot *s)
{
	atomic_fetch_or(&s->seq, 1); /* odd even if the last writer died in the middle */
	atomic_thread_fence(memory_order_seq_cst);
}

static void write_end(struct slot *s)
{
	atomic_thread_fence(memory_order_seq_cst);
	atomic_fetch_add(&s->seq, 1);
}

void slot_set_identity(struct slot *s, const struct slot_identity *identity)
{
	write_begin(s);
	s->identity = *identity;
	write_end(s);
}

void slot_set_client(struct slot *s, int64_t client_id, const char *run_id)
{
	write_begin(s);
	s->identity.client_id = client_id;
	snprintf(s->identity.run_id, sizeof(s->identity.run_id), "%s", run_id);
	write_end(s);
}

void slot_set_run(struct slot *s, const struct slot_run *run)
{
	write_begin(s);
	if (run) {
		s->run = *run;
	} else {
		s->run.queue = s->run.job = -1;
		s->run.handler_pid = 0;
		s->run.id[0] = s->run.job_name[0] = '\0';
		s->run.progress = -1;
	}
	write_end(s);
}

void slot_set_handler(struct slot *s, pid_t pid, uint64_t start)
{
	write_begin(s);
	s->run.handler_pid = pid;
	s->run.handler_start = start;
	write_end(s);
}

void slot_set_done(struct slot *s, const struct slot_done *done)
{
	write_begin(s);
	s->done.count = done->count;
	memcpy(s->done.ids, done->ids, sizeof(done->ids[0]) * done->count);
	write_end(s);
}

void slot_set_progress(struct slot *s, int64_t progress, struct bytes status)
{
	write_begin(s);
	if (progress >= 0)
		s->run.progress = progress;
	if (status.n > 0)
		snprintf(s->run.status, sizeof(s->run.status), "%.*s", (int)(status.n < 127 ? status.n : 127), status.p);
	write_end(s);
}

void slot_set_state(struct slot *s, enum worker_state state, int64_t now_mono_ms)
{
	atomic_store(&s->beat_mono_ms, now_mono_ms);
	if (atomic_load(&s->state) == (uint32_t)state)
		return;
	atomic_store(&s->state_since_mono_ms, now_mono_ms);
	atomic_store(&s->state, (uint32_t)state);
}

void slot_read(const struct slot *s, struct slot_identity *ret_identity, struct slot_run *ret_run)
{
	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t before = atomic_load(&s->seq);
		atomic_thread_fence(memory_order_seq_cst);
		*ret_identity = s->identity;
		*ret_run = s->run;
		atomic_thread_fence(memory_order_seq_cst);
		if (!(before & 1) && atomic_load(&s->seq) == before)
			break;
	}
	/* Texts that a writer left half done must still end. */
	ret_identity->pool[sizeof(ret_identity->pool) - 1] = '\0';
	ret_identity->consumer[sizeof(ret_identity->consumer) - 1] = '\0';
	ret_identity->run_id[sizeof(ret_identity->run_id) - 1] = '\0';
	ret_run->stream[sizeof(ret_run->stream) - 1] = '\0';
	ret_run->group[sizeof(ret_run->group) - 1] = '\0';
	ret_run->job_name[sizeof(ret_run->job_name) - 1] = '\0';
	ret_run->id[sizeof(ret_run->id) - 1] = '\0';
	ret_run->status[sizeof(ret_run->status) - 1] = '\0';
}

void slot_read_done(const struct slot *s, struct slot_done *ret_done)
{
	*ret_done = s->done;
	if (ret_done->count > SLOT_DONE_MAX) /* what is shared is not trusted with an index */
		ret_done->count = SLOT_DONE_MAX;
}

bool slot_done_has(const struct slot_done *done, const char *id)
{
	uint64_t ms = 0, seq = 0;

	if (entry_id_parse(bytes_of(id), &ms, &seq) < 0)
		return false;
	for (uint32_t i = 0; i < done->count; i++) {
		if (done->ids[i][0] == ms && done->ids[i][1] == seq)
			return true;
	}
	return false;
}

/* ---- the highest delivered ID ---- */

/* Held for a few instructions. Who finds it held for long goes on without: its holder was killed inside. */
static bool delivered_lock(struct queue_state *q)
{
	enum { SPINS = 100000 };
	for (int i = 0; i < SPINS; i++) {
		uint32_t unlocked = 0;
		if (atomic_compare_exchange_weak(&q->delivered_lock, &unlocked, 1))
			return true;
	}
	return false;
}

void board_note_delivered(struct board *b, size_t queue, const char *id)
{
	struct queue_state *q = board_queue(b, queue);
	uint64_t ms = 0, seq = 0;

	if (!q || entry_id_parse(bytes_of(id), &ms, &seq) < 0 || !delivered_lock(q))
		return;
	if (ms > q->delivered_ms || (ms == q->delivered_ms && seq > q->delivered_seq)) {
		q->delivered_ms = ms;
		q->delivered_seq = seq;
	}
	atomic_store(&q->delivered_lock, 0);
}

bool board_delivered(struct board *b, size_t queue, char ret_id[SLOT_ID_SIZE])
{
	return queue_state_delivered(board_queue(b, queue), ret_id);
}

bool queue_state_delivered(struct queue_state *q, char ret_id[SLOT_ID_SIZE])
{
	ret_id[0] = '\0';
	if (!q || !delivered_lock(q))
		return false;
	uint64_t ms = q->delivered_ms, seq = q->delivered_seq;
	atomic_store(&q->delivered_lock, 0);
	if (ms == 0 && seq == 0)
		return false;
	snprintf(ret_id, SLOT_ID_SIZE, "%" PRIu64 "-%" PRIu64, ms, seq);
	return true;
}

void slot_reset(struct slot *s)
{
	write_begin(s);
	s->identity = (struct slot_identity){ 0 };
	s->run = (struct slot_run){ .queue = -1, .job = -1, .progress = -1 };
	s->done = (struct slot_done){ 0 };
	write_end(s);
	cancel_reset(&s->cancel);
	atomic_store(&s->state, WORKER_STARTING);
	atomic_store(&s->state_since_mono_ms, clock_mono_ms());
}
