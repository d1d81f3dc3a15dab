/* inflate_test.c - a zlib stream that gives a page, and all that does not. */
#include "tests/libmr/unit.h"

#include <zlib.h>

#include "libmr/base/inflate.h"
#include "tests/libmr/fail.h"

/* Of zlib: it takes its memory from it. */
FAIL_WRAP(int, inflateInit_, (z_streamp z, const char *version, int size),
	  (z, version, size), Z_MEM_ERROR)

enum { PAGE = 4096 };

static uint8_t page[PAGE], packed[1 << 17];

static size_t pack(const void *bytes, size_t n, int level)
{
	uLongf len = sizeof(packed);

	assert_int_equal(compress2(packed, &len, bytes, n, level), Z_OK);
	return len;
}

/* Each in memory of its own: the sanitizer sees a byte too far. */
static int unpack(const uint8_t *in, size_t len, uint8_t *out, size_t want,
		  struct mr_error *err)
{
	uint8_t *copy = malloc(len + 1), *to = malloc(want);
	int rc;

	assert_non_null(copy);
	assert_non_null(to);
	memcpy(copy, in, len);
	*err = (struct mr_error)MR_ERROR_INIT;
	rc = inflate_whole(copy, len, to, want, err);
	if (!rc)
		memcpy(out, to, want);
	else if (err->code == MR_FORMAT)
		assert_in_range(err->offset, 0, len);
	free(copy);
	free(to);
	return rc;
}

static void expect_bad(size_t len, size_t want, const char *says)
{
	static uint8_t out[2 * PAGE];
	struct mr_error err;

	assert_int_equal(unpack(packed, len, out, want, &err), -1);
	assert_int_equal(err.code, MR_FORMAT);
	if (!strstr(err.msg, says))
		fail_msg("\"%s\" is not in \"%s\"", says, err.msg);
}

static void every_level(void **state)
{
	uint8_t out[PAGE];
	struct mr_error err;

	(void)state;
	for (int fill = 0; fill < 3; fill++) {
		memset(page, 'x', PAGE);
		if (fill)
			fill_random(page, fill == 1 ? PAGE : PAGE / 2, 5);
		for (int level = 0; level <= 9; level++) {
			size_t n = pack(page, PAGE, level);

			memset(out, 0xa5, PAGE);
			assert_int_equal(unpack(packed, n, out, PAGE, &err), 0);
			assert_memory_equal(out, page, PAGE);
		}
	}
}

static void short_or_long(void **state)
{
	static const uint8_t zeros[1 << 20];
	size_t n;

	(void)state;
	fill_random(page, PAGE, 6);
	n = pack(page, PAGE, 1);
	for (size_t len = 0; len < n; len++)
		expect_bad(len, PAGE, len < n - 8 ? "they end too early" : "");
	expect_bad(n + 1, PAGE, "bytes are left");
	n = pack(page, PAGE - 1, 1);
	expect_bad(n, PAGE, "there is too little");
	n = pack(page, PAGE, 1);
	expect_bad(n, PAGE - 1, "there is too much");
	n = pack(zeros, sizeof(zeros), 9);
	assert_in_range(n, 100, PAGE);
	expect_bad(n, PAGE, "there is too much");
	/* A stream behind the stream. */
	n = pack(page, PAGE, 1);
	memcpy(packed + n, packed, n);
	expect_bad(2 * n, PAGE, "bytes are left");
}

/* One bit changed: a page or none. As it is stored the checksum never misses
 * one; what changes a distance it may. */
static void every_bit(void **state)
{
	uint8_t out[PAGE];
	struct mr_error err;

	(void)state;
	for (size_t i = 0; i < PAGE; i++)
		page[i] = (uint8_t)(i * i / 7 % 50);
	for (int level = 0; level < 10; level += 6) {
		size_t n = pack(page, PAGE, level);

		for (size_t i = 0; i < 8 * n; i++) {
			packed[i / 8] ^= (uint8_t)(1U << (i % 8));
			if (unpack(packed, n, out, PAGE, &err))
				assert_int_equal(err.code, MR_FORMAT);
			else if (level == 0)
				assert_memory_equal(out, page, PAGE);
			packed[i / 8] ^= (uint8_t)(1U << (i % 8));
		}
	}
}

static void dictionary(void **state)
{
	z_stream z = { .next_in = page,
		       .avail_in = PAGE,
		       .next_out = packed,
		       .avail_out = sizeof(packed) };

	(void)state;
	assert_int_equal(deflateInit(&z, 1), Z_OK);
	assert_int_equal(deflateSetDictionary(&z, page, 100), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	expect_bad(z.total_out, PAGE, "dictionary");
	(void)deflateEnd(&z);
}

static void no_memory(void **state)
{
	struct mr_error err = MR_ERROR_INIT;
	uint8_t out[PAGE];
	size_t n = pack(page, PAGE, 1);

	(void)state;
	fail_arm(1, ENOMEM);
	assert_int_equal(inflate_whole(packed, n, out, PAGE, &err), -1);
	fail_arm(0, 0);
	assert_int_equal(err.code, MR_NOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_level), cmocka_unit_test(short_or_long),
		cmocka_unit_test(every_bit),   cmocka_unit_test(dictionary),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
