/*
 * cached.h - is a piece of a file in the page cache?
 *
 * A reader that can choose copies what is in memory already and goes around
 * the cache for the rest: direct I/O on a cached file asks the disk for what
 * is at hand, buffered I/O on a cold one copies for nothing. Asking brings
 * nothing in.
 *
 * cachestat(2) says it (Linux 6.5), else mincore(2) on a mapping that is never
 * touched. For somebody else's file neither tells the truth, and nothing is
 * taken for cached.
 */
#ifndef LIBMR_CACHED_H
#define LIBMR_CACHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/file/io.h"

enum cached_how { CACHED_UNKNOWN, CACHED_CACHESTAT, CACHED_MINCORE };

/* Once made it does not change: threads may share it. */
struct cached {
	enum cached_how how;
	int fd; /* the file's */
	unsigned char *map; /* MINCORE: the whole file */
	size_t length; /* of it */
};

/* f must outlive *c. best: what to try first, CACHED_CACHESTAT but in tests.
 * Cannot fail: what does not work is not used. */
void cached_init(struct cached *c, const struct file *f, enum cached_how best);
void cached_release(struct cached *c); /* c may be all zero */

/* Whether at least three quarters of these bytes are in the page cache. */
bool cached_mostly(const struct cached *c, uint64_t offset, size_t length);

#endif
