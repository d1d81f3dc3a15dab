/*
 * hash.c - XXH3-128 out of libxxhash.
 *
 * The library's plain functions are built for the least CPU of the platform.
 * On x86 it also has some that look at the CPU first, which is worth a factor
 * of four where there is AVX-512 (in cache: 20 GB/s with SSE2, 71 with AVX2,
 * 87 with AVX-512, on one core).
 */
#include "libmr/base/hash.h"

#include <string.h>
#include <xxhash.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>
#endif

static struct seal_digest canonical(XXH128_hash_t value)
{
	XXH128_canonical_t c;
	struct seal_digest d;

	_Static_assert(sizeof(c.digest) == sizeof(d.byte), "128 bits");
	XXH128_canonicalFromHash(&c, value);
	memcpy(d.byte, c.digest, sizeof(d.byte));
	return d;
}

struct seal_digest hash_bytes(const void *buf, size_t len)
{
	return canonical(XXH3_128bits(buf, len));
}

uint64_t hash_page(const void *page, size_t len)
{
	XXH64_hash_t value = XXH3_64bits(page, len);
	XXH64_canonical_t c;
	uint64_t entry;

	_Static_assert(sizeof(c.digest) == sizeof(entry), "64 bits");
	XXH64_canonicalFromHash(&c, value ? value : 1);
	memcpy(&entry, c.digest, sizeof(entry));
	return entry;
}

/* struct hash is the library's state under a name of ours. */
static XXH3_state_t *state(struct hash *h)
{
	return (void *)h;
}

struct hash *hash_new(void)
{
	return (void *)XXH3_createState();
}

void hash_free(struct hash *h)
{
	(void)XXH3_freeState(state(h));
}

void hash_start(struct hash *h)
{
	(void)XXH3_128bits_reset(state(h));
}

/* Fails only without a state or a buffer. */
void hash_add(struct hash *h, const void *buf, size_t len)
{
	(void)XXH3_128bits_update(state(h), buf, len);
}

struct seal_digest hash_end(const struct hash *h)
{
	return canonical(XXH3_128bits_digest((const void *)h));
}
