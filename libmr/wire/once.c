/* once.c - a bitmap for each block, taken lazily. */
#include "libmr/wire/once.h"

#include <stdlib.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/base/zeros.h"

static uint64_t size_of(const struct once *o, size_t block)
{
	return bits_size(o->m->blocks[block].length / o->m->page);
}

static int make(struct once *o, size_t block, struct mr_error *err)
{
	o->bits[block] = zeros_new(size_of(o, block));
	return o->bits[block] ? 0
			      : error_set(err, MR_NOMEM, MR_NO_OFFSET,
					  "out of memory");
}

int once_init(struct once *o, const struct memory *m, struct mr_error *err)
{
	o->m = m;
	o->bits = calloc(m->n, sizeof(*o->bits));
	if (!o->bits)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < m->n; i++)
		if (make(o, i, err))
			return -1;
	return 0;
}

void once_release(struct once *o)
{
	for (size_t i = 0; o->bits && i < o->m->n; i++)
		zeros_free(o->bits[i], o->bits[i] ? size_of(o, i) : 0);
	free(o->bits);
	*o = (struct once){ .m = NULL };
}

void once_came(struct once *o, size_t block, uint64_t first, uint64_t n)
{
	bits_set_shared(o->bits[block], first, n);
	o->any = true;
	atomic_thread_fence(memory_order_seq_cst);
}

bool once_has(const struct once *o, size_t block, uint64_t first, uint64_t n)
{
	return bits_any_shared(o->bits[block], first, n);
}

int once_forget(struct once *o, struct mr_error *err)
{
	if (!o->any)
		return 0;
	o->any = false;
	for (size_t i = 0; i < o->m->n; i++) {
		zeros_free(o->bits[i], size_of(o, i));
		if (make(o, i, err))
			return -1;
	}
	return 0;
}
