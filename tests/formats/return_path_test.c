/* return_path_test.c - messages of a destination. */
#include "tests/formats/unit.h"

#include "formats/bytes.h"
#include "formats/return_path.h"

static struct return_path_message message;

static ssize_t decode(const uint8_t *buf, size_t len, struct fault *f)
{
	return return_path_decode(buf, len, &message, f);
}

static void messages(void **state)
{
	static const struct {
		const char *name;
		uint16_t least, most;
	} types[] = {
		{ "shut", 4, 4 },
		{ "pong", 4, 4 },
		{ "req-pages-id", 13, 268 },
		{ "req-pages", 12, 12 },
		{ "recv-bitmap", 2, 256 },
		{ "resume-ack", 4, 4 },
		{ "switchover-ack", 0, 0 },
	};
	uint8_t buf[4 + 300] = { 0 };
	struct fault f;

	(void)state;
	put_be32(buf + 4, 0x01020304);
	for (unsigned int i = 0; i < ARRAY_LEN(types); i++) {
		assert_string_equal(return_path_name(i + 1), types[i].name);
		put_be16(buf, (uint16_t)(i + 1));
		for (uint16_t n = 0; n < 300; n++) {
			bool good = n >= types[i].least && n <= types[i].most;

			put_be16(buf + 2, n);
			if (good)
				check_truncations(decode, buf, 4U + n,
						  4U + n + 1, 4 + n);
			else
				assert_int_equal(decode(buf, sizeof(buf), &f),
						 -1);
		}
	}
	put_be16(buf, 2);
	put_be16(buf + 2, 4);
	assert_int_equal(decode(buf, 8, &f), 8);
	assert_int_equal(message.type, RETURN_PATH_PONG);
	assert_int_equal(message.value, 0x01020304);
	assert_null(return_path_name(0));
	assert_null(return_path_name(8));
	for (uint16_t bad = 0; bad < 300; bad += 8) {
		put_be16(buf, bad);
		assert_int_equal(decode(buf, sizeof(buf), &f), -1);
		assert_int_equal(f.kind, FAULT_BAD);
	}
}

static void written(void **state)
{
	static const uint8_t shut[] = { 0, 1, 0, 4, 0, 0, 0, 1 };
	static const uint8_t pong[] = { 0, 2, 0, 4, 1, 2, 3, 4 };
	static const uint8_t ack[] = { 0, 7, 0, 0 };
	struct return_path_message m = { RETURN_PATH_SHUT, 1 };
	uint8_t buf[RETURN_PATH_MAX];

	(void)state;
	assert_int_equal(return_path_encode(buf, &m), sizeof(shut));
	assert_memory_equal(buf, shut, sizeof(shut));
	m = (struct return_path_message){ RETURN_PATH_PONG, 0x01020304 };
	assert_int_equal(return_path_encode(buf, &m), sizeof(pong));
	assert_memory_equal(buf, pong, sizeof(pong));
	m = (struct return_path_message){ RETURN_PATH_SWITCHOVER_ACK, 9 };
	assert_int_equal(return_path_encode(buf, &m), sizeof(ack));
	assert_memory_equal(buf, ack, sizeof(ack));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages),
		cmocka_unit_test(written),
	};

	return cmocka_run_group_tests_name("return_path", tests, NULL, NULL);
}
