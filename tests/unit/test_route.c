/* Routing: the first job whose match fits; the first field of a name counts, byte for byte. */
#include "unit.h"

#include "domain/route.h"

static void test_route(void **state)
{
	(void)state;
	struct match_rule thumb[] = { { (char *)"type", (char *)"thumb" } };
	struct match_rule both[] = { { (char *)"type", (char *)"mail" }, { (char *)"lang", (char *)"" } };
	struct job a = { .name = (char *)"a", .matches = thumb, .match_count = 1 };
	struct job b = { .name = (char *)"b", .matches = both, .match_count = 2 };
	struct job c = { .name = (char *)"c", .matches = thumb, .match_count = 1 };
	struct job rest = { .name = (char *)"rest" };
	struct job *strict[] = { &a, &b, &c };
	struct job *open[] = { &a, &b, &rest, &c };
	struct queue strict_queue = { .jobs = strict, .job_count = ARRAY_LEN(strict) };
	struct queue open_queue = { .jobs = open, .job_count = ARRAY_LEN(open) };

	struct {
		struct entry_pair pairs[2];
		size_t count;
		const struct job *in_strict, *in_open;
	} rows[] = {
		{ { PAIR("type", "thumb") }, 1, &a, &a },
		{ { PAIR("type", "thumb\0") }, 1, NULL, &rest },
		{ { PAIR("type", "thum") }, 1, NULL, &rest },
		{ { PAIR("Type", "thumb") }, 1, NULL, &rest },
		{ { PAIR("type", "x"), PAIR("type", "thumb") }, 2, NULL, &rest },
		{ { PAIR("type", "thumb"), PAIR("type", "x") }, 2, &a, &a },
		{ { PAIR("lang", ""), PAIR("type", "mail") }, 2, &b, &b },
		{ { PAIR("type", "mail") }, 1, NULL, &rest }, /* missing is not empty */
		{ { PAIR("", "") }, 0, NULL, &rest },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct entry e = { .pairs = rows[i].pairs, .pair_count = rows[i].count };
		assert_ptr_equal(route_job(&strict_queue, &e), rows[i].in_strict);
		assert_ptr_equal(route_job(&open_queue, &e), rows[i].in_open);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_route) };
	return RUN_GROUP(tests);
}
