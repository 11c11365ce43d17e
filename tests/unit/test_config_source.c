/* From files, and through a sealed memory file: includes, what cannot be read, and bundles that a stranger
 * made. */
#include "load_config.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "base/fd.h"

static void source_done(struct config_source **s)
{
	config_source_free(*s);
}
#define AUTO_SOURCE __attribute__((cleanup(source_done))) struct config_source

static char *fixture(const char *name)
{
	const char *top = getenv("XACKD_SRCDIR");
	char *path = NULL;

	assert_true(asprintf(&path, "%s/tests/unit/config/%s", top ? top : ".", name) > 0);
	return path;
}

static void test_include(void **state)
{
	AUTO_FREE char *file = fixture("good.yaml");
	AUTO_SOURCE *s = NULL;
	AUTO_BUF report = { 0 };
	struct config *c = NULL;

	(void)state;
	assert_int_equal(config_source_read(file, &s, &report), 0);
	assert_int_equal(s->count, 3); /* more/one.yaml is named twice */
	assert_int_equal(config_load(s, &c, &report), 0);
	assert_int_equal(c->job_count, 3);
	assert_string_equal(c->jobs[1].name, "one");
	assert_string_equal(c->jobs[2].name, "two");
	assert_int_equal(c->file[0], '/');
	assert_int_equal(c->jobs[0].exec[0][0], '/');
	assert_non_null(strstr(c->jobs[0].exec[0], "tests/unit/config/run"));
	config_free(c);
}

/* Every line of wrong.txt, with the names of the files as they were given. */
static void test_all_errors(void **state)
{
	AUTO_FREE char *file = fixture("wrong.yaml"), *expected_file = fixture("wrong.txt"),
		       *folder = fixture("");
	AUTO_SOURCE *s = NULL;
	AUTO_BUF report = { 0 }, expected = { 0 }, bare = { 0 };
	struct config *c = NULL;

	(void)state;
	assert_int_equal(config_source_read(file, &s, &report), 0);
	assert_int_equal(config_load(s, &c, &report), -EINVAL);
	assert_int_equal(fd_read_file(expected_file, 65536, &expected), 0);
	for (const char *p = report.p; *p;) {
		if (strncmp(p, folder, strlen(folder)) == 0)
			p += strlen(folder);
		else
			buf_add_char(&bare, *p++);
	}
	assert_string_equal(bare.p, expected.p);
}

static void test_unreadable(void **state)
{
	AUTO_SOURCE *s = NULL;
	AUTO_BUF report = { 0 };

	(void)state;
	assert_int_equal(config_source_read("/nonexistent/x.yaml", &s, &report), -ENOENT);
	assert_string_equal(report.p, "/nonexistent/x.yaml: cannot be read: No such file or directory\n");
	buf_clear(&report);
	assert_int_equal(config_source_read("/", &s, &report), -EISDIR);
	assert_string_equal(report.p, "/: cannot be read: Is a directory\n");
	assert_null(s);
}

static void test_memfd(void **state)
{
	AUTO_FREE char *file = fixture("wrong.yaml");
	AUTO_SOURCE *s = NULL, *copy = NULL, *again = NULL;
	AUTO_BUF report = { 0 }, first = { 0 }, second = { 0 };
	struct config *c = NULL;
	AUTO_FD fd = -1;

	(void)state;
	assert_int_equal(config_source_read(file, &s, &report), 0);
	assert_int_equal(config_source_to_memfd(s, &fd), 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(config_source_from_fd(fd, &copy), 0);
	assert_int_equal(config_source_from_fd(fd, &again), 0); /* the offset is nobody's */
	assert_int_equal(copy->count, s->count);
	assert_string_equal(copy->host, s->host);
	assert_int_equal(copy->cpus, s->cpus);
	assert_int_equal(config_load(s, &c, &first), -EINVAL);
	assert_int_equal(config_load(again, &c, &second), -EINVAL);
	assert_string_equal(first.p, second.p);
}

static int seal(const void *p, size_t n)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, (struct bytes){ p, n }), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
	return fd;
}

/* Cut at every byte, and with each byte changed: refused or read, never beyond its end. */
static void test_strange_bundles(void **state)
{
	char file_name[] = "/conf/main.yaml", folder[] = "/conf", host[] = "h", name[] = "m",
	     text[] = "jobs: {}", other[] = "o", fault[] = "gone";
	struct config_text texts[] = { { .name = name, .text = text, .length = 8 },
				       { .name = other, .fault = fault } };
	const struct config_source source = {
		.file = file_name, .folder = folder, .host = host, .cpus = 3, .texts = texts, .count = 2
	};
	AUTO_BUF bundle = { 0 };
	AUTO_FD fd = -1;

	(void)state;
	assert_int_equal(config_source_to_memfd(&source, &fd), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(fd_read_all(fd, 65536, &bundle), 0);
	for (size_t n = 0; n < bundle.n; n++) {
		struct config_source *s = NULL;
		AUTO_FD cut = seal(bundle.p, n);

		assert_int_equal(config_source_from_fd(cut, &s), -EINVAL);
		AUTO_BUF changed = { 0 };
		buf_add_bytes(&changed, buf_bytes(&bundle));
		changed.p[n] = (char)0xff;
		AUTO_FD strange = seal(changed.p, changed.n);
		if (config_source_from_fd(strange, &s) == 0)
			config_source_free(s);
	}
	AUTO_FD open_fd = memfd_create("test", MFD_CLOEXEC);
	struct config_source *s = NULL;
	assert_int_equal(fd_write_all(open_fd, buf_bytes(&bundle)), 0);
	assert_int_equal(config_source_from_fd(open_fd, &s), -EINVAL); /* not sealed */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_include),         cmocka_unit_test(test_all_errors),
		cmocka_unit_test(test_unreadable),      cmocka_unit_test(test_memfd),
		cmocka_unit_test(test_strange_bundles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
