/* Where a process finds its own cgroup: the lists of mounts and groups, as kernels, systemd and containers write them. What is done with groups is tried
 * with real ones (tests/integration/test_cgroup.py). */
#include "unit.h"

#include <errno.h>

#include "base/bytes.h"
#include "handler/cgroup.h"

#define V1 "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
#define V2 "41 31 0:38 / /sys/fs/cgroup rw,nosuid shared:9 master:1 - cgroup2 cgroup2 rw,nsdelegate\n"
#define HYBRID "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"

static void found(const char *mounts, const char *own, size_t number, const char *path)
{
	AUTO_BUF text = { 0 };

	assert_int_equal(cgroup_own_path(bytes_of(mounts), bytes_of(own), number, &text), 0);
	assert_string_equal(text.p, path);
}

static void missing(const char *mounts, const char *own, size_t number)
{
	AUTO_BUF text = { 0 };

	assert_int_equal(cgroup_own_path(bytes_of(mounts), bytes_of(own), number, &text), -ENOENT);
	assert_int_equal(text.n, 0);
}

static void test_own_path(void **state)
{
	(void)state;
	found(V2, "0::/system.slice/xackd.service\n", 0, "/sys/fs/cgroup/system.slice/xackd.service");
	found(V2, "0::/\n", 0, "/sys/fs/cgroup");
	found(V1 HYBRID, "9:name=systemd:/a\n1:cpu:/b\n0::/c\n", 0, "/sys/fs/cgroup/unified/c");
	found(V1 HYBRID, "0::/c", 0, "/sys/fs/cgroup/unified/c");
}

static void test_no_path(void **state)
{
	(void)state;
	missing("", "0::/a\n", 0);
	missing(V2, "", 0);
	missing(V2, "4:memory:/a\n", 0);
	missing(V1, "4:memory:/a\n0::/a\n", 0);
	missing(V2, "0::/../other\n", 0); /* above what this namespace of groups shows */
	missing(V2, "0::\n", 0);
	missing("41 31\n\ncgroup2\n41 31 0:38 / /x rw cgroup2 cgroup2\n", "0::/a\n", 0);
}

/* A container may have only its own part of the tree mounted. */
static void test_part_of_the_tree(void **state)
{
	static const char part[] = "41 31 0:38 /box/one /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
	(void)state;
	found(part, "0::/box/one\n", 0, "/sys/fs/cgroup");
	found(part, "0::/box/one/leaf\n", 0, "/sys/fs/cgroup/leaf");
	missing(part, "0::/box/one2\n", 0);
	missing(part, "0::/box\n", 0);
	missing(part, "0::/\n", 0);
}

static void test_several_mounts(void **state)
{
	static const char second[] = "50 31 0:38 / /with\\040space\\134 rw - cgroup2 none rw\n";
	AUTO_BUF both = { 0 };
	(void)state;
	buf_add_text(&both, V1 HYBRID);
	buf_add_text(&both, second);
	found(both.p, "0::/a\n", 0, "/sys/fs/cgroup/unified/a");
	found(both.p, "0::/a\n", 1, "/with space\\/a");
	missing(both.p, "0::/a\n", 2);
}

static void test_count(void **state)
{
	static const char text[] = "low 0\noom 3\noom_kill 12\noom_group_kill 1\nbad x\nbare\n";
	(void)state;
	assert_int_equal(cgroup_count(text, "oom_kill"), 12);
	assert_int_equal(cgroup_count(text, "oom"), 3);
	assert_int_equal(cgroup_count(text, "kill"), -1);
	assert_int_equal(cgroup_count(text, "bad"), -1);
	assert_int_equal(cgroup_count(text, "bare"), -1);
	assert_int_equal(cgroup_count("", "oom"), -1);
	assert_int_equal(cgroup_count("populated 1\nfrozen 0", "frozen"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_path),       cmocka_unit_test(test_no_path), cmocka_unit_test(test_part_of_the_tree),
		cmocka_unit_test(test_several_mounts), cmocka_unit_test(test_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
