/* range_test.c - places as people write them. */
#include "tests/libmr/unit.h"

static void right(void **state)
{
	static const struct {
		const char *text;
		uint64_t start, length;
	} cases[] = {
		{ "0", 0, 0 },
		{ "0x1000", 4096, 0 },
		{ "010", 8, 0 },
		{ "4K+2", 4096, 2 },
		{ "1M+0x10K", 1 << 20, 16 << 10 },
		{ "3G", UINT64_C(3) << 30, 0 },
		{ "0xffffffffffffffff+1T", UINT64_MAX, UINT64_C(1) << 40 },
		{ "16777215T", UINT64_C(16777215) << 40, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t start = 1, length = 1;

		assert_int_equal(mr_parse_range(cases[i].text, &start, &length),
				 0);
		assert_true(start == cases[i].start);
		assert_true(length == cases[i].length);
	}
}

static void wrong(void **state)
{
	static const char *const cases[] = {
		"",
		"K",
		"+1",
		" 1",
		"-1",
		"1 ",
		"1k",
		"1KK",
		"1+",
		"1+0",
		"1+-1",
		"1+1+1",
		"1+ 1",
		"1-2",
		"0x",
		"08",
		"1P",
		"16777216T",
		"1+x",
		"18446744073709551616",
		"1+16777216T",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t start, length;

		if (!mr_parse_range(cases[i], &start, &length))
			fail_msg("\"%s\" was taken", cases[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right),
		cmocka_unit_test(wrong),
	};

	return cmocka_run_group_tests_name("range", tests, NULL, NULL);
}
