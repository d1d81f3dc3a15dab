/* pack_since.c - pages by their digests. */
#include "libmr/memory/pack_since.h"

#include "formats/bits.h"
#include "libmr/base/hash.h"

int pack_since(const struct chain *base, struct pack_extent *e,
	       const char *block, size_t pages, const unsigned char *buf,
	       struct mr_error *err)
{
	size_t size = base->top->label.page_size;
	uint64_t was[PACK_EXTENT_PAGES], has, known;

	if (chain_digests(base, block, e->offset, was, &has, err))
		return -1;
	known = has > e->offset ? (has - e->offset) / size : 0;
	for (size_t i = 0; i < pages && i < known; i++) {
		bool there = bits_test(e->there, i);

		if (there && hash_page(buf + i * size, size) == was[i])
			bits_clear(e->there, i, 1);
		/* Where it is zero, whoever reads the base knows that. */
		if (there || !was[i])
			bits_clear(e->zero, i, 1);
		else
			bits_set(e->zero, i, 1);
	}
	return 0;
}
