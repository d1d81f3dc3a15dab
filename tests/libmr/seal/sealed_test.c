/* sealed_test.c - a seal is found from the end of a file, or not. */
#include "tests/libmr/unit.h"

#include "libmr/seal/sealed.h"

/* Of zeros behind a seal, so many are passed over. */
enum { PADDING = 1 << 20, SIZE = 2 * PADDING };

static uint8_t bytes[SIZE];
static struct seal_end found;
static uint64_t size;

static int find(size_t len, struct mr_error *err)
{
	struct mem_io m;

	mem_io_init(&m, bytes, len);
	*err = (struct mr_error)MR_ERROR_INIT;
	return sealed_find(&m.io, &found, &size, err);
}

/* A seal's end, in front of byte `end` of a file without another zero. */
static void put_end(size_t end, uint64_t length)
{
	struct seal_end e = { .length = length };

	memset(bytes, 'x', end);
	memset(bytes + end, 0, sizeof(bytes) - end);
	memset(e.digest.byte, 'd', sizeof(e.digest.byte));
	(void)seal_end_encode(bytes + end - SEAL_END_SIZE, &e);
}

static void test_found(void **state)
{
	static const size_t ends[] = { 88, 512, 4095, 4096, 4097, 70000 };
	static const size_t zeros[] = { 0, 1, 4095, 4096, 4097, PADDING - 1 };
	struct mr_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		for (size_t k = 0; k < ARRAY_LEN(zeros); k++) {
			put_end(ends[i], SEAL_HEAD_MIN + SEAL_END_SIZE);
			assert_int_equal(find(ends[i] + zeros[k], &err), 1);
			assert_int_equal(size, ends[i]);
			assert_int_equal(found.length, 88);
			assert_int_equal(found.digest.byte[0], 'd');
			assert_int_equal(found.digest.byte[15], 'd');
		}
}

static void test_none(void **state)
{
	struct mr_error err;

	(void)state;
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(find(0, &err), 0);
	assert_int_equal(find(5000, &err), 0);
	assert_int_equal(find(SIZE, &err), 0);
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(find(1, &err), 0);
	assert_int_equal(find(5000, &err), 0);
	/* Cut off, or with something behind it. */
	put_end(5000, 1000);
	assert_int_equal(find(4999, &err), 0);
	bytes[5000] = 'x';
	assert_int_equal(find(5001, &err), 0);
	/* In a file that has no room for the head of one. */
	put_end(87, 87);
	assert_int_equal(find(87, &err), 0);
	/* The zeros that are looked through have an end. */
	put_end(5000, 1000);
	assert_int_equal(find(5000 + PADDING + 4096, &err), 0);
	assert_string_equal(err.msg, "");
}

static void test_impossible_length(void **state)
{
	static const uint64_t lengths[] = { 0, 87, 5001, UINT64_MAX };
	struct mr_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		put_end(5000, lengths[i]);
		assert_int_equal(find(5100, &err), -1);
		assert_int_equal(err.code, MR_FORMAT);
		assert_int_equal(err.offset, 5000 - SEAL_END_SIZE);
	}
	put_end(5000, 5000);
	assert_int_equal(find(5100, &err), 1);
}

/* Every read failed in turn: that is no file without a seal. */
struct bad_io {
	struct mem_io m;
	unsigned calls, fail_at;
};

static ssize_t bad_read(struct io *io, void *buf, size_t len, uint64_t offset)
{
	struct bad_io *b = (struct bad_io *)io;

	if (++b->calls == b->fail_at) {
		errno = EIO;
		return -1;
	}
	memcpy(buf, b->m.data + offset, len);
	return (ssize_t)len;
}

static void test_read_errors(void **state)
{
	static const struct io_ops ops = { .name = "bad", .read = bad_read };
	unsigned n = 0;
	int rc;

	(void)state;
	put_end(5000, 1000);
	do {
		struct mr_error err = MR_ERROR_INIT;
		struct bad_io b = { .fail_at = ++n };

		mem_io_init(&b.m, bytes, 9000);
		b.m.io.ops = &ops;
		rc = sealed_find(&b.m.io, &found, &size, &err);
		if (rc < 0)
			assert_int_equal(err.sys, EIO);
	} while (rc < 0);
	assert_int_equal(rc, 1);
	assert_int_equal(n, 4); /* two pieces of zeros, and the end */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_impossible_length),
		cmocka_unit_test(test_read_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
