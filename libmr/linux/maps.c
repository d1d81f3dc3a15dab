/*
 * maps.c - where a kernel maps memory one to one.
 *
 * Where Linux maps all memory is a random number, and no VMCOREINFO of x86_64
 * has it; but the map begins with the memory's first page, so what the first
 * page of a stretch is tells it. It is a guess: what is said was walked back.
 */
#include <string.h>

#include "formats/x86_paging.h"
#include "libmr/linux/kernel.h"

/* Walks for the maps of one set of tables, which may lead to nothing at all. */
enum { WALKS = 8192 };

enum { UPPER_ENTRIES = 256 }; /* of the first table */
#define UPPER_HALF (UINT64_C(1) << 63)

struct search {
	struct mr_ram *ram;
	const struct mr_layout *layout;
	struct mr_maps *maps;
	unsigned walks; /* that may still be made */
};

/* The walk to va. 1; 0: nothing is there, and v->page says how far; or -1. */
static int look(const struct search *s, uint64_t va, struct mr_virtual *v,
		struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;

	if (!mr_ram_virtual(s->ram, &s->maps->paging, s->layout, va, v, &why))
		return 1;
	if (why.code == MR_UNSUPPORTED)
		return 0;
	*err = why;
	return -1;
}

static void add(struct mr_maps *m, uint64_t delta)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->delta[i] == delta)
			return;
	if (m->n < MR_MAPS)
		m->delta[m->n++] = delta;
}

/* The first page that is mapped from va to last. 0 or -1. */
static int look_from(struct search *s, uint64_t va, uint64_t last,
		     struct mr_error *err)
{
	struct mr_virtual v;

	for (; s->walks; s->walks--) {
		int rc = look(s, va, &v, err);

		if (rc < 0)
			return -1;
		if (rc) {
			add(s->maps, va - v.gpa);
			return 0;
		}
		if (!v.page || last - va <= v.page - 1 - va % v.page)
			return 0;
		va += v.page - va % v.page;
	}
	return 0;
}

int mr_maps_find(struct mr_ram *ram, const struct mr_paging *p,
		 const struct mr_layout *l, struct mr_maps *out,
		 struct mr_error *err)
{
	struct search s = {
		.ram = ram, .layout = l, .maps = out, .walks = WALKS
	};
	struct x86_paging how;
	struct fault f;
	uint64_t span;

	*out = (struct mr_maps){ .paging = *p };
	if (x86_paging_of(p->cr0, p->cr3, p->cr4, p->efer, &how, &f) ||
	    how.levels < 4)
		return 0;
	if (look_from(&s, KERNEL_X86, KERNEL_X86 + (KERNEL_X86_ROOM - 1), err))
		return -1;
	span = x86_paging_span(&how, how.levels);
	for (uint64_t i = UPPER_ENTRIES; i; i--)
		if (look_from(&s, 0 - i * span, 0 - (i - 1) * span - 1, err))
			return -1;
	return 0;
}

/* Whether the byte at va is that one. 1, 0 or -1. */
static int leads_to(const struct search *s, uint64_t va,
		    const struct mr_ram_block *b, uint64_t offset,
		    struct mr_error *err)
{
	struct mr_virtual v;
	int rc = look(s, va, &v, err);

	return rc > 0 ? v.place.offset == offset &&
				!strcmp(v.place.block->name, b->name)
		      : rc;
}

int mr_maps_names(const struct mr_maps *maps, struct mr_ram *ram,
		  const struct mr_layout *l, const struct mr_ram_block *b,
		  uint64_t offset, uint64_t len, uint64_t out[MR_MAPS],
		  size_t *n, struct mr_error *err)
{
	struct mr_maps m = *maps;
	const struct search s = { .ram = ram, .layout = l, .maps = &m };

	*n = 0;
	for (size_t i = 0; i < l->n_ranges * m.n && *n < MR_MAPS; i++) {
		const struct mr_layout_range *r = &l->ranges[i / m.n];
		uint64_t va = r->gpa + (offset - r->offset) + m.delta[i % m.n];
		int rc = 1;

		if (strcmp(r->block->name, b->name) != 0 ||
		    offset < r->offset || offset - r->offset >= r->length ||
		    va < UPPER_HALF || len - 1 > UINT64_MAX - va)
			continue;
		for (uint64_t k = 0; k < len && rc > 0;
		     k += len > 1 ? len - 1 : 1)
			rc = leads_to(&s, va + k, b, offset + k, err);
		if (rc < 0)
			return -1;
		if (rc)
			out[(*n)++] = va;
	}
	return 0;
}
