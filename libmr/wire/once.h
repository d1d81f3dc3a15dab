/*
 * once.h - the pages that a connection has brought since the last barrier.
 *
 * Between two barriers a page comes once (multifd.md). One that comes over two
 * connections has two threads write it, and which of them is last is for nobody
 * to know: such a source is refused.
 */
#ifndef LIBMR_ONCE_H
#define LIBMR_ONCE_H

#include <stdatomic.h>

#include "libmr/memory/memory.h"

struct once {
	const struct memory *m; /* NULL: of a stream without channels */
	uint64_t **bits; /* of each block */
	bool any;
};

/* m has its blocks. MR_NOMEM. */
int once_init(struct once *o, const struct memory *m, struct mr_error *err);
void once_release(struct once *o); /* o may be zero */

/* One thread's: pages have come. */
void once_came(struct once *o, size_t block, uint64_t first, uint64_t n);
/* Any thread's, after its own once_came: whether they have come there, too.
 * Of two threads that do so at once one at least sees the other. */
bool once_has(const struct once *o, size_t block, uint64_t first, uint64_t n);
/* At a barrier, while nobody else uses it. */
int once_forget(struct once *o, struct mr_error *err);

#endif
