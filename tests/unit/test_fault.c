/* A fault: code and sentence, cut to its size, without one, and made from itself. */
#include "unit.h"

#include "base/fault.h"

static void test_set(void **state)
{
	(void)state;
	struct fault f = { 0 };
	assert_int_equal(fault_set(&f, -EINVAL, "%s %d", "line", 3), -EINVAL);
	assert_int_equal(f.error, -EINVAL);
	assert_string_equal(f.text, "line 3");
	assert_int_equal(fault_set(&f, -EIO, "file: %s", f.text), -EIO);
	assert_string_equal(f.text, "file: line 3");
	assert_int_equal(fault_set(NULL, -EPERM, "%s", "nobody listens"), -EPERM);
}

static void test_cut(void **state)
{
	(void)state;
	struct fault f = { 0 };
	(void)fault_set(&f, -EINVAL, "%0999d", 1);
	assert_int_equal(strlen(f.text), sizeof(f.text) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_set), cmocka_unit_test(test_cut) };
	return RUN_GROUP(tests);
}
