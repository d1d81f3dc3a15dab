/* name_test.c - names with a length byte. */
#include "tests/formats/unit.h"

#include "formats/name.h"

static char name[NAME_SIZE];

static ssize_t decode(const uint8_t *buf, size_t len, struct fault *f)
{
	return name_decode(buf, len, 0, name, f);
}

/* The name stands behind two other bytes. */
static ssize_t decode_at_2(const uint8_t *buf, size_t len, struct fault *f)
{
	return name_decode(buf, len, 2, name, f);
}

static void every_length(void **state)
{
	uint8_t buf[300];
	char want[NAME_SIZE];
	size_t n;

	(void)state;
	for (n = 1; n <= NAME_MAX_LEN; n++) {
		memset(want, 'a' + (int)(n % 26), n);
		want[n] = '\0';
		memset(buf, 0xff, sizeof(buf));
		assert_int_equal(name_encode(buf, want), n + 1);
		assert_int_equal(buf[n + 1], 0xff);
		check_truncations(decode, buf, n + 1, n + 4, (ssize_t)n + 1);
		assert_string_equal(name, want);
	}
}

static void offset_in_buffer(void **state)
{
	const uint8_t buf[] = { 9, 9, 3, 'r', 'a', 'm', 9 };
	const uint8_t empty[] = { 9, 9, 0, 'r' };
	const uint8_t nul[] = { 9, 9, 2, 'r', 0 };

	(void)state;
	check_truncations(decode_at_2, buf, 6, 7, 4);
	assert_string_equal(name, "ram");
	check_fault(decode_at_2, empty, sizeof(empty), FAULT_BAD, 2);
	check_fault(decode_at_2, nul, sizeof(nul), FAULT_BAD, 3);
}

static void text(void **state)
{
	static const char *const good[] = {
		"",
		"pc.ram",
		"/rom@etc/acpi/tables",
		"0000:00:02.0/vga.vram",
		"sram A1",
		"VMApple Config",
		"caf\xc3\xa9",
		"\xe2\x82\xac",
		"\xf0\x9f\x90\xab",
		"\xf4\x8f\xbf\xbf",
		"\xed\x9f\xbf",
		"\xee\x80\x80",
	};
	static const char *const bad[] = {
		"\x1b[31m",
		"a\nb",
		"\x01",
		"\x7f",
		"\x80",
		"\xbf",
		"\xc0\x80",
		"\xc1\xbf",
		"\xc2\x80",
		("\xc2\x9b"
		 "2J"),
		"\xc2\x9f",
		"\xc3",
		"\xc3(",
		"\xe0\x80\x80",
		"\xe0\x9f\xbf",
		"\xe2\x82",
		"\xed\xa0\x80",
		"\xed\xbf\xbf",
		"\xf0\x80\x80\x80",
		"\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xf8\x88\x80\x80\x80",
		"\xff",
		"ok\xfe",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(good); i++)
		assert_true(name_is_text(good[i], strlen(good[i])));
	for (i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(name_is_text(bad[i], strlen(bad[i])));
	assert_false(name_is_text("a\0b", 3));
}

/* Every single byte, as the whole name and at its end. */
static void every_byte(void **state)
{
	unsigned int b;

	(void)state;
	for (b = 0; b < 256; b++) {
		uint8_t buf[] = { 2, 'x', (uint8_t)b };
		struct fault f;
		bool good = b >= 0x20 && b < 0x7f;

		assert_int_equal(decode_exact(decode, buf, 3, &f),
				 good ? 3 : -1);
		assert_int_equal(f.kind, good ? FAULT_NONE : FAULT_BAD);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length),
		cmocka_unit_test(offset_in_buffer),
		cmocka_unit_test(text),
		cmocka_unit_test(every_byte),
	};

	return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}
