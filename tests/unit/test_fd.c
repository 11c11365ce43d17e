/* Descriptors, small files, folders, and what /proc tells, in a folder of the test's own. */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fd.h"

struct place {
	char folder[64];
};

static int make_place(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	if (!p)
		return -1;
	snprintf(p->folder, sizeof(p->folder), "/tmp/xackd-unit-fd-XXXXXX");
	*state = p;
	return mkdtemp(p->folder) ? 0 : -1;
}

static int remove_place(void **state)
{
	struct place *p = *state;
	static const char *const leaves[] = { "text", "a/b/c", "a/b", "a", "" };
	for (size_t i = 0; i < ARRAY_LEN(leaves); i++) {
		char path[128];
		snprintf(path, sizeof(path), "%s/%s", p->folder, leaves[i]);
		(void)remove(path);
	}
	free(p);
	return 0;
}

static void test_file(void **state)
{
	const struct place *p = *state;
	char path[128];
	AUTO_BUF big = { 0 };
	AUTO_BUF back = { 0 };
	AUTO_BUF exact = { 0 };
	AUTO_BUF refused = { 0 };

	snprintf(path, sizeof(path), "%s/text", p->folder);
	AUTO_FD fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	for (int i = 0; i < 20000; i++)
		buf_addf(&big, "%05d\n", i);
	assert_int_equal(fd_write_all(fd, buf_bytes(&big)), 0);
	buf_add_text(&back, "before ");
	assert_int_equal(fd_read_file(path, 1 << 20, &back), 0);
	assert_bytes((struct bytes){ back.p + 7, back.n - 7 }, buf_bytes(&big));
	assert_int_equal(fd_read_file(path, big.n, &exact), 0);
	assert_int_equal(fd_read_file(path, big.n - 1, &refused), -EFBIG);
	assert_int_equal(fd_read_file("/does/not/exist", 10, &refused), -ENOENT);
	assert_int_equal(fd_read_file("/", 10, &refused), -EISDIR);
	assert_int_equal(fd_write_all(-1, BYTES("x")), -EBADF);
}

static void test_flags(void **state)
{
	(void)state;
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	AUTO_FD in = ends[0];
	AUTO_FD out = ends[1];
	assert_int_equal(fd_set_cloexec(in), 0);
	assert_int_equal(fd_set_nonblock(in), 0);
	assert_true(fcntl(in, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(in, F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(out, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fd_set_cloexec(-1), -EBADF);
	assert_int_equal(fd_set_nonblock(-1), -EBADF);
}

static void test_folder(void **state)
{
	const struct place *p = *state;
	char path[128];
	char file[160];
	struct stat st;

	snprintf(path, sizeof(path), "%s/a//b/c/", p->folder);
	assert_int_equal(fd_make_folder(path, 0700), 0);
	assert_int_equal(fd_make_folder(path, 0700), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(fd_make_folder("/", 0700), 0);
	assert_int_equal(fd_make_folder("", 0700), -ENOENT);
	snprintf(file, sizeof(file), "%s/text", p->folder);
	AUTO_FD fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_make_folder(file, 0700), -ENOTDIR);
}

static void test_process_start(void **state)
{
	(void)state;
	unsigned long long own = 0, again = 0, gone = 0;
	assert_int_equal(fd_process_start(getpid(), &own), 0);
	assert_int_equal(fd_process_start(getpid(), &again), 0);
	assert_true(own > 0 && own == again);
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(fd_process_start(child, &gone), -ESRCH);
	assert_int_equal(fd_process_start(-1, &gone), -ESRCH);
	assert_int_equal(fd_process_start(0, &gone), -ESRCH);
}

/* In a child: with 0 and 2 closed they are open afterwards, and the next descriptor is 3. */
static void test_stdio(void **state)
{
	(void)state;
	int status = 0;
	pid_t child = fork();
	if (child == 0) {
		for (int fd = 3; fd < 64; fd++)
			(void)close(fd);
		(void)close(0);
		(void)close(2);
		bool good = fd_secure_stdio() == 0 && fcntl(0, F_GETFD) == 0 && fcntl(2, F_GETFD) == 0 && dup(0) == 3;
		_exit(good ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_small_things(void **state)
{
	(void)state;
	char a[33], b[33];
	ino_t inode = 0;
	fd_random_hex(a, 16);
	fd_random_hex(b, 16);
	assert_int_equal(strlen(a), 32);
	assert_int_equal(strspn(a, "0123456789abcdef"), 32);
	assert_string_not_equal(a, b);
	fd_namespace_inode("/proc/self/ns/pid", &inode);
	assert_true(inode > 0);
	fd_namespace_inode("/does/not/exist", &inode);
	assert_int_equal(inode, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_file, make_place, remove_place),
		cmocka_unit_test_setup_teardown(test_folder, make_place, remove_place),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_process_start),
		cmocka_unit_test(test_stdio),
		cmocka_unit_test(test_small_things),
	};
	return RUN_GROUP(tests);
}
