/* vm.c - the memory of a paused VM, read from outside. */
#include <stdlib.h>

#include "libmr/base/error.h"
#include "libmr/memory/memory.h"
#include "libmr/vm/guest.h"

/* In place on huge pages: to write those costs by the request, hardly by the
 * byte. CPU seconds for a GiB, of which the digest takes 0.033 (no more than
 * to read memory once): 1 MiB 0.067, 2 MiB 0.058, 4 MiB 0.055, 8 MiB 0.051. */
#define LARGE_EXTENT ((size_t)4 << 20)

struct vm_memory {
	struct memory memory;
	const struct guest *guest;
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

static int vm_touched(const struct memory *m, const struct memory_block *b,
		      uint64_t *bits, struct mr_error *err)
{
	return guest_touched(vm_of(m)->guest, guest_block(m, b), bits, err);
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
