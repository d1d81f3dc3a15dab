/*
 * twice.h - pages that came more than once between two barriers.
 *
 * A source should not send them, and some do (multifd.md). Over two connections
 * two threads put such a page at the same time, each in more than one step, and
 * what is left may be some of either. So they are kept in mind, and when all is
 * over one thread puts what is there once more.
 */
#ifndef LIBMR_TWICE_H
#define LIBMR_TWICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/memory/sink.h"

/* One bit for each page. */
struct twice_block {
	uint64_t *came; /* since the last barrier */
	uint64_t *again; /* it came when it had come already, at any time */
};

struct twice {
	const struct memory *m; /* NULL: not in use */
	struct twice_block *blocks; /* one for each of m's */
};

/* m has its blocks, and outlives it. t is zero. MR_NOMEM. */
int twice_init(struct twice *t, const struct memory *m, struct mr_error *err);
void twice_release(struct twice *t); /* t may be zero */

/* Any thread's, before it puts them: n pages have come. */
void twice_came(struct twice *t, size_t block, uint64_t first, uint64_t n);

/* At a barrier, while nobody puts: a page may come again. MR_NOMEM. */
int twice_forget(struct twice *t, struct mr_error *err);

/* Nobody puts any more: pages that came again are put once more as they are.
 * One that lies can make it as many as there are: watch, which may be NULL, can
 * cancel it. */
int twice_settle(const struct twice *t, struct sink *to,
		 const struct mr_watch *watch, struct mr_error *err);

#endif
