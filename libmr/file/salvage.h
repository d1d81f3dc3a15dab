/*
 * salvage.h - a file of which some places cannot be read (bad sectors).
 *
 * Such a read gives zeros for what is lost, and the place is kept. What is
 * not lost but cannot be read for another reason is an error, as always.
 */
#ifndef LIBMR_SALVAGE_H
#define LIBMR_SALVAGE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/file/io.h"

/* What is read again by itself, and so the unit of what is lost: the pages of
 * the page cache, sectors of most disks. */
#define SALVAGE_PIECE UINT64_C(4096)
/* Places that are kept; what would be one more joins a neighbour. */
#define SALVAGE_MAX 65536u

struct salvage {
	struct io io; /* read through this, from any thread */
	struct file *file;
	int error; /* errno of the first read that failed; 0: none has */
	pthread_mutex_t lock; /* guards all but io and file */
	/* What is lost, in order, apart from each other. Pieces. */
	struct salvage_range {
		uint64_t from, to;
		bool told; /* by salvage_next */
	} * ranges;
	size_t n, room;
};

/* file is the caller's and must outlive this. */
void salvage_init(struct salvage *s, struct file *file);
/* s may be all zero. */
void salvage_release(struct salvage *s);

/* Whether anything of these bytes is known to be lost. */
bool salvage_lost(struct salvage *s, uint64_t offset, uint64_t length);
/* A place that is lost and was not told before: bytes of the file, at most up
 * to its end. False: no more. */
bool salvage_next(struct salvage *s, uint64_t *offset, uint64_t *length);

#endif
