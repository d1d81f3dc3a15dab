/* delta.c - pages by their place, each in a slot. */
#include "libmr/checkpoint/delta.h"

#include <stdlib.h>
#include <string.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/base/zeros.h"
#include "libmr/wire/pour.h"

/* What delta_block.slot says: 0 of a page that has not come; ZERO; or IN + the
 * number of its slot. */
enum { ZERO = 1, IN = 2 };

/* Bytes that are put together for a sink. */
#define EXTENT ((size_t)1 << 20)
/* Pages that are put at a time; and by all who can: those that they replace
 * are given back only then. */
#define PAGES ((size_t)64)
#define AT_ONCE ((uint32_t)PAGES * 256)

int delta_init(struct delta *d, const struct memory *m, struct slots *slots,
	       struct mr_error *err)
{
	d->m = m;
	d->slots = slots;
	d->blocks = calloc(m->n, sizeof(*d->blocks));
	if (!d->blocks)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < m->n; i++) {
		struct delta_block *b = &d->blocks[i];

		b->pages = m->blocks[i].length / m->page;
		b->came = zeros_new(bits_size(b->pages));
		b->slot = zeros_new(b->pages * sizeof(*b->slot));
		if (!b->came || !b->slot)
			return error_set(err, MR_NOMEM, MR_NO_OFFSET,
					 "no memory for the map of what has "
					 "changed");
	}
	return 0;
}

uint32_t delta_limit(const struct memory *m, uint32_t n)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < m->n; i++)
		pages += m->blocks[i].length / m->page;
	return pages > UINT32_MAX / (n + 1) ? UINT32_MAX - 8
					    : (uint32_t)pages * n + AT_ONCE;
}

void delta_release(struct delta *d)
{
	for (size_t i = 0; d->blocks && i < d->m->n; i++) {
		struct delta_block *b = &d->blocks[i];

		zeros_free(b->came, bits_size(b->pages));
		zeros_free(b->slot, b->pages * sizeof(*b->slot));
	}
	free(d->blocks);
	free(d->device);
	*d = (struct delta){ .m = NULL };
}

/* ---- what comes ---- */

/* Two that lie may put one page at a time: each gives one slot back. */
static void enter(struct delta *d, struct delta_block *b, uint64_t page,
		  uint32_t is)
{
	uint32_t was =
		__atomic_exchange_n(&b->slot[page], is, __ATOMIC_RELAXED);

	if (was < IN)
		return;
	was -= IN;
	slots_give(d->slots, &was, 1);
}

void delta_zero(struct delta *d, size_t block, uint64_t first, uint64_t n)
{
	struct delta_block *b = &d->blocks[block];

	for (uint64_t i = 0; i < n; i++)
		enter(d, b, first + i, ZERO);
	bits_set_shared(b->came, first, n);
}

/* n <= PAGES data pages that lie side by side. */
static int put(struct delta *d, struct delta_block *b, uint64_t first,
	       const unsigned char *bytes, size_t n, struct mr_error *err)
{
	uint32_t slots[PAGES];
	int rc = 0;

	if (slots_take(d->slots, slots, n, err))
		return -1;
	for (size_t i = 0; i < n; i++) {
		rc = rc ? rc
			: slots_write(d->slots, slots[i],
				      bytes + i * d->m->page, err);
		enter(d, b, first + i, IN + slots[i]);
	}
	bits_set_shared(b->came, first, n);
	return rc;
}

int delta_put(struct delta *d, size_t block, const struct memory_part *p,
	      struct mr_error *err)
{
	struct delta_block *b = &d->blocks[block];
	uint64_t first = p->offset / d->m->page, i, n;

	for (i = 0; i < p->pages; i += n) {
		bool data = bits_test(p->bits, i);

		n = data ? bits_next_clear(p->bits, i, p->pages) - i
			 : bits_next_set(p->bits, i, p->pages) - i;
		if (!data) {
			delta_zero(d, block, first + i, n);
			continue;
		}
		n = n < PAGES ? n : PAGES;
		if (put(d, b, first + i, p->buf + i * d->m->page, n, err))
			return -1;
	}
	return 0;
}

/* ---- what came ---- */

bool delta_is_zero(const struct delta *d, size_t block, uint64_t index)
{
	return d->blocks[block].slot[index] == ZERO;
}

int delta_read(const struct delta *d, size_t block, uint64_t index,
	       unsigned char *page, struct mr_error *err)
{
	return slots_read(d->slots, d->blocks[block].slot[index] - IN, page,
			  err);
}

int delta_get(const struct delta *d, size_t block, uint64_t index,
	      unsigned char *page, struct mr_error *err)
{
	if (!d->blocks[block].slot[index])
		return 0;
	if (!delta_is_zero(d, block, index))
		return delta_read(d, block, index, page, err) ? -1 : 1;
	memset(page, 0, d->m->page);
	return 1;
}

uint64_t delta_pages(const struct delta *d)
{
	uint64_t n = 0;

	for (size_t i = 0; i < d->m->n; i++)
		n += bits_count(d->blocks[i].came, 0, d->blocks[i].pages);
	return n;
}

/* The pages of a block that came, in their order. */
static int pour_block(const struct delta *d, size_t block, struct pour *p,
		      struct mr_error *err)
{
	const struct delta_block *b = &d->blocks[block];
	uint64_t at;
	int rc = 0;

	for (at = bits_next_set(b->came, 0, b->pages); !rc && at < b->pages;
	     at = bits_next_set(b->came, at + 1, b->pages)) {
		uint64_t offset = at * d->m->page;
		unsigned char *page;

		if (delta_is_zero(d, block, at)) {
			rc = pour_zero(p, block, offset, err);
			continue;
		}
		page = pour_page(p, block, offset, err);
		rc = page ? delta_read(d, block, at, page, err) : -1;
	}
	return rc;
}

int delta_pour(const struct delta *d, struct sink *to, uint64_t *written,
	       struct mr_error *err)
{
	struct pour p;
	int rc = pour_init(&p, to, d->m, EXTENT, 1, err);

	for (size_t i = 0; !rc && i < d->m->n; i++)
		rc = pour_block(d, i, &p, err);
	rc = rc ? rc : pour_end(&p, err);
	*written += p.tally.written;
	pour_release(&p);
	return rc;
}

static void merge_block(struct delta *d, struct delta_block *b,
			struct delta_block *newer)
{
	uint64_t p;

	for (p = bits_next_set(newer->came, 0, b->pages); p < b->pages;
	     p = bits_next_set(newer->came, p + 1, b->pages)) {
		enter(d, b, p, newer->slot[p]);
		newer->slot[p] = 0;
		bits_set(b->came, p, 1);
		bits_clear(newer->came, p, 1);
	}
}

void delta_merge(struct delta *d, struct delta *newer)
{
	for (size_t i = 0; i < d->m->n; i++)
		merge_block(d, &d->blocks[i], &newer->blocks[i]);
	free(d->device);
	d->device = newer->device;
	d->device_len = newer->device_len;
	d->number = newer->number;
	d->made = newer->made;
	newer->device = NULL;
}

void delta_clear(struct delta *d)
{
	for (size_t i = 0; i < d->m->n; i++) {
		struct delta_block *b = &d->blocks[i];
		uint64_t p, end = b->pages;

		for (p = bits_next_set(b->came, 0, end); p < end;
		     p = bits_next_set(b->came, p + 1, end)) {
			enter(d, b, p, 0);
			bits_clear(b->came, p, 1);
		}
	}
	free(d->device);
	d->device = NULL;
}
