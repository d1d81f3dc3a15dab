/*
 * spool.h - bytes that come from front to back, kept to be read anywhere.
 *
 * A file without a name, mode 0600, in a folder that has room: it goes with the
 * process, whatever happens. Zeros become holes. It is full when 5 % of its
 * file system are left: others live there, too.
 */
#ifndef LIBMR_SPOOL_H
#define LIBMR_SPOOL_H

#include "libmr/file/expand.h"
#include "libmr/mr.h"

struct spool {
	struct expand_to to; /* what is put there is kept */
	int fd; /* -1: none */
	uint64_t size; /* bytes so far */
	uint64_t limit; /* of size */
	uint64_t looked; /* size when the room was looked at */
	unsigned who; /* the spool, in errors */
	const struct mr_watch *watch;
};
#define SPOOL_NONE        \
	{                 \
		.fd = -1, \
	}

/* limit: bytes, holes too; 0: as many as there is room for. watch may be NULL;
 * a cancel is MR_CANCELLED. Errors are about `who`. */
int spool_open(struct spool *s, const char *folder, uint64_t limit,
	       const struct mr_watch *watch, unsigned who,
	       struct mr_error *err);
int spool_put(struct spool *s, const void *buf, size_t len,
	      struct mr_error *err);
/* No more comes: the file has its size. */
int spool_end(struct spool *s, struct mr_error *err);
void spool_release(struct spool *s); /* may be SPOOL_NONE */

#endif
