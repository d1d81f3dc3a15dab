/* expand_test.c - compressed bytes that come a few at a time, end early, are
 * damaged, or find no memory. */
#include "tests/libmr/unit.h"

#include <zlib.h>
#include <zstd.h>

#include "libmr/file/expand.h"
#include "tests/libmr/fail.h"

FAIL_WRAP(void *, malloc, (size_t size), (size), NULL)

enum { PLAIN = 70000, ROOM = 160000 };

static uint8_t plain[PLAIN];

struct bytes {
	uint8_t at[ROOM];
	size_t len;
};

static void add_zstd(struct bytes *b, size_t from, size_t to)
{
	size_t n = ZSTD_compress(b->at + b->len, ROOM - b->len, plain + from,
				 to - from, 1);

	assert_false(ZSTD_isError(n));
	b->len += n;
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

typedef void add_fn(struct bytes *b, size_t from, size_t to);
static const struct {
	enum expand_format format;
	add_fn *add;
} kinds[] = { { EXPAND_ZSTD, add_zstd }, { EXPAND_GZIP, add_gzip } };

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
};

static int put(struct expand_to *to, const void *buf, size_t len,
	       struct mr_error *err)
{
	struct sink *k = (struct sink *)to;

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
	*k = (struct sink){ .to.put = put, .most = k->most };
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

/* Whatever a byte becomes: nothing but what was there comes out, or it is
 * told. zstd's frames here have no checksum. */
static void every_flip(void **state)
{
	static struct bytes b;
	struct mr_error err;
	struct sink k = { .most = SIZE_MAX };

	(void)state;
	add_gzip(&b, 0, PLAIN);
	/* The header has a time in it and more that nobody looks at; what is
	 * wrong in the pages is found by the checksum at the end. */
	for (size_t at = b.len - 8; at < b.len; at++) {
		b.at[at] ^= 0x10;
		assert_int_equal(run(EXPAND_GZIP, &b, 1000, SIZE_MAX, &k, &err),
				 -1);
		assert_int_equal(err.code, MR_FORMAT);
		b.at[at] ^= 0x10;
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
		cmocka_unit_test(found),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
