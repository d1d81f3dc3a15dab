/* capture_test.c - head and records of a capture's index. */
#include "tests/formats/unit.h"

#include "formats/bytes.h"
#include "formats/capture.h"

static struct capture_record record;

static ssize_t decode_record(const uint8_t *buf, size_t len, struct fault *f)
{
	return capture_record_decode(buf, len, &record, f);
}

static void heads(void **state)
{
	uint8_t buf[CAPTURE_HEAD_SIZE + 2] = { 0 };
	struct fault f;

	(void)state;
	assert_int_equal(capture_head_encode(buf), CAPTURE_HEAD_SIZE);
	check_truncations(capture_head_decode, buf, CAPTURE_HEAD_SIZE,
			  sizeof(buf), CAPTURE_HEAD_SIZE);
	put_be32(buf + 8, 2);
	assert_int_equal(capture_head_decode(buf, sizeof(buf), &f), -1);
	assert_int_equal(f.kind, FAULT_UNSUPPORTED);
	buf[7] = '\r';
	assert_int_equal(capture_head_decode(buf, sizeof(buf), &f), -1);
	assert_int_equal(f.kind, FAULT_BAD);
}

static void records(void **state)
{
	static const uint8_t sample[] = { 0, 1, 0, 3, 0, 0, 2, 1,
					  0, 0, 0, 1, 0, 0, 0, 2 };
	static const struct {
		size_t at;
		uint16_t value;
		size_t fault;
	} bad[] = { { 0, 0, 0 }, { 0, 3, 0 }, { 0, 2, 4 }, { 2, 256, 2 } };
	uint8_t buf[CAPTURE_RECORD_SIZE + 2] = { 0 };
	uint8_t back[CAPTURE_RECORD_SIZE];
	struct fault f;

	(void)state;
	memcpy(buf, sample, sizeof(sample));
	check_truncations(decode_record, buf, sizeof(sample), sizeof(buf),
			  sizeof(sample));
	assert_int_equal(record.kind, CAPTURE_BYTES);
	assert_int_equal(record.connection, 3);
	assert_int_equal(record.bytes, 0x201);
	assert_int_equal(record.ns, 0x100000002);
	assert_int_equal(capture_record_encode(back, &record), sizeof(back));
	assert_memory_equal(back, sample, sizeof(back));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		memcpy(buf, sample, sizeof(sample));
		put_be16(buf + bad[i].at, bad[i].value);
		assert_int_equal(decode_exact(decode_record, buf, 16, &f), -1);
		assert_int_equal(f.kind, FAULT_BAD);
		assert_int_equal(f.at, bad[i].fault);
	}
	memset(buf + 4, 0, 4);
	put_be16(buf + 2, 0);
	assert_int_equal(decode_record(buf, 16, &f), -1);
	put_be16(buf, CAPTURE_END);
	assert_int_equal(decode_record(buf, 16, &f), 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads),
		cmocka_unit_test(records),
	};

	return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
