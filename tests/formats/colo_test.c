/* colo_test.c - the words of COLO. */
#include "tests/formats/unit.h"

#include "formats/bytes.h"
#include "formats/colo.h"

static struct colo_word word;

static ssize_t decode(const uint8_t *buf, size_t len, struct fault *f)
{
	return colo_decode(buf, len, &word, f);
}

static void words(void **state)
{
	static const char *const names[] = {
		"checkpoint-ready", "checkpoint-request", "checkpoint-reply",
		"vmstate-send",	    "vmstate-size",	  "vmstate-received",
		"vmstate-loaded",
	};
	uint8_t buf[COLO_MAX + 4] = { 0 };
	struct fault f;

	(void)state;
	put_be64(buf + 4, UINT64_C(0x0102030405060708));
	for (uint32_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t n = i == COLO_SIZE ? 12 : 4;

		assert_string_equal(colo_name(i), names[i]);
		put_be32(buf, i);
		check_truncations(decode, buf, n, n + 4, (ssize_t)n);
		assert_int_equal(decode(buf, n, &f), n);
		assert_int_equal(word.message, i);
		assert_true(
			word.size ==
			(i == COLO_SIZE ? UINT64_C(0x0102030405060708) : 0));
	}
	assert_null(colo_name(7));
	for (uint32_t bad = 7; bad; bad <<= 1) {
		put_be32(buf, bad);
		assert_int_equal(decode(buf, sizeof(buf), &f), -1);
		assert_int_equal(f.kind, FAULT_BAD);
		assert_true(f.value == bad);
	}
}

static void written(void **state)
{
	static const uint8_t loaded[] = { 0, 0, 0, 6 };
	static const uint8_t size[] = { 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 1, 2 };
	struct colo_word w = { COLO_LOADED, 7 };
	uint8_t buf[COLO_MAX];

	(void)state;
	assert_int_equal(colo_encode(buf, &w), sizeof(loaded));
	assert_memory_equal(buf, loaded, sizeof(loaded));
	w = (struct colo_word){ COLO_SIZE, 0x102 };
	assert_int_equal(colo_encode(buf, &w), sizeof(size));
	assert_memory_equal(buf, size, sizeof(size));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(written),
	};

	return cmocka_run_group_tests_name("colo", tests, NULL, NULL);
}
