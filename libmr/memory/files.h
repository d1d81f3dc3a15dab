/* files.h - the sink that is memory files, one for each block (sink.h). */
#ifndef LIBMR_FILES_H
#define LIBMR_FILES_H

#include "libmr/memory/sink.h"

struct files_target;

struct files_sink {
	struct sink sink;
	struct files_target *targets; /* one for each block */
	size_t n;
	unsigned who; /* mr_error.who of the first; then on from there */
	bool direct; /* after begin: all are written around the page cache */
};

/*
 * The files of n blocks (target.h); nothing is changed before begin. One that
 * exists is locked, and holds nothing of its old content after end; a new one
 * appears at end, mode 0600. jobs: as many workers
 * will put. source: the file that must not be a target; NULL: none. To be
 * abandoned even after a failure.
 */
int files_sink_open(struct files_sink *f, const struct mr_memory *memory,
		    size_t n, unsigned who, enum mr_direct direct,
		    unsigned jobs, const struct file *source,
		    struct mr_error *err);

#endif
