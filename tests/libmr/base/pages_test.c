/* pages_test.c - every way to scan gives the answer of a loop over bytes. */
#include "tests/libmr/unit.h"

#include "libmr/base/pages.h"

enum { MOST = 64 << 10 };

/* len usable bytes that begin skew bytes after a page and end where the heap
 * block ends, so that the address sanitizer sees one byte read too many. */
struct area {
	unsigned char *base, *p;
};

static struct area area_new(size_t len, size_t skew)
{
	struct area a;
	void *base;

	assert_int_equal(posix_memalign(&base, 4096, skew + len), 0);
	a.base = base;
	a.p = a.base + skew;
	memset(a.base, 0xff, skew);
	memset(a.p, 0, len);
	return a;
}

static size_t plain_first_data(const unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return i / 8 * 8;
	return len;
}

typedef size_t first_data_fn(const void *buf, size_t len);

/* One non-zero bit at every word in turn, with and without data after it. */
static void check_positions(first_data_fn *scan, size_t len, size_t skew)
{
	struct area a = area_new(len, skew);
	uint64_t seed = len + skew + 1;

	assert_int_equal(scan(a.p, len), len);
	for (size_t word = 0; word < len; word += 8) {
		uint64_t r = next_random(&seed);
		size_t at = word + r % 8;

		a.p[at] = (unsigned char)(1u << (r >> 8) % 8);
		assert_int_equal(scan(a.p, len), word);
		if (word + 8 < len)
			a.p[len - 1] = 0x80;
		assert_int_equal(scan(a.p, len), word);
		a.p[at] = 0;
		a.p[len - 1] = 0;
	}
	free(a.base);
}

static void check_scan(first_data_fn *scan)
{
	/* 8-byte aligned is all that is promised */
	static const size_t skews[] = {
		0, 8, 16, 24, 32, 40, 56, 64, 128, 248
	};

	for (size_t s = 0; s < ARRAY_LEN(skews); s++)
		for (size_t len = 512; len <= 4096; len += 512)
			check_positions(scan, len, skews[s]);
	for (size_t len = 8192; len <= 32768; len *= 2)
		check_positions(scan, len, 24);
	check_positions(scan, MOST, 8);
	assert_int_equal(scan(skews, 0), 0);
}

static void every_path(void **state)
{
	const struct pages_path *p = pages_paths;
	const char *last = NULL;

	(void)state;
	for (; p->name; p++) {
		last = p->name;
		if (p->usable())
			check_scan(p->first_data);
		else
			print_message("this CPU has no %s\n", p->name);
	}
	assert_string_equal(last, "portable");
	check_scan(pages_first_data);
}

static void as_bytes_say(void **state)
{
	uint64_t seed = 3;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		size_t len = 512 * (1 + next_random(&seed) % 32);
		struct area a = area_new(len, 8 * (next_random(&seed) % 8));
		size_t n = next_random(&seed) % 4;

		while (n--)
			a.p[next_random(&seed) % len] =
				(unsigned char)next_random(&seed);
		for (const struct pages_path *p = pages_paths; p->name; p++)
			if (p->usable())
				assert_int_equal(p->first_data(a.p, len),
						 plain_first_data(a.p, len));
		free(a.base);
	}
}

static void clear_zero(void **state)
{
	static const size_t sizes[] = { 1024, 4096, 8192, 65536 };
	enum { PAGES = 130, WORDS = 3 };
	uint64_t seed = 5;

	(void)state;
	for (int round = 0; round < 40; round++) {
		size_t size = sizes[(size_t)round % ARRAY_LEN(sizes)];
		size_t pages = next_random(&seed) % (PAGES + 1);
		unsigned char *buf = calloc(PAGES, size);
		uint64_t bits[WORDS], want[WORDS], zero = 0;

		assert_non_null(buf);
		for (size_t i = 0; i < WORDS; i++)
			want[i] = bits[i] = next_random(&seed);
		for (size_t i = 0; i < PAGES; i++) {
			uint64_t one = UINT64_C(1) << (i % 64);
			uint64_t r = next_random(&seed);

			if (r & 1) {
				buf[i * size + (r >> 1) % size] = 1;
			} else if (i < pages && want[i / 64] & one) {
				want[i / 64] &= ~one;
				zero++;
			}
		}
		assert_int_equal(pages_clear_zero(buf, size, pages, bits),
				 zero);
		/* bits beyond the last page stay as they were */
		assert_memory_equal(bits, want, sizeof(bits));
		free(buf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_path),
		cmocka_unit_test(as_bytes_say),
		cmocka_unit_test(clear_zero),
	};

	return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}
