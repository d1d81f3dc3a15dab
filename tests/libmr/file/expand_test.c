/* expand_test.c - compressed bytes that come a few at a time, end early, are
 * damaged, or find no memory. */
#include "tests/libmr/unit.h"

#include <zlib.h>
#include <zstd.h>
#if __has_include(<bzlib.h>)
#include <bzlib.h>
#define HAS_BZIP2 1
#else
#define HAS_BZIP2 0
#endif
#if __has_include(<lzma.h>)
#include <lzma.h>
#define HAS_XZ 1
#else
#define HAS_XZ 0
#endif

#include "libmr/file/expand.h"
#include "tests/libmr/fail.h"

FAIL_WRAP(void *, malloc, (size_t size), (size), NULL)

enum { PLAIN = 70000, ROOM = 160000 };

static uint8_t plain[PLAIN];

struct bytes {
	uint8_t at[ROOM];
	size_t len;
};

/* With a checksum, as the program has it. */
static void add_zstd(struct bytes *b, size_t from, size_t to)
{
	ZSTD_CCtx *c = ZSTD_createCCtx();
	size_t n;

	assert_non_null(c);
	assert_false(ZSTD_isError(
		ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1)));
	n = ZSTD_compress2(c, b->at + b->len, ROOM - b->len, plain + from,
			   to - from);
	assert_false(ZSTD_isError(n));
	b->len += n;
	(void)ZSTD_freeCCtx(c);
}

static void add_gzip(struct bytes *b, size_t from, size_t to)
{
	z_stream z = { .next_in = plain + from,
		       .avail_in = (unsigned int)(to - from),
		       .next_out = b->at + b->len,
		       .avail_out = (unsigned int)(ROOM - b->len) };

	assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, MAX_WBITS + 16, 8,
				      Z_DEFAULT_STRATEGY),
			 Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	b->len += z.total_out;
	assert_int_equal(deflateEnd(&z), Z_OK);
}

#if HAS_BZIP2
static void add_bzip2(struct bytes *b, size_t from, size_t to)
{
	unsigned n = (unsigned)(ROOM - b->len);

	assert_int_equal(BZ2_bzBuffToBuffCompress((char *)b->at + b->len, &n,
						  (char *)plain + from,
						  (unsigned)(to - from), 1, 0,
						  0),
			 BZ_OK);
	b->len += n;
}
#endif

#if HAS_XZ
static void add_xz(struct bytes *b, size_t from, size_t to)
{
	assert_int_equal(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC64, NULL,
						 plain + from, to - from, b->at,
						 &b->len, ROOM),
			 LZMA_OK);
}
#endif

typedef void add_fn(struct bytes *b, size_t from, size_t to);
static const struct {
	enum expand_format format;
	add_fn *add;
} kinds[] = {
	{ EXPAND_ZSTD, add_zstd },
	{ EXPAND_GZIP, add_gzip },
#if HAS_BZIP2
	{ EXPAND_BZIP2, add_bzip2 },
#endif
#if HAS_XZ
	{ EXPAND_XZ, add_xz },
#endif
};

/* At most `most` bytes at a time; fails from byte `bad` on. */
struct slow_io {
	struct io io;
	const struct bytes *b;
	size_t most, bad;
};

static ssize_t slow_read(struct io *io, void *buf, size_t len, uint64_t offset)
{
	struct slow_io *s = (struct slow_io *)io;
	size_t left = offset < s->b->len ? s->b->len - (size_t)offset : 0;

	if (offset >= s->bad) {
		errno = EIO;
		return -1;
	}
	if (len > s->most)
		len = s->most;
	if (len > left)
		len = left;
	memcpy(buf, s->b->at + offset, len);
	return (ssize_t)len;
}

static const struct io_ops slow_ops = { .name = "slow", .read = slow_read };

struct sink {
	struct expand_to to;
	size_t len, most;
	bool lax; /* it may be something else than what was packed, ... */
	bool differs; /* ... and it is */
};

static int put(struct expand_to *to, const void *buf, size_t len,
	       struct mr_error *err)
{
	struct sink *k = (struct sink *)to;

	if (k->lax) {
		k->differs |= len > PLAIN - k->len ||
			      memcmp(buf, plain + k->len, len) != 0;
		k->len += k->differs ? 0 : len;
		return 0;
	}
	assert_in_range(k->len + len, 1, PLAIN);
	assert_memory_equal(buf, plain + k->len, len);
	k->len += len;
	if (k->len <= k->most)
		return 0;
	err->code = MR_REFUSED;
	return -1;
}

static int run(enum expand_format format, const struct bytes *b, size_t most,
	       size_t bad, struct sink *k, struct mr_error *err)
{
	struct slow_io s = { .io = { .ops = &slow_ops, .size = UINT64_MAX },
			     .b = b,
			     .most = most,
			     .bad = bad };
	struct reader r;
	int rc;

	*err = (struct mr_error)MR_ERROR_INIT;
	*k = (struct sink){ .to.put = put, .most = k->most, .lax = k->lax };
	rc = reader_init(&r, &s.io, EXPAND_WINDOW, 0, err);
	if (!rc)
		rc = expand(format, &r, &k->to, err);
	reader_release(&r);
	return rc;
}

static int set_up(void **state)
{
	(void)state;
	fill_random(plain, PLAIN / 2, 1);
	memset(plain + PLAIN / 2, 7, PLAIN / 2);
	return 0;
}

static void pieces(void **state)
{
	static struct bytes b;
	struct mr_error err;
	struct sink k = { .most = SIZE_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		b.len = 0;
		kinds[i].add(&b, 0, 1000);
		kinds[i].add(&b, 1000, 1000); /* nothing */
		kinds[i].add(&b, 1000, PLAIN);
		for (size_t most = 1; most < 100000; most = most * 3 + 1) {
			assert_int_equal(run(kinds[i].format, &b, most,
					     SIZE_MAX, &k, &err),
					 0);
			assert_int_equal(k.len, PLAIN);
		}
	}
}

static void every_end(void **state)
{
	static struct bytes b;
	struct mr_error err;
	struct sink k = { .most = SIZE_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t all;

		b.len = 0;
		kinds[i].add(&b, 0, PLAIN);
		all = b.len;
		for (b.len = 10; b.len < all; b.len += 1 + b.len % 90) {
			assert_int_equal(run(kinds[i].format, &b, 1000,
					     SIZE_MAX, &k, &err),
					 -1);
			assert_int_equal(err.code, MR_SHORT);
			assert_int_equal(err.offset, b.len);
		}
		b.len = all;
		b.at[b.len++] = 'x';
		assert_int_equal(
			run(kinds[i].format, &b, 1000, SIZE_MAX, &k, &err), -1);
		assert_int_equal(err.code, MR_FORMAT);
		assert_int_equal(err.offset, all);
	}
}

/* Whatever a bit becomes: all that was there comes out and nothing else, or it
 * is told. What comes out before the checksum is not known to be good. */
static void every_flip(void **state)
{
	enum { LEN = 900 };
	static struct bytes b;
	struct mr_error err;
	struct sink k = { .most = SIZE_MAX, .lax = true };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t told = 0;

		b.len = 0;
		kinds[i].add(&b, PLAIN / 2 - 200, PLAIN / 2 - 200 + LEN);
		/* So they stand where the sink compares. */
		memmove(plain, plain + PLAIN / 2 - 200, LEN);
		for (size_t bit = 0; bit < 8 * b.len; bit++) {
			uint8_t mask = (uint8_t)(1u << bit % 8);

			b.at[bit / 8] ^= mask;
			if (run(kinds[i].format, &b, ROOM, SIZE_MAX, &k,
				&err)) {
				assert_true(err.code == MR_FORMAT ||
					    err.code == MR_SHORT ||
					    err.code == MR_UNSUPPORTED);
				told++;
			} else {
				assert_false(k.differs);
				assert_int_equal(k.len, LEN);
			}
			b.at[bit / 8] ^= mask;
		}
		/* A header has a time in it, and more that nobody needs. */
		assert_true(told > 8 * b.len - 200);
		(void)set_up(NULL);
	}
}

static void zeros_behind(void **state)
{
	static struct bytes b;
	struct mr_error err;
	struct sink k = { .most = SIZE_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		bool gzip = kinds[i].format == EXPAND_GZIP;
		bool xz = kinds[i].format == EXPAND_XZ;
		size_t all;

		b.len = 0;
		kinds[i].add(&b, 0, PLAIN);
		all = b.len;
		for (size_t n = 1; n < 6000; n += n < 9 ? 1 : 1001) {
			memset(b.at + all, 0, n);
			b.len = all + n;
			assert_int_equal(run(kinds[i].format, &b, 1000,
					     SIZE_MAX, &k, &err),
					 gzip || (xz && n % 4 == 0) ? 0 : -1);
			assert_int_equal(k.len, PLAIN);
			if (err.code == MR_OK)
				continue;
			assert_int_equal(err.code, MR_FORMAT);
			assert_int_equal(err.offset, all);
		}
		/* Between two of them; and something else behind. */
		b.len = 0;
		kinds[i].add(&b, 0, 1000);
		all = b.len;
		memset(b.at + all, 0, 8);
		b.len += 8;
		kinds[i].add(&b, 1000, PLAIN);
		assert_int_equal(
			run(kinds[i].format, &b, 1000, SIZE_MAX, &k, &err),
			xz ? 0 : -1);
		if (!xz)
			assert_int_equal(err.offset, gzip ? all + 8 : all);
		b.len = all + 9;
		b.at[all + 8] = 'x';
		assert_int_equal(
			run(kinds[i].format, &b, 1000, SIZE_MAX, &k, &err), -1);
		assert_int_equal(err.code, MR_FORMAT);
		assert_int_equal(err.offset, gzip || xz ? all + 8 : all);
	}
}

static void troubles(void **state)
{
	static struct bytes b;
	struct mr_error err;
	struct sink k = { .most = SIZE_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		unsigned n = 0;

		b.len = 0;
		kinds[i].add(&b, 0, PLAIN);
		assert_int_equal(run(kinds[i].format, &b, 100, 1000, &k, &err),
				 -1);
		assert_int_equal(err.code, MR_SYS);
		assert_int_equal(err.sys, EIO);
		assert_int_equal(err.offset, 1000);
		k.most = 100;
		assert_int_equal(
			run(kinds[i].format, &b, 100, SIZE_MAX, &k, &err), -1);
		assert_int_equal(err.code, MR_REFUSED);
		k.most = SIZE_MAX;
		do {
			int rc;

			fail_arm(++n, ENOMEM);
			rc = run(kinds[i].format, &b, 100, SIZE_MAX, &k, &err);
			if (fail_plan.name) {
				assert_int_equal(rc, -1);
				assert_int_equal(err.code, MR_NOMEM);
			} else {
				assert_int_equal(rc, 0);
			}
		} while (fail_plan.name);
		assert_in_range(n, 3, 20);
		fail_arm(0, 0);
	}
	assert_int_equal(run(EXPAND_LZ4, &b, 100, SIZE_MAX, &k, &err), -1);
	assert_int_equal(err.code, MR_UNSUPPORTED);
}

static void found(void **state)
{
	static const uint8_t skip[] = { 0x5f, 0x2a, 0x4d, 0x18 };

	(void)state;
	assert_int_equal(expand_find(skip, 4), EXPAND_ZSTD);
	assert_int_equal(expand_find(skip, 3), EXPAND_NOTHING);
	for (int i = EXPAND_ZSTD; i < EXPAND_FORMATS; i++)
		assert_int_equal(
			expand_by_name(expand_name((enum expand_format)i)), i);
	assert_null(expand_name(EXPAND_NOTHING));
	assert_int_equal(expand_by_name("raw"), EXPAND_NOTHING);
	assert_true(!strncmp(expand_all(), "zstd gzip", 9));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces),     cmocka_unit_test(every_end),
		cmocka_unit_test(every_flip), cmocka_unit_test(troubles),
		cmocka_unit_test(found),      cmocka_unit_test(zeros_behind),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
