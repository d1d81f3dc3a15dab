/*
 * sealed.h - the seal of a file, read and checked (formats/seal.md).
 *
 * What stays in memory is small: 2 bits for an extent. Digests are read when
 * they are asked for.
 */
#ifndef LIBMR_SEALED_H
#define LIBMR_SEALED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/seal.h"
#include "libmr/file/io.h"
#include "libmr/mr.h"

struct sealed {
	struct io *io; /* the caller's; must outlive this */
	struct seal_head head;
	struct seal_places places;
	struct seal_block *blocks; /* head.blocks of them */
	struct sealed_extents {
		uint64_t *words; /* a bit for each extent with a digest */
		uint64_t *before; /* digests before each word */
	} * extents; /* for each block */
};

/*
 * Looks for a seal at the end of the file. 1: there is one, and it is whole;
 * 0: there is none; -1: *err is MR_FORMAT, MR_SHORT or MR_UNSUPPORTED if it
 * is damaged or not for us, anything else is trouble. s may be released in
 * any case.
 */
int sealed_open(struct sealed *s, struct io *io, struct mr_error *err);
void sealed_release(struct sealed *s);

/* Only looks for its end, and believes it: *size is where the file ends, but
 * for zeros behind a seal. As sealed_open. */
int sealed_find(struct io *io, struct seal_end *end, uint64_t *size,
		struct mr_error *err);

/* Whether a seal begins at this byte; for one whose end is lost. -1: *err. */
int sealed_begins(struct io *io, uint64_t offset, struct mr_error *err);

/* n digests that begin `place` bytes after the start of the seal. */
int sealed_digests(const struct sealed *s, uint64_t place, uint64_t first,
		   struct seal_digest *out, size_t n, struct mr_error *err);

/* Of a block with a table: what it has of n pages (libmr/seal/pages.h). Not
 * checked: sealed_extent's digests are of that. */
int sealed_table(const struct sealed *s, size_t block, uint64_t first,
		 uint64_t *out, size_t n, struct mr_error *err);

/* Whether an extent of a block has a digest. */
bool sealed_has_extent(const struct sealed *s, size_t block, uint64_t extent);
/* That digest. */
int sealed_extent(const struct sealed *s, size_t block, uint64_t extent,
		  struct seal_digest *out, struct mr_error *err);

#endif
