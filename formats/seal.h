/*
 * seal.h - digests of a mapped-ram image, behind its end (seal.md).
 *
 * QEMU reads no further than the vmdescription, so what follows it is ours:
 *
 *   head         off  size  field                              big-endian
 *                  0     8  magic 8b "mrseal" 0a
 *                  8     4  version = 1
 *                 12     4  page size, bytes
 *                 16     4  extent size, bytes: one digest of pages each
 *                 20     4  piece size, bytes: one digest of the rest each
 *                 24     4  number of blocks
 *                 28     4  0
 *                 32     8  stream offset: where "QEVM" is in the file
 *                 40     8  tail offset: where the last block ends
 *                 48     8  seal offset: where this head is
 *   per block      0     .  str8 name
 *                  .     8  header end: the byte after its 28-byte header
 *                  .     8  bitmap offset, 0 if its memory was left out
 *                  .     8  pages offset, 0 if its memory was left out
 *                  .     8  used length, bytes
 *                  .     8  number of extents with a digest
 *   digests, 16 bytes each, in the order of the file:
 *                front: bytes 0 .. stream offset
 *                per block: its header area, its bitmap, then a bit for each
 *                extent (u64 words), then the digests of the extents whose
 *                bit is set
 *                tail: tail offset .. seal offset
 *   end            0     8  length of the seal, all of it
 *                  8    16  digest of all that is before this field
 *                 24     8  magic 8b "mrlaes" 0a
 *
 * A header area runs from the end of the block before (the first block's:
 * from stream offset) to header end. Front, header areas, bitmaps and tail
 * are cut into pieces from their first byte on, the last one may be shorter.
 * Extents count from the block's first page; the digest of one is over its
 * present pages, side by side; an extent with none has no digest. Padding
 * and the place of pages that are not present are in no digest.
 *
 * A digest is opaque here: libmr makes it, XXH3-128 in its canonical form.
 */
#ifndef FORMATS_SEAL_H
#define FORMATS_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/fault.h"
#include "formats/name.h"

enum {
	SEAL_VERSION = 1,
	SEAL_MAGIC_SIZE = 8,
	SEAL_HEAD_SIZE = 56,
	SEAL_BLOCK_MAX = NAME_SIZE + 5 * 8,
	SEAL_END_SIZE = 32,
	SEAL_DIGEST_SIZE = 16,
	SEAL_WORD_SIZE = 8, /* of an extent bitmap */

	SEAL_PIECE = 1024, /* what we write; others are read too */
	SEAL_PIECE_MIN = 256,
	SEAL_PIECE_MAX = 1 << 16,
	SEAL_EXTENT_MAX = 1 << 22,
	SEAL_BLOCKS_LIMIT = 4096, /* RAM_BLOCKS_LIMIT of ram.h */
};

struct seal_digest {
	uint8_t byte[SEAL_DIGEST_SIZE];
};

struct seal_head {
	uint32_t page_size;
	uint32_t extent_size;
	uint32_t piece_size;
	uint32_t blocks;
	uint64_t stream_offset;
	uint64_t tail_offset;
	uint64_t seal_offset;
};

struct seal_block {
	char name[NAME_SIZE];
	uint64_t header_end;
	uint64_t bitmap_offset;
	uint64_t pages_offset;
	uint64_t used_length;
	uint64_t extents; /* that have a digest */

	/* seal_arrange fills these in. */
	uint64_t header_start; /* byte of the file */
	uint64_t bitmap_size; /* bytes; 0: memory left out */
	uint64_t n_extents; /* all; 0: memory left out */
	/* Bytes from the start of the seal. */
	uint64_t header_digests;
	uint64_t bitmap_digests;
	uint64_t words; /* n_extents bits, u64 big-endian: seal_words */
	uint64_t extent_digests;
};

/* Decoders take the bytes that begin with their item; they return the bytes
 * consumed, or -1 with *f filled. */

/* Whether these are a seal's first bytes: 8 of them at least. */
bool seal_is_head(const uint8_t *buf, size_t len);

/* 56 bytes. A version other than 1 is FAULT_UNSUPPORTED. */
ssize_t seal_head_decode(const uint8_t *buf, size_t len, struct seal_head *out,
			 struct fault *f);
size_t seal_head_encode(uint8_t buf[SEAL_HEAD_SIZE], const struct seal_head *h);

ssize_t seal_block_decode(const uint8_t *buf, size_t len,
			  struct seal_block *out, struct fault *f);
size_t seal_block_encode(uint8_t buf[SEAL_BLOCK_MAX],
			 const struct seal_block *b);

/* Digests that length bytes take, cut into pieces of size. */
static inline uint64_t seal_pieces(uint64_t length, uint32_t size)
{
	return length / size + (length % size != 0);
}

/* u64 words that a bit for each of n extents takes. */
static inline uint64_t seal_words(uint64_t n_extents)
{
	return seal_pieces(n_extents, 64);
}

/* Where the digests that belong to no block are, and how long all is. */
struct seal_places {
	uint64_t front; /* bytes from the start of the seal */
	uint64_t tail;
	uint64_t length; /* of the seal, bytes */
};

/*
 * Checks that front, blocks and tail lie one after the other in a file that
 * the seal ends, and finds the places of all digests. blocks are the head's,
 * in order. -1 with *f filled: f->at is the head's byte for a head's field, 0
 * for a block's.
 */
int seal_arrange(const struct seal_head *h, struct seal_block *blocks,
		 struct seal_places *out, struct fault *f);

struct seal_end {
	uint64_t length;
	struct seal_digest digest;
};

/* Bytes of the end that the digest in it does not cover. */
enum { SEAL_END_UNCOVERED = SEAL_DIGEST_SIZE + SEAL_MAGIC_SIZE };

/* Whether these are a seal's last bytes: 8 of them at least. */
bool seal_is_end(const uint8_t *buf, size_t len);

/* 32 bytes, the last of the file, which has file_size. A length that no seal
 * in such a file can have is FAULT_BAD. */
ssize_t seal_end_decode(const uint8_t *buf, size_t len, uint64_t file_size,
			struct seal_end *out, struct fault *f);
size_t seal_end_encode(uint8_t buf[SEAL_END_SIZE], const struct seal_end *e);

#endif
