/* hash_test.c - known digests, and piece by piece as in one go. */
#include "tests/libmr/unit.h"

#include "libmr/base/hash.h"

static void assert_digest(struct seal_digest d, const char *hex)
{
	char text[2 * SEAL_DIGEST_SIZE + 1];

	for (size_t i = 0; i < SEAL_DIGEST_SIZE; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", d.byte[i]);
	assert_string_equal(text, hex);
}

/* As `xxh128sum` prints them: the digest in a file must never change. */
static void known_digests(void **state)
{
	static unsigned char buf[100000];

	(void)state;
	assert_digest(hash_bytes("", 0), "99aa06d3014798d86001c324468d497f");
	assert_digest(hash_bytes("seal", 4),
		      "0f4a1553522be516859587c95adae8e5");
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (unsigned char)(i * 7 + i / 256);
	assert_digest(hash_bytes(buf, 1024),
		      "a3da96fbd688736171bee625238addb4");
	assert_digest(hash_bytes(buf, sizeof(buf)),
		      "4e53faeda1b5812bb25cea78018497ff");
}

static void pieces_as_one(void **state)
{
	static unsigned char buf[1 << 20];
	struct hash *h = hash_new();
	uint64_t seed = 7;

	(void)state;
	assert_non_null(h);
	fill_random(buf, sizeof(buf), 3);
	for (int round = 0; round < 500; round++) {
		size_t len = next_random(&seed) % sizeof(buf), at = 0;
		size_t most = 1 + next_random(&seed) % 70000;
		struct seal_digest a = hash_bytes(buf, len), b;

		hash_start(h);
		while (at < len) {
			size_t n = next_random(&seed) % most;

			if (n > len - at)
				n = len - at;
			hash_add(h, buf + at, n);
			at += n;
		}
		b = hash_end(h);
		assert_memory_equal(&a, &b, sizeof(a));
	}
	hash_free(h);
	hash_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_digests),
		cmocka_unit_test(pieces_as_one),
	};

	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
