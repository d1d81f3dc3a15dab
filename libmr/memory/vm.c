/* vm.c - the memory of a paused VM, read from outside. */
#include <stdlib.h>
#include <string.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/base/pages.h"
#include "libmr/image/image.h"
#include "libmr/memory/memory.h"
#include "libmr/memory/sink.h"
#include "libmr/vm/guest.h"

/* In place on huge pages: to write those costs by the request, hardly by the
 * byte. CPU seconds for a GiB, of which the digest takes 0.033 (no more than
 * to read memory once): 1 MiB 0.067, 2 MiB 0.058, 4 MiB 0.055, 8 MiB 0.051. */
#define LARGE_EXTENT ((size_t)4 << 20)

/* Words of a map that are looked at together, whole extents of any size. */
#define WORDS ((size_t)2048)

struct vm_memory {
	struct memory memory;
	const struct guest *guest;
	const struct mr_image *base; /* of memory_since, or NULL */
	bool stale; /* it may have data in the place of pages it lacks */
	size_t extent; /* bytes */
};

static const struct vm_memory *vm_of(const struct memory *m)
{
	return (const struct vm_memory *)(const void *)m;
}

static const struct guest_block *guest_block(const struct memory *m,
					     const struct memory_block *b)
{
	return &vm_of(m)->guest->blocks[b->index];
}

/* ---- since a base ---- */

/* Part of a block's map: words from page `first` on. */
struct piece {
	const struct vm_memory *v;
	const struct mr_block *old; /* the base's */
	uint64_t first, n; /* pages */
	uint64_t has[WORDS]; /* bits of the base */
	uint64_t *bits;
};

/* Pages that the base lacks are zero to it, but the guest sees what its file
 * has there. */
static int add_stale(struct piece *p, uint64_t from, uint64_t to,
		     struct mr_error *err)
{
	unsigned char page[GUEST_PAGE];

	for (uint64_t i = bits_next_clear(p->has, from, to); i < to;
	     i = bits_next_clear(p->has, i + 1, to)) {
		if (bits_test(p->bits, i))
			continue;
		if (io_read_full(p->v->base->io, page, sizeof(page),
				 p->old->pages_offset +
					 (p->first + i) * GUEST_PAGE,
				 err))
			return -1;
		if (!pages_all_zero(page, sizeof(page)))
			bits_set(p->bits, i, 1);
	}
	return 0;
}

static int find_stale(struct piece *p, struct mr_error *err)
{
	uint64_t start = p->old->pages_offset + p->first * GUEST_PAGE;
	uint64_t end = start + p->n * GUEST_PAGE, len;

	for (uint64_t at = start;
	     (len = image_next_data(p->v->base, &at, end)) > 0; at += len)
		if (add_stale(p, (at - start) / GUEST_PAGE,
			      (at + len - start + GUEST_PAGE - 1) / GUEST_PAGE,
			      err))
			return -1;
	return 0;
}

/* An extent in which a page was changed is taken whole. */
static void fill_extents(struct piece *p)
{
	const uint64_t each = p->v->extent / GUEST_PAGE;

	for (uint64_t i = 0; i < p->n; i += each) {
		uint64_t end = i + each < p->n ? i + each : p->n;

		if (bits_next_set(p->bits, i, end) == end)
			continue;
		for (uint64_t w = i / 64; w < bits_words(end); w++)
			p->bits[w] |= p->has[w];
	}
}

/*
 * Changes all over a block are in nearly every extent: to write each of them
 * over what is shared with the base takes longer than to write all of it to
 * where nothing is shared.
 */
static bool is_all_over(const struct vm_memory *v, const uint64_t *bits,
			uint64_t pages)
{
	const uint64_t each = v->extent / GUEST_PAGE;
	uint64_t extents = 0, scattered = 0;

	for (uint64_t i = 0; i < pages; i += each) {
		uint64_t end = i + each < pages ? i + each : pages, p;
		unsigned n = 0;

		for (p = bits_next_set(bits, i, end); p < end; n++)
			p = bits_next_set(bits, bits_next_clear(bits, p, end),
					  end);
		scattered += n > SINK_STRETCHES;
		extents++;
	}
	return scattered * 2 > extents;
}

static int touched_since(const struct vm_memory *v,
			 const struct memory_block *b, uint64_t *bits,
			 struct mr_error *err)
{
	struct piece p = { .v = v, .old = mr_image_find(v->base, b->name) };
	int rc;

	if (!p.old || !p.old->in_file || p.old->length != b->length)
		return 0;
	rc = guest_changed(v->guest, &v->guest->blocks[b->index],
			   &v->base->file, p.old->pages_offset, bits, err);
	if (rc > 0 && is_all_over(v, bits, p.old->pages)) {
		memset(bits, 0, bits_size(p.old->pages));
		return 0;
	}
	for (; rc > 0 && p.first < p.old->pages; p.first += p.n) {
		p.n = p.old->pages - p.first;
		if (p.n > WORDS * 64)
			p.n = WORDS * 64;
		p.bits = bits + p.first / 64;
		if (mr_image_bitmap(v->base, p.old, p.first / 64, p.has,
				    (size_t)bits_words(p.n), err) ||
		    (v->stale && find_stale(&p, err)))
			return -1;
		fill_extents(&p);
	}
	return rc;
}

void memory_since(struct memory *m, const struct mr_image *base, size_t extent)
{
	struct vm_memory *v = (struct vm_memory *)(void *)m;

	if (base->info.page_size != GUEST_PAGE)
		return;
	v->base = base;
	v->stale = !image_absent_zero(base);
	v->extent = m->extent > extent ? m->extent : extent;
}

/* ---- as a memory ---- */

static int vm_touched(const struct memory *m, const struct memory_block *b,
		      uint64_t *bits, struct mr_error *err)
{
	const struct vm_memory *v = vm_of(m);
	int rc = v->base ? touched_since(v, b, bits, err) : 0;

	return rc ? rc : guest_touched(v->guest, guest_block(m, b), bits, err);
}

static int vm_read(const struct memory *m, const struct memory_block *b,
		   const struct memory_run *runs, size_t n,
		   struct mr_error *err)
{
	return guest_read(vm_of(m)->guest, guest_block(m, b), runs, n, err);
}

static const void *vm_view(const struct memory *m, const struct memory_block *b,
			   uint64_t offset, size_t length,
			   const uint64_t *touched)
{
	return guest_view_at(vm_of(m)->guest, guest_block(m, b), offset, length,
			     touched);
}

static void vm_view_done(const struct memory *m, const struct memory_block *b,
			 uint64_t offset, size_t length)
{
	guest_view_done(guest_block(m, b), offset, length);
}

static void vm_free(struct memory *m)
{
	free(m);
}

static const struct memory_ops vm_ops = {
	.touched = vm_touched,
	.read = vm_read,
	.view = vm_view,
	.view_done = vm_view_done,
	.free = vm_free,
};

struct memory *memory_of_guest(struct guest *g, enum mr_zero_copy in_place,
			       struct mr_error *err)
{
	struct vm_memory *v = calloc(1, sizeof(*v));
	struct memory *m = v ? &v->memory : NULL;

	if (!m) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory");
		return NULL;
	}
	v->guest = g;
	if (memory_init(m, &vm_ops, GUEST_PAGE, g->n_blocks, err)) {
		memory_free(m);
		return NULL;
	}
	m->machine = g->machine;
	m->target_page = g->target.page_size;
	m->page_bits = target_page_bits(&g->target);
	for (size_t i = 0; i < g->n_blocks; i++)
		if (g->blocks[i].migratable && g->blocks[i].used)
			m->blocks[m->n++] = (struct memory_block){
				.name = g->blocks[i].name,
				.length = g->blocks[i].used,
				.held = g->blocks[i].used,
				.entry = MR_NO_OFFSET,
				.index = i,
			};
	if (in_place != MR_ZERO_COPY_OFF &&
	    guest_view(g, in_place == MR_ZERO_COPY_ON))
		m->extent = LARGE_EXTENT;
	return m;
}
