/*
 * sealer.h - making a seal (formats/seal.md) while an image passes by.
 *
 * Everything but pages is fed in the order of the file, a cut after each
 * part: front (if there is one), then per block header area and bitmap, then
 * tail. Blocks are added in the same order, with the digests of extents from
 * whoever holds the pages. At the end sealer_write puts it all behind the
 * image.
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
		const struct seal_digest *extents; /* of those with a page */
	} * pages; /* of each block */
	size_t n_blocks, blocks_room, pages_room;
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
 * used_length. bits: one per page, NULL if the memory was left out; extents:
 * the digest of each, used where a page is present. Both are the caller's, and
 * read by sealer_write. */
int sealer_block(struct sealer *s, const struct seal_block *b,
		 const uint64_t *bits, const struct seal_digest *extents,
		 struct mr_error *err);

/* Writes the seal at h.seal_offset; h.blocks and h.piece_size are filled in
 * here. *length is that of the seal. */
int sealer_write(struct sealer *s, struct io *io, struct seal_head h,
		 uint64_t *length, struct mr_error *err);

/* The digest of one extent: of its pages whose bit is set, side by side. h is
 * the calling thread's. */
struct seal_digest sealer_extent(struct hash *h, const unsigned char *buf,
				 const uint64_t *bits, size_t pages,
				 size_t page_size);

#endif
