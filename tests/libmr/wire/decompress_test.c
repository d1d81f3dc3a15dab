/* decompress_test.c - what sources pack comes out again, and nothing else does.
 */
#include "tests/libmr/unit.h"

#include <zlib.h>
#include <zstd.h>

#include "formats/bytes.h"
#include "libmr/wire/decompress.h"

enum { PAGE = 4096, PAGES = 8, ALL = PAGES * PAGE, PACKED = 1 << 20 };

static unsigned char pages[ALL], out[ALL + 1];
static uint8_t packed[PACKED];

/* What a source keeps for a channel. */
struct source {
	uint32_t method;
	z_stream z;
	ZSTD_CStream *zstd;
};

static void begin(struct source *s, uint32_t method)
{
	*s = (struct source){ .method = method };
	if (method == MULTIFD_ZLIB)
		assert_int_equal(deflateInit(&s->z, 1), Z_OK);
	s->zstd = ZSTD_createCStream();
	assert_non_null(s->zstd);
	assert_false(ZSTD_isError(ZSTD_initCStream(s->zstd, 1)));
}

static void end(struct source *s)
{
	if (s->method == MULTIFD_ZLIB)
		(void)deflateEnd(&s->z);
	(void)ZSTD_freeCStream(s->zstd);
}

/* One stream of n bytes at a time; returns its length. */
static uint32_t whole(int bits, const unsigned char *in, uint32_t n,
		      uint8_t *to)
{
	z_stream z = { .next_in = (unsigned char *)(uintptr_t)in,
		       .avail_in = n,
		       .next_out = to,
		       .avail_out = 2 * n + 100 };

	assert_int_equal(
		deflateInit2(&z, 1, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY),
		Z_OK);
	/* QEMU's qatzip says so of itself in the header of each member. */
	if (bits > MAX_WBITS) {
		static unsigned char extra[] = { 'Q', 'Z', 8, 0, 1, 2,
						 3,   4,   5, 6, 7, 8 };
		gz_header h = { .extra = extra, .extra_len = sizeof(extra) };

		assert_int_equal(deflateSetHeader(&z, &h), Z_OK);
		assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	} else {
		assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	}
	n = (uint32_t)z.total_out;
	(void)deflateEnd(&z);
	return n;
}

/* Each page for itself, behind a table. */
static uint32_t pack_table(int bits, uint32_t n)
{
	uint32_t at = 4 * n;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t len = whole(bits, pages + i * PAGE, PAGE, packed + at);

		if (len >= PAGE) {
			memcpy(packed + at, pages + i * PAGE, PAGE);
			len = PAGE;
		}
		put_be32(packed + 4 * i, len);
		at += len;
	}
	return at;
}

/* The first n pages; returns the bytes of data. */
static uint32_t pack(struct source *s, uint32_t n)
{
	ZSTD_inBuffer in = { pages, (size_t)n * PAGE, 0 };
	ZSTD_outBuffer to = { packed, sizeof(packed), 0 };
	uint32_t at = 0;

	switch (s->method) {
	case MULTIFD_ZLIB:
		s->z.next_in = pages;
		s->z.avail_in = n * PAGE;
		s->z.next_out = packed;
		s->z.avail_out = sizeof(packed);
		assert_int_equal(deflate(&s->z, Z_SYNC_FLUSH), Z_OK);
		return (uint32_t)sizeof(packed) - s->z.avail_out;
	case MULTIFD_ZSTD:
		assert_int_equal(
			ZSTD_compressStream2(s->zstd, &to, &in, ZSTD_e_flush),
			0);
		return (uint32_t)to.pos;
	case MULTIFD_QPL:
		return pack_table(-MAX_WBITS, n);
	case MULTIFD_UADK:
		return pack_table(MAX_WBITS, n);
	default: /* qatzip: members of up to 64 KiB */
		for (uint32_t i = 0; i < n * PAGE; i += 4 * PAGE) {
			uint32_t len = n * PAGE - i;

			len = len < 4 * PAGE ? len : 4 * PAGE;
			at += whole(MAX_WBITS + 16, pages + i, len,
				    packed + at);
		}
		return at;
	}
}

/* Some that pack well, some that do not, some of zeros. */
static void new_pages(uint64_t seed)
{
	for (size_t i = 0; i < PAGES; i++) {
		unsigned char *p = pages + i * PAGE;

		memset(p, (int)(seed + i) & 0xff, PAGE);
		fill_random(p, (seed + i) % 3 * PAGE / 2, seed + i + 1);
	}
}

static const uint32_t methods[] = { MULTIFD_ZLIB, MULTIFD_ZSTD, MULTIFD_QPL,
				    MULTIFD_UADK, MULTIFD_QATZIP };

static struct multifd_packet packet;

static int take(struct decompressor *u, uint32_t method, uint32_t n,
		uint32_t size, struct mr_error *err)
{
	uint8_t *exact = malloc(size);
	int rc;

	assert_non_null(exact);
	memcpy(exact, packed, size);
	packet.flags = method;
	packet.normal = n;
	packet.size = size;
	*err = (struct mr_error)MR_ERROR_INIT;
	rc = decompress(u, &packet, exact, out, err);
	free(exact);
	return rc;
}

static struct decompressor *new_unpack(void)
{
	struct mr_error err = MR_ERROR_INIT;
	struct decompressor *u = decompressor_new(PAGE, &err);

	assert_non_null(u);
	return u;
}

static void goes_on(void **state)
{
	(void)state;
	for (size_t m = 0; m < ARRAY_LEN(methods); m++) {
		struct decompressor *u = new_unpack();
		struct mr_error err;
		struct source s;

		begin(&s, methods[m]);
		for (uint32_t i = 0; i < 40; i++) {
			uint32_t n = i % PAGES + 1, size;

			new_pages(i);
			size = pack(&s, n);
			memset(out, 0xee, sizeof(out));
			assert_int_equal(take(u, methods[m], n, size, &err), 0);
			assert_memory_equal(out, pages, n * PAGE);
			assert_int_equal(out[n * PAGE], 0xee);
		}
		end(&s);
		decompressor_free(u);
	}
	decompressor_free(NULL);
}

/* The first packet of a channel, with size bytes, for n pages. */
static int once(uint32_t method, uint32_t n, uint32_t size)
{
	struct decompressor *u = new_unpack();
	struct mr_error err;
	int rc;

	memset(out, 0xee, sizeof(out));
	rc = take(u, method, n, size, &err);
	assert_int_equal(rc ? err.code : MR_FORMAT, MR_FORMAT);
	if (rc)
		assert_true(err.offset <= size);
	assert_int_equal(out[n * PAGE], 0xee);
	decompressor_free(u);
	return rc;
}

static void more_or_less(void **state)
{
	(void)state;
	for (size_t m = 0; m < ARRAY_LEN(methods); m++) {
		uint32_t method = methods[m], size;
		struct source s;

		begin(&s, method);
		new_pages(3);
		size = pack(&s, 4);
		assert_int_equal(once(method, 4, size), 0);
		/* other numbers of pages, too few bytes, too many */
		assert_int_equal(once(method, 5, size), -1);
		assert_int_equal(once(method, 3, size), -1);
		for (uint32_t n = 1; n < size; n += 97)
			assert_int_equal(once(method, 4, n), -1);
		memset(packed + size, 0x5a, 64);
		assert_int_equal(once(method, 4, size + 64), -1);
		end(&s);
	}
}

/* Whatever comes, nothing is written past the pages. */
static void garbage(void **state)
{
	(void)state;
	for (size_t m = 0; m < ARRAY_LEN(methods); m++)
		for (uint64_t seed = 1; seed < 200; seed++) {
			struct source s;
			uint32_t size;

			begin(&s, methods[m]);
			new_pages(seed);
			size = pack(&s, 4);
			fill_random(packed + seed * 7 % size,
				    size - seed * 7 % size < 40
					    ? size - seed * 7 % size
					    : 40,
				    seed);
			(void)once(methods[m], 4, size);
			fill_random(packed, 1000, seed);
			(void)once(methods[m], 4, 1000);
			end(&s);
		}
}

/* A packet of a few bytes that gives more than its pages. */
static void bombs(void **state)
{
	static const uint8_t wide[] = { 0x28, 0xb5, 0x2f, 0xfd, 0, 0xa0 };
	static unsigned char zeros[1 << 20];

	(void)state;
	assert_int_equal(
		once(MULTIFD_QATZIP, 1,
		     whole(MAX_WBITS + 16, zeros, sizeof(zeros), packed)),
		-1);
	assert_int_equal(once(MULTIFD_ZLIB, 1,
			      whole(MAX_WBITS, zeros, sizeof(zeros), packed)),
			 -1);
	assert_int_equal(once(MULTIFD_ZSTD, 1,
			      (uint32_t)ZSTD_compress(packed, sizeof(packed),
						      zeros, sizeof(zeros), 1)),
			 -1);
	/* A frame that wants a window of 1 GiB. */
	memcpy(packed, wide, sizeof(wide));
	memset(packed + 6, 0, 100);
	assert_int_equal(once(MULTIFD_ZSTD, 1, 106), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_on),
		cmocka_unit_test(more_or_less),
		cmocka_unit_test(garbage),
		cmocka_unit_test(bombs),
	};

	return cmocka_run_group_tests_name("decompress", tests, NULL, NULL);
}
