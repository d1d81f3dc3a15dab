/* pages.c - digests of pages, and of extents by those. */
#include "formats/bits.h"
#include "libmr/seal/pages.h"

void seal_pages(uint64_t *table, const unsigned char *buf, const uint64_t *bits,
		size_t pages, size_t page_size)
{
	for (size_t p = 0; p < pages; p++)
		table[p] = bits_test(bits, p)
				   ? hash_page(buf + p * page_size, page_size)
				   : 0;
}

bool seal_pages_none(const uint64_t *table, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (table[i])
			return false;
	return true;
}

struct seal_digest seal_pages_digest(const uint64_t *table, size_t n)
{
	return hash_bytes(table, n * sizeof(*table));
}

struct seal_digest seal_pages_digest_1(struct hash *h, const unsigned char *buf,
				       const uint64_t *bits, size_t pages,
				       size_t page_size)
{
	uint64_t p = bits_next_set(bits, 0, pages);
	uint64_t q = bits_next_clear(bits, p, pages);

	/* One stretch, as nearly always, needs no state. */
	if (bits_next_set(bits, q, pages) == pages)
		return hash_bytes(buf + p * page_size, (q - p) * page_size);
	hash_start(h);
	while (p < pages) {
		hash_add(h, buf + p * page_size, (q - p) * page_size);
		p = bits_next_set(bits, q, pages);
		q = bits_next_clear(bits, p, pages);
	}
	return hash_end(h);
}
