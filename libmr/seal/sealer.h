/*
 * sealer.h - making a seal (formats/seal.md) while an image passes by.
 *
 * Everything but pages is fed in the order of the file, a cut after each
 * part: front (if there is one), then per block header area and bitmap, then
 * tail. Blocks are added in the same order. As soon as they are and it is
 * known where the stream ends, sealer_place says where the tables are, which
 * whoever holds the pages writes, in any order, page by page if he likes. At
 * the end sealer_write puts all else around them.
 */
#ifndef LIBMR_SEALER_H
#define LIBMR_SEALER_H

#include <stddef.h>
#include <stdint.h>

#include "formats/seal.h"
#include "libmr/base/hash.h"
#include "libmr/file/io.h"
#include "libmr/mr.h"

struct sealer {
	struct seal_digest *digests; /* of pieces, in the order of the file */
	size_t n, room;
	uint8_t piece[SEAL_PIECE];
	size_t fill; /* bytes of the piece that is being fed */
	struct seal_block *blocks;
	struct sealer_pages {
		const uint64_t *bits; /* a bit per page; NULL: left out */
		const uint64_t *table; /* NULL: the file has it already */
	} * pages; /* of each block */
	size_t n_blocks, blocks_room, pages_room;
	/* From sealer_place on. */
	struct seal_head head;
	uint64_t tables_end; /* byte of the file */
};

/* s starts as { 0 }. MR_NOMEM. */
int sealer_feed(struct sealer *s, const void *buf, size_t len,
		struct mr_error *err);
int sealer_feed_zeros(struct sealer *s, uint64_t len, struct mr_error *err);
/* The part that was being fed is whole. */
int sealer_cut(struct sealer *s, struct mr_error *err);
/* The next bytes of a file, as one part. */
int sealer_feed_file(struct sealer *s, struct io *io, uint64_t offset,
		     uint64_t len, struct mr_error *err);
void sealer_release(struct sealer *s);

/* One block more. b: name, header_end, bitmap_offset, pages_offset and
 * used_length. bits: one per page, NULL if the memory was left out; table: a
 * digest for each (libmr/seal/pages.h), or NULL. Both are the caller's, and
 * read by sealer_write. */
int sealer_block(struct sealer *s, const struct seal_block *b,
		 const uint64_t *bits, const uint64_t *table,
		 struct mr_error *err);

/* All blocks are known: h has all but blocks, piece_size, version and
 * tables_offset. From now on s->blocks[i].table is byte of the file where that
 * of the ith is; when sealer_write reads them the file has to go on at least to
 * their end. */
int sealer_place(struct sealer *s, const struct seal_head *h,
		 struct mr_error *err);

/* Writes the seal. *length is that of the seal. */
int sealer_write(struct sealer *s, struct io *io, uint64_t *length,
		 struct mr_error *err);

#endif
