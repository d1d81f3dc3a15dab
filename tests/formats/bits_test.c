/* bits_test.c - bitmap words, bit by bit. */
#include "tests/formats/unit.h"

#include "formats/bits.h"

static void sizes(void **state)
{
	uint64_t n;

	(void)state;
	assert_int_equal(bits_words(0), 0);
	assert_int_equal(bits_size(0), 0);
	for (n = 1; n <= 64; n++) {
		assert_int_equal(bits_words(n), 1);
		assert_int_equal(bits_size(n), 8);
		assert_int_equal(bits_size(64 + n), 16);
	}
	assert_int_equal(bits_size(262144), 32768);
	assert_int_equal(bits_words(UINT64_MAX), UINT64_C(1) << 58);
}

static void weights(void **state)
{
	unsigned int a, b;

	(void)state;
	assert_int_equal(bits_weight(0), 0);
	assert_int_equal(bits_weight(UINT64_MAX), 64);
	for (a = 0; a < 64; a++)
		for (b = 0; b < 64; b++)
			assert_int_equal(bits_weight(UINT64_C(1) << a |
						     UINT64_C(1) << b),
					 1 + (a != b));
}

static void swap(void **state)
{
	/* Pages 0, 9 and 71: byte page / 8, bit page % 8. */
	const uint8_t raw[16] = { 1, 2, 0, 0, 0, 0, 0, 0, 0x80 };
	uint8_t back[16];
	uint64_t words[2], p;

	(void)state;
	memcpy(words, raw, sizeof(raw));
	bits_swap_le(words, 2);
	for (p = 0; p < 128; p++)
		assert_int_equal(bits_test(words, p),
				 p == 0 || p == 9 || p == 71);
	bits_swap_le(words, 2);
	memcpy(back, words, sizeof(back));
	assert_memory_equal(back, raw, sizeof(raw));
}

/* What may be shared with other threads gives what need not be. */
static void check_shared(const uint64_t set[4], const uint64_t clear[4],
			 uint64_t first, uint64_t n)
{
	uint64_t a[4] = { 0 }, b[4];

	memset(b, 0xff, sizeof(b));
	assert_false(bits_set_shared(a, first, n));
	assert_int_equal(bits_set_shared(a, first, n), n > 0);
	bits_clear_shared(b, first, n);
	assert_memory_equal(a, set, sizeof(a));
	assert_memory_equal(b, clear, sizeof(b));
	assert_int_equal(bits_any_shared(a, 0, 256), n > 0);
	assert_int_equal(bits_any_shared(a, first, n), n > 0);
	assert_false(bits_any_shared(b, first, n));
}

/* Every range of 200 pages against a bit at a time. */
static void ranges(void **state)
{
	enum { N = 200, WORDS = 4, BITS = 256 };
	uint64_t first, n, p;

	(void)state;
	for (first = 0; first <= N; first++)
		for (n = 0; first + n <= N; n++) {
			uint64_t set[WORDS] = { 0 }, clear[WORDS], seen = 0;

			memset(clear, 0xff, sizeof(clear));
			bits_set(set, first, n);
			bits_clear(clear, first, n);
			check_shared(set, clear, first, n);
			for (p = 0; p < BITS; p++) {
				bool in = p >= first && p < first + n;

				if (bits_test(set, p) != in ||
				    bits_test(clear, p) == in)
					break;
				seen++;
			}
			assert_int_equal(seen, BITS);
			assert_int_equal(bits_count(set, 0, 256), n);
			assert_int_equal(bits_count(set, first, n), n);
			assert_int_equal(bits_count(clear, first, n), 0);
			if (n == 0)
				continue;
			assert_int_equal(bits_next_set(set, 0, 256), first);
			assert_int_equal(bits_next_clear(set, first, 256),
					 first + n);
			assert_int_equal(bits_next_set(set, first + n, 256),
					 256);
			/* The end cuts a run short. */
			assert_int_equal(bits_next_clear(set, first, first + n),
					 first + n);
			assert_int_equal(bits_next_set(set, 0, first), first);
		}
}

static void runs(void **state)
{
	enum { N = 190 };
	static const uint64_t want[][2] = {
		{ 0, 1 }, { 5, 64 }, { 65, 128 }, { 130, 131 }, { 180, N }
	};
	uint64_t words[3] = { 0 }, p, q = 0;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(want); i++)
		bits_set(words, want[i][0], want[i][1] - want[i][0]);
	i = 0;
	for (p = bits_next_set(words, 0, N); p < N;
	     p = bits_next_set(words, q, N)) {
		q = bits_next_clear(words, p, N);
		assert_true(i < ARRAY_LEN(want));
		assert_int_equal(p, want[i][0]);
		assert_int_equal(q, want[i][1]);
		i++;
	}
	assert_int_equal(i, ARRAY_LEN(want));
	assert_int_equal(bits_next_set(words, N, N), N);
	assert_int_equal(bits_next_clear(words, 7, 3), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes), cmocka_unit_test(weights),
		cmocka_unit_test(swap),	 cmocka_unit_test(ranges),
		cmocka_unit_test(runs),
	};

	return cmocka_run_group_tests_name("bits", tests, NULL, NULL);
}
