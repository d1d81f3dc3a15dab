/* files.h - the sink that is memory files, one for each block (sink.h). */
#ifndef LIBMR_FILES_H
#define LIBMR_FILES_H

#include "libmr/file/output.h"
#include "libmr/memory/sink.h"

struct file_target;

struct files_sink {
	struct sink sink;
	struct file_target *targets; /* one for each block */
	size_t n;
	unsigned
		who; /* the first target, as mr_error.who; then on from there */
	bool direct; /* after begin: all are written around the page cache */
};

/*
 * n targets; nothing is changed before begin. A file that exists is locked,
 * overwritten in place, and holds nothing of its old content after end; a new
 * one appears at end, whole or not at all, mode 0600. jobs: as many workers
 * will put. source: the file that must not be a target; NULL: none. To be
 * abandoned even after a failure.
 */
int files_sink_open(struct files_sink *f, const char *const *paths, size_t n,
		    unsigned who, enum mr_direct direct, unsigned jobs,
		    const struct file *source, struct mr_error *err);

#endif
