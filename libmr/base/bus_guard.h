/*
 * bus_guard.h - mapped files that somebody may shrink.
 *
 * That takes the pages of a mapping away from under whoever looks at them: a
 * SIGBUS. A guarded mapping turns into zeros then, as a whole, and says so;
 * where the kernel looks for us it says EFAULT, and nothing is told here.
 *
 * SIGBUS has a handler as long as any mapping of this process is guarded, and
 * the one before gets what is not about those. Guards may be used by many
 * threads, one guard by one at a time.
 */
#ifndef LIBMR_BUS_GUARD_H
#define LIBMR_BUS_GUARD_H

#include <stdatomic.h>
#include <stddef.h>

/* No access has failed. */
#define BUS_GUARD_WHOLE SIZE_MAX

struct bus_guard {
	void *from; /* what mmap gave, NULL: nothing */
	size_t length;
	atomic_size_t lost; /* byte whose access failed first */
	struct bus_guard *next; /* private */
};

/* g stays where it is until the end, which comes before munmap. */
void bus_guard_begin(struct bus_guard *g, void *from, size_t length);
void bus_guard_end(struct bus_guard *g); /* nothing if it is all zero */

#endif
