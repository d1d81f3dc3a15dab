/* pour.c - runs of pages out of single ones. */
#include "libmr/wire/pour.h"

#include <string.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/base/pages.h"

/* Bytes of buffers of all who pour: 8-16 MiB keep a disk busy. */
#define IN_FLIGHT ((size_t)16 << 20)
/* Pages that are put at a time, at most. */
#define PAGES ((size_t)256)

static int put(struct pour *p, size_t block, uint64_t offset,
	       unsigned char *bytes, size_t n, struct mr_error *err)
{
	struct sink_hand h = { .tally = &p->tally, .out = &p->out };
	uint64_t bits[PAGES / 64] = { 0 };
	struct memory_part part = { .block = &p->m->blocks[block],
				    .offset = offset,
				    .unit = p->m->page,
				    .pages = n,
				    .bits = bits,
				    .buf = bytes };
	size_t zero = 0;

	if (p->twice)
		twice_came(p->twice, block, offset / p->m->page, n);
	bits_set(bits, 0, n);
	if (!atomic_load_explicit(&p->to->unsifted, memory_order_relaxed))
		zero = pages_clear_zero(bytes, part.unit, n, bits);
	p->tally.scanned += n * part.unit;
	p->tally.zero += zero * part.unit;
	p->tally.data += (n - zero) * part.unit;
	if (zero == n ? p->to->ops->zero(p->to, &h, block, offset,
					 n * part.unit, err)
		      : p->to->ops->put(p->to, &h, block, &part, err))
		return -1;
	if (p->done)
		p->done(p->arg, n * part.unit);
	return 0;
}

static int put_run(struct pour *p, const struct pour_run *r,
		   struct mr_error *err)
{
	struct sink_hand h = { .tally = &p->tally, .out = &p->out };

	if (!r->zeros)
		return put(p, r->block, r->offset, pour_buffer(p), r->pages,
			   err);
	if (p->twice)
		twice_came(p->twice, r->block, r->offset / p->m->page,
			   r->pages);
	p->tally.scanned += r->pages * p->m->page;
	p->tally.zero += r->pages * p->m->page;
	if (p->to->ops->zero(p->to, &h, r->block, r->offset,
			     r->pages * p->m->page, err))
		return -1;
	if (p->done)
		p->done(p->arg, r->pages * p->m->page);
	return 0;
}

int pour_init(struct pour *p, struct sink *to, const struct memory *m,
	      size_t size, unsigned others, struct mr_error *err)
{
	unsigned n = (unsigned)(IN_FLIGHT / size) / (1 + others);

	*p = (struct pour){ .to = to, .m = m };
	return outbox_init(&p->out, n < 2 ? 2 : n, size, err);
}

void pour_release(struct pour *p)
{
	outbox_release(&p->out);
}

unsigned char *pour_buffer(const struct pour *p)
{
	return outbox_bytes(&p->out);
}

/* ---- pouring ---- */

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

/* What was held back is put. */
static int push(struct pour *p, struct mr_error *err)
{
	bool none = !p->run.pages;
	int rc = none ? 0 : put_run(p, &p->run, err);

	p->run.pages = 0;
	return rc || none || p->run.zeros ? rc : outbox_next(&p->out, err);
}

int pour_next(struct pour *p, struct mr_error *err)
{
	return push(p, err) ? -1 : outbox_next(&p->out, err);
}

int pour_end(struct pour *p, struct mr_error *err)
{
	return pour_next(p, err) ? -1 : outbox_drain(&p->out, err);
}

int pour_through(struct pour *p, size_t block, uint64_t offset,
		 const unsigned char *page, struct mr_error *err)
{
	if (push(p, err))
		return -1;
	return put(p, block, offset, (unsigned char *)(uintptr_t)page, 1, err);
}

/* Makes room for a page that goes on from the last one, or begins anew. */
static struct pour_run *next(struct pour *p, size_t block, uint64_t offset,
			     bool zeros, struct mr_error *err)
{
	struct pour_run *r = &p->run;
	bool follows = r->pages && r->zeros == zeros && r->block == block &&
		       offset == r->offset + r->pages * p->m->page &&
		       (zeros || r->pages < p->out.size / p->m->page);

	if (!follows) {
		if (push(p, err))
			return NULL;
		r->block = block;
		r->offset = offset;
		r->zeros = zeros;
	}
	r->pages++;
	return r;
}

unsigned char *pour_page(struct pour *p, size_t block, uint64_t offset,
			 struct mr_error *err)
{
	struct pour_run *r = next(p, block, offset, false, err);

	return r ? pour_buffer(p) + (r->pages - 1) * p->m->page : NULL;
}

int pour_zero(struct pour *p, size_t block, uint64_t offset,
	      struct mr_error *err)
{
	return next(p, block, offset, true, err) ? 0 : -1;
}
