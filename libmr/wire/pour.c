/* pour.c - runs of pages out of single ones. */
#include "libmr/wire/pour.h"

#include <stdlib.h>
#include <string.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/base/pages.h"

/* Pages that are held back at most: an extent of 4 KiB ones. */
#define PAGES ((size_t)256)

int pour_init(struct pour *p, struct sink *to, const struct memory *m,
	      struct mr_error *err)
{
	*p = (struct pour){ .to = to, .m = m };
	p->buf = aligned_alloc(m->page, PAGES * m->page);
	return p->buf ? 0
		      : error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
}

void pour_release(struct pour *p)
{
	free(p->buf);
	*p = (struct pour){ 0 };
}

static int put(struct pour *p, size_t block, uint64_t offset,
	       unsigned char *bytes, size_t n, struct mr_error *err)
{
	struct sink_hand h = { .tally = &p->tally };
	uint64_t bits[PAGES / 64] = { 0 };
	struct memory_part part = { .block = &p->m->blocks[block],
				    .offset = offset,
				    .unit = p->m->page,
				    .pages = n,
				    .bits = bits,
				    .buf = bytes };
	size_t zero;

	bits_set(bits, 0, n);
	zero = pages_clear_zero(bytes, part.unit, n, bits);
	p->tally.scanned += n * part.unit;
	p->tally.zero += zero * part.unit;
	p->tally.data += (n - zero) * part.unit;
	if (zero == n)
		return p->to->ops->zero(p->to, &h, block, offset, n * part.unit,
					err);
	return p->to->ops->put(p->to, &h, block, &part, err);
}

int pour_pages(struct pour *p, size_t block, uint64_t offset,
	       unsigned char *bytes, size_t n, struct mr_error *err)
{
	for (size_t i = 0, k; i < n; i += k) {
		k = n - i < PAGES ? n - i : PAGES;
		if (put(p, block, offset + i * p->m->page,
			bytes + i * p->m->page, k, err))
			return -1;
	}
	return 0;
}

int pour_end(struct pour *p, struct mr_error *err)
{
	struct sink_hand h = { .tally = &p->tally };
	size_t n = p->pages;

	p->pages = 0;
	if (!n)
		return 0;
	if (!p->zeros)
		return put(p, p->block, p->offset, p->buf, n, err);
	p->tally.scanned += n * p->m->page;
	p->tally.zero += n * p->m->page;
	return p->to->ops->zero(p->to, &h, p->block, p->offset, n * p->m->page,
				err);
}

/* Makes room for a page that goes on from the last one, or begins anew. */
static int next(struct pour *p, size_t block, uint64_t offset, bool zeros,
		struct mr_error *err)
{
	bool follows = p->pages && p->zeros == zeros && p->block == block &&
		       offset == p->offset + p->pages * p->m->page &&
		       (zeros || p->pages < PAGES);

	if (!follows) {
		if (pour_end(p, err))
			return -1;
		p->block = block;
		p->offset = offset;
		p->zeros = zeros;
	}
	p->pages++;
	return 0;
}

unsigned char *pour_page(struct pour *p, size_t block, uint64_t offset,
			 struct mr_error *err)
{
	if (next(p, block, offset, false, err))
		return NULL;
	return p->buf + (p->pages - 1) * p->m->page;
}

int pour_zero(struct pour *p, size_t block, uint64_t offset,
	      struct mr_error *err)
{
	return next(p, block, offset, true, err);
}
