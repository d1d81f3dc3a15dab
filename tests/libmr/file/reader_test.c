/* reader_test.c - the window, over memory and over back ends that misbehave. */
#include "tests/libmr/unit.h"

#include "libmr/file/reader.h"

enum { SIZE = 100000 };

static unsigned char *bytes;

/* Moves at most `step` bytes at a time, and fails call number `fail_at`. */
struct odd_io {
	struct io io;
	size_t step;
	unsigned int calls, fail_at;
};

static ssize_t odd_read(struct io *io, void *buf, size_t len, uint64_t offset)
{
	struct odd_io *o = (struct odd_io *)io;

	if (++o->calls == o->fail_at) {
		errno = EIO;
		return -1;
	}
	if (offset >= SIZE)
		return 0;
	if (len > o->step)
		len = o->step;
	if (len > SIZE - offset)
		len = (size_t)(SIZE - offset);
	memcpy(buf, bytes + offset, len);
	return (ssize_t)len;
}

static const struct io_ops odd_ops = { .name = "odd", .read = odd_read };

static int setup(void **state)
{
	uint32_t x = 1;

	(void)state;
	bytes = malloc(SIZE);
	if (!bytes)
		return -1;
	for (size_t i = 0; i < SIZE; i++) {
		x = x * 1664525 + 1013904223;
		bytes[i] = (unsigned char)(x >> 24);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(bytes);
	return 0;
}

/* Every byte comes out as it went in. */
static void walk(size_t window, size_t step, size_t piece)
{
	struct odd_io o = { .io = { .ops = &odd_ops, .size = SIZE },
			    .step = step };
	struct mr_error err = MR_ERROR_INIT;
	struct reader r;
	uint64_t at = 0;

	assert_int_equal(reader_init(&r, &o.io, window, 0, &err), 0);
	while (at < SIZE) {
		const uint8_t *p;
		ssize_t n = mr_reader_peek(&r, piece, &p, &err);

		assert_true(n > 0);
		assert_int_equal(mr_reader_tell(&r), at);
		assert_true((size_t)n == piece || at + (size_t)n == SIZE);
		assert_memory_equal(p, bytes + at, (size_t)n);
		mr_reader_skip(&r, (uint64_t)n);
		at += (uint64_t)n;
	}
	assert_int_equal(at, SIZE);
	reader_release(&r);
}

static void test_walk(void **state)
{
	(void)state;
	walk(7, 3, 7);
	walk(64, 1, 5);
	walk(4096, SIZE, 4096);
	walk(4096, SIZE, 4095);
	walk(65536, 5000, 333);
	walk((size_t)2 * SIZE, SIZE, 20000);
}

/* Headers of pages that are passed over: still read in larger and larger
 * pieces, while those far apart are not. */
static void test_pieces(void **state)
{
	struct odd_io o = { .io = { .ops = &odd_ops, .size = SIZE },
			    .step = SIZE };
	struct mr_error err = MR_ERROR_INIT;
	struct reader r;
	const uint8_t *p;

	(void)state;
	assert_int_equal(reader_init(&r, &o.io, SIZE, 0, &err), 0);
	while (mr_reader_tell(&r) < SIZE) {
		uint64_t at = mr_reader_tell(&r);
		ssize_t n = mr_reader_peek(&r, 8, &p, &err);

		assert_true(n > 0);
		assert_memory_equal(p, bytes + at, (size_t)n);
		mr_reader_skip(&r, 8 + 4096);
	}
	/* 16, 32, and 64 KiB, which are not all there. */
	assert_in_range(o.calls, 3, 4);
	reader_seek(&r, 0);
	assert_int_equal(reader_need(&r, 8, &p, &err), 0);
	assert_in_range(r.have, 8, 16384);
	reader_seek(&r, 50000);
	assert_int_equal(reader_need(&r, 8, &p, &err), 0);
	assert_in_range(r.have, 8, 16384);
	reader_release(&r);
}

static void test_skip_and_seek(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mem_io m;
	struct reader r;
	const uint8_t *p;

	(void)state;
	mem_io_init(&m, bytes, SIZE);
	assert_int_equal(reader_init(&r, &m.io, 100, 10, &err), 0);
	assert_int_equal(reader_need(&r, 100, &p, &err), 0);
	assert_memory_equal(p, bytes + 10, 100);
	mr_reader_skip(&r, 100);
	mr_reader_skip(&r, 50000);
	assert_int_equal(mr_reader_tell(&r), 50110);
	assert_int_equal(reader_need(&r, 3, &p, &err), 0);
	assert_memory_equal(p, bytes + 50110, 3);
	/* back, within the window and before it */
	mr_reader_skip(&r, 2);
	reader_seek(&r, 50110);
	assert_int_equal(reader_need(&r, 100, &p, &err), 0);
	assert_memory_equal(p, bytes + 50110, 100);
	reader_seek(&r, 0);
	assert_int_equal(reader_need(&r, 100, &p, &err), 0);
	assert_memory_equal(p, bytes, 100);
	/* past the end: no bytes, and an error only when some are needed */
	reader_seek(&r, UINT64_MAX - 1000);
	assert_int_equal(mr_reader_peek(&r, 1, &p, &err), 0);
	assert_int_equal(err.code, MR_OK);
	assert_int_equal(reader_need(&r, 1, &p, &err), -1);
	assert_int_equal(err.code, MR_SHORT);
	assert_int_equal(err.offset, SIZE);
	reader_release(&r);
}

static void test_short_end(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct mem_io m;
	struct reader r;
	const uint8_t *p;

	(void)state;
	mem_io_init(&m, bytes, SIZE);
	assert_int_equal(reader_init(&r, &m.io, 64, SIZE - 10, &err), 0);
	assert_int_equal(mr_reader_peek(&r, 64, &p, &err), 10);
	assert_memory_equal(p, bytes + SIZE - 10, 10);
	assert_int_equal(reader_need(&r, 11, &p, &err), -1);
	assert_int_equal(err.code, MR_SHORT);
	assert_int_equal(err.offset, SIZE);
	reader_release(&r);
}

/* A read that fails is told with its place; what was there before stays. */
static void test_read_error(void **state)
{
	(void)state;
	for (unsigned int nth = 1; nth <= 4; nth++) {
		struct odd_io o = { .io = { .ops = &odd_ops, .size = SIZE },
				    .step = 1000,
				    .fail_at = nth };
		struct mr_error err = MR_ERROR_INIT;
		struct reader r;
		const uint8_t *p;

		assert_int_equal(reader_init(&r, &o.io, 4000, 0, &err), 0);
		assert_int_equal(mr_reader_peek(&r, 4000, &p, &err), -1);
		assert_int_equal(err.code, MR_SYS);
		assert_int_equal(err.sys, EIO);
		assert_int_equal(err.offset, (nth - 1) * 1000);
		err = (struct mr_error)MR_ERROR_INIT;
		assert_int_equal(mr_reader_peek(&r, 4000, &p, &err), 4000);
		assert_memory_equal(p, bytes, 4000);
		reader_release(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_skip_and_seek),
		cmocka_unit_test(test_short_end),
		cmocka_unit_test(test_read_error),
	};

	return cmocka_run_group_tests_name("reader", tests, setup, teardown);
}
