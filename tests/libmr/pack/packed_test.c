/* packed_test.c - the stream in a pack, at any offset, by any thread. */
#include "tests/libmr/packs.h"

#include <pthread.h>

/* What zstd says of the whole file. */
static uint8_t *unpack_all(const struct made *m, size_t *len)
{
	size_t room = 64 << 20;
	uint8_t *all = malloc(room);

	assert_non_null(all);
	*len = ZSTD_decompress(all, room, m->pack.at, m->pack.n);
	assert_false(ZSTD_isError(*len));
	return all;
}

struct reading {
	struct packed *p;
	const uint8_t *all;
	size_t len;
	unsigned seed;
	bool wrong;
};

static void *read_at_random(void *arg)
{
	struct reading *r = arg;
	uint8_t *buf = malloc(r->len);

	for (int i = 0; buf && i < 300; i++) {
		size_t at = (size_t)rand_r(&r->seed) % r->len;
		size_t n = (size_t)rand_r(&r->seed) % (i % 9 ? 9000 : r->len);

		if (n > r->len - at)
			n = r->len - at;
		if (io_read_full(&r->p->io, buf, n, at, NULL) ||
		    memcmp(buf, r->all + at, n) != 0)
			r->wrong = true;
	}
	free(buf);
	return NULL;
}

static void test_stream(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	struct reading r[5];
	pthread_t t[5];
	struct packed p;
	struct mem_io io;
	struct made m;
	uint8_t *all, byte;
	size_t len;

	(void)state;
	packs_large(&m);
	all = unpack_all(&m, &len);
	mem_io_init(&io, m.pack.at, m.pack.n);
	assert_int_equal(packed_open(&p, &io.io, &err), 0);
	assert_true(p.head.extents > 2 * PACKED_SLOTS);
	assert_int_equal(p.io.size, len);
	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		r[i] = (struct reading){ &p, all, len, (unsigned)i, false };
		assert_int_equal(
			pthread_create(&t[i], NULL, read_at_random, &r[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_false(r[i].wrong);
	}
	assert_int_equal(io_read_upto(&p.io, &byte, 1, len, &err), 0);
	assert_int_equal(io_read_upto(&p.io, &byte, 1, UINT64_MAX, &err), 0);
	packed_release(&p);
	free(all);
	packs_drop(&m);
}

/* Opens the pack and reads all of it: 0, or -1 with *err. */
static int read_all(struct io *io, struct mr_error *err)
{
	struct packed p;
	uint8_t *all;
	int rc;

	*err = (struct mr_error)MR_ERROR_INIT;
	if (packed_open(&p, io, err))
		return -1;
	all = malloc((size_t)p.io.size);
	assert_non_null(all);
	rc = io_read_full(&p.io, all, (size_t)p.io.size, 0, err);
	free(all);
	packed_release(&p);
	return rc;
}

static void expect_said(const struct mr_error *err)
{
	assert_true(err->code == MR_FORMAT || err->code == MR_SHORT ||
		    err->code == MR_UNSUPPORTED);
	assert_true(err->msg[0]);
}

/* Every byte of the file is looked at, but for those of notes. */
static void test_flips(void **state)
{
	struct mr_error err;
	struct mem_io io;
	struct packed p;
	struct made m;
	size_t unseen = 0, notes;

	(void)state;
	packs_small(&m);
	mem_io_init(&io, m.pack.at, m.pack.n);
	assert_int_equal(packed_open(&p, &io.io, NULL), 0);
	/* 60 .. 67 are pages of two extents. */
	assert_int_equal(p.head.extents, 2);
	notes = 2 * (PACK_SKIP_SIZE + pack_extent_size(&p.label)) + 8 * 8;
	packed_release(&p);
	for (size_t i = 0; i < m.pack.n; i++) {
		m.pack.at[i] ^= (uint8_t)(1 << i % 8);
		if (read_all(&io.io, &err))
			expect_said(&err);
		else
			unseen++;
		m.pack.at[i] ^= (uint8_t)(1 << i % 8);
	}
	assert_int_equal(unseen, notes);
	assert_int_equal(read_all(&io.io, &err), 0);
	packs_drop(&m);
}

static void test_cut(void **state)
{
	struct mr_error err;
	struct mem_io io;
	struct made m;

	(void)state;
	packs_small(&m);
	for (size_t n = 0; n < m.pack.n; n++) {
		mem_io_init(&io, m.pack.at, n);
		assert_int_equal(read_all(&io.io, &err), -1);
		expect_said(&err);
	}
	packs_drop(&m);
}

struct failing {
	struct io io;
	struct mem_io mem;
	unsigned left; /* reads until one fails */
};

static ssize_t failing_read(struct io *io, void *buf, size_t len,
			    uint64_t offset)
{
	struct failing *f = (struct failing *)io;

	if (!f->left) {
		errno = EIO;
		return -1;
	}
	f->left--;
	return f->mem.io.ops->read(&f->mem.io, buf, len, offset);
}

static void test_failing(void **state)
{
	static const struct io_ops ops = { .name = "failing",
					   .read = failing_read };
	struct failing f = { .io = { .ops = &ops, .who = 3 } };
	struct mr_error err;
	struct made m;
	unsigned n = 0;
	int rc;

	(void)state;
	packs_small(&m);
	f.io.size = m.pack.n;
	mem_io_init(&f.mem, m.pack.at, m.pack.n);
	do {
		f.left = n++;
		rc = read_all(&f.io, &err);
		if (rc) {
			assert_int_equal(err.code, MR_SYS);
			assert_int_equal(err.sys, EIO);
			assert_int_equal(err.who, 3);
		}
	} while (rc);
	/* Label and index in two pieces, the end in one; four frames. */
	assert_int_equal(n - 1, 5 + 4);
	packs_drop(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_failing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
