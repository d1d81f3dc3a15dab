/* names_test.c - things by their names. */
#include "libmr/base/names.h"
#include "tests/libmr/unit.h"

struct thing {
	int other;
	const char *name;
};

static void found(void **state)
{
	static const struct thing things[] = {
		{ 0, "pc.ram" }, { 1, "" },	    { 2, "pc.rom" },
		{ 3, "vga" },	 { 4, "pc.ram.1" }, { 5, "\xc3\xa4" },
	};
	struct names x;

	(void)state;
	for (size_t n = 0; n <= ARRAY_LEN(things); n++) {
		assert_int_equal(
			names_make(&x, &things->name, sizeof(*things), n), 0);
		for (size_t i = 0; i < ARRAY_LEN(things); i++)
			assert_true(names_find(&x, things[i].name) ==
				    (i < n ? i : NAMES_NONE));
		assert_true(names_find(&x, "pc") == NAMES_NONE);
		assert_true(names_find(&x, "zzz") == NAMES_NONE);
		assert_true(names_twice(&x) == NAMES_NONE);
		names_free(&x);
	}
	assert_true(names_find(&x, "vga") == NAMES_NONE);
}

static void twice(void **state)
{
	static const char *const names[] = { "b", "a", "c", "a", "b" };
	struct names x;

	(void)state;
	for (size_t n = 0; n <= ARRAY_LEN(names); n++) {
		assert_int_equal(names_make(&x, names, sizeof(*names), n), 0);
		assert_true(names_twice(&x) == (n > 3 ? 3 : NAMES_NONE));
		names_free(&x);
	}
}

static void list(void **state)
{
	static const char *const names[] = { "pc.ram", "vga.vram", "pc.bios",
					     "0123456789012345678901234" };
	char text[64];
	struct names x;

	(void)state;
	assert_int_equal(names_make(&x, names, sizeof(*names), 0), 0);
	names_list(&x, text, sizeof(text));
	assert_string_equal(text, "none");
	names_free(&x);
	assert_int_equal(names_make(&x, names, sizeof(*names), 4), 0);
	names_list(&x, text, sizeof(text));
	assert_string_equal(text, "pc.ram, vga.vram, pc.bios, "
				  "0123456789012345678901234");
	names_list(&x, text, 52); /* one too few for the last */
	assert_string_equal(text, "pc.ram, vga.vram and 2 more");
	names_list(&x, text, 32);
	assert_string_equal(text, "4 others");
	names_free(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found),
		cmocka_unit_test(twice),
		cmocka_unit_test(list),
	};

	return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
