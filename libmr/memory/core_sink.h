/*
 * core_sink.h - into a file that has each block at a place of its own, and
 * nothing in between.
 *
 * The file is one hole at first. What a block of places has may be there
 * already: it is not held by the memory then, and not put.
 */
#ifndef LIBMR_CORE_SINK_H
#define LIBMR_CORE_SINK_H

#include "libmr/memory/sink.h"

struct core_sink {
	struct sink sink;
	struct file *file; /* the caller's, sized */
	const uint64_t *places; /* of each block: byte of the file */
	/* Each part, before it is written; NULL: nobody looks. By many threads
	 * at once. 0 or -1. */
	int (*look)(void *arg, size_t block, const struct memory_part *p,
		    struct mr_error *err);
	void *arg;
};

void core_sink_init(struct core_sink *s, struct file *file,
		    const uint64_t *places);

#endif
