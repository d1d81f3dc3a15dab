/* search_test.c - against a search that looks at every place. */
#include "tests/libmr/unit.h"

#include "libmr/base/search.h"

static size_t plain_next(const uint8_t *bytes, size_t n, const uint8_t *buf,
			 size_t len, size_t from)
{
	for (; from + n <= len; from++)
		if (!memcmp(buf + from, bytes, n))
			return from;
	return SIZE_MAX;
}

/* Every find from every start, in a heap copy that ends where buf does. */
static void same(const uint8_t *bytes, size_t n, const uint8_t *buf, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct search s;

	assert_non_null(copy);
	if (len)
		memcpy(copy, buf, len);
	search_init(&s, bytes, n);
	for (size_t from = 0; from <= len + 1; from++)
		assert_true(search_next(&s, copy, len, from) ==
			    plain_next(bytes, n, copy, len, from));
	free(copy);
}

static void test_all_lengths(void **state)
{
	static const uint8_t bytes[] = { 0, 7, 0, 7, 9, 0 };
	uint8_t buf[300];
	uint64_t seed = 1;

	(void)state;
	for (size_t len = 0; len <= sizeof(buf); len += 1 + len / 40)
		for (size_t n = 1; n <= sizeof(bytes); n++) {
			for (size_t i = 0; i < len; i++)
				buf[i] = bytes[next_random(&seed) % 5];
			if (len > n)
				memcpy(buf + next_random(&seed) % (len - n),
				       bytes, n);
			same(bytes, n, buf, len);
		}
}

static void test_edges(void **state)
{
	uint8_t buf[256] = { 0 };

	(void)state;
	for (size_t at = 0; at + 3 <= sizeof(buf); at++) {
		memset(buf, 0, sizeof(buf));
		for (size_t i = 0; i < 3; i++)
			buf[at + i] = (uint8_t)(i + 1);
		same((const uint8_t *)"\1\2\3", 3, buf, sizeof(buf));
		same((const uint8_t *)"\0\1", 2, buf, sizeof(buf));
		same((const uint8_t *)"\3\0\0\0", 4, buf, sizeof(buf));
	}
	memset(buf, 'a', sizeof(buf));
	same((const uint8_t *)"aaaa", 4, buf, sizeof(buf));
	same((const uint8_t *)"aaab", 4, buf, sizeof(buf));
	same(buf, sizeof(buf), buf, sizeof(buf));
	same(buf, sizeof(buf), buf, sizeof(buf) - 1);
	memset(buf, 0, sizeof(buf));
	same((const uint8_t *)"\0\0\0", 3, buf, sizeof(buf));
}

/* Zeros are what memory has most of: never what is looked for, if anything
 * else is there. */
static void test_probes(void **state)
{
	struct search s;

	(void)state;
	search_init(&s, (const uint8_t *)"\0\xff\0K\0", 5);
	assert_int_equal(s.probe[0], 3);
	assert_int_equal(s.probe[1], 1);
	search_init(&s, (const uint8_t *)"\0\0", 2);
	assert_int_equal(s.probe[0], 0);
	assert_int_equal(s.probe[1], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_lengths),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_probes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
