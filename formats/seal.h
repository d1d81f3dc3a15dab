/*
 * seal.h - digests of a mapped-ram image, behind its end (seal.md).
 *
 * QEMU reads no further than the vmdescription, so what follows it is ours:
 *
 *   head         off  size  field                              big-endian
 *                  0     8  magic 8b "mrseal" 0a
 *                  8     4  version: 1 or 2
 *                 12     4  page size, bytes
 *                 16     4  extent size, bytes: one digest of pages each
 *                 20     4  piece size, bytes: one digest of the rest each
 *                 24     4  number of blocks
 *                 28     4  flags; version 1: 0
 *                 32     8  stream offset: where "QEVM" is in the file
 *                 40     8  tail offset: where the last block ends
 *                 48     8  seal offset: where this head is
 *                 56     8  tables offset; version 1: not there
 *   label, of an image that has one (a flag says so)
 *                  0     8  when it was made, seconds since 1970 (UTC);
 *                           0: not known
 *                  8    16  UUID of the VM; zeros: not known
 *                 24     .  str8 who made it ("mrtools 0.1.0")
 *                  .     .  str8 name of the VM; of both the length may be 0
 *   per block      0     .  str8 name
 *                  .     8  header end: the byte after its 28-byte header
 *                  .     8  bitmap offset, 0 if its memory was left out
 *                  .     8  pages offset, 0 if its memory was left out
 *                  .     8  used length, bytes
 *                  .     8  number of extents with a digest
 *   zeros        up to tables offset
 *   tables, of each block whose memory was not left out (not in version 1):
 *                8 bytes for each page: its digest, 0 if it is not present
 *   digests, 16 bytes each, in the order of the file:
 *                front: bytes 0 .. stream offset
 *                per block: its header area, its bitmap, then a bit for each
 *                extent (u64 words), then the digests of the extents whose
 *                bit is set
 *                tail: tail offset .. seal offset
 *   end            0     8  length of the seal, all of it
 *                  8    16  digest of all before this field but the tables
 *                 24     8  magic 8b "mrlaes" 0a
 *
 * A header area runs from the end of the block before (the first block's:
 * from stream offset) to header end. Front, header areas, bitmaps and tail
 * are cut into pieces from their first byte on, the last one may be shorter.
 * Extents count from the block's first page; the digest of one is over its
 * part of the table (version 1: over its present pages, side by side); an
 * extent without a present page has no digest. Padding and the place of pages
 * that are not present are in no digest.
 *
 * A digest is opaque here: libmr makes it, XXH3-128 in its canonical form, of
 * a page XXH3-64 (1 if that is 0).
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
	SEAL_VERSION_1 = 1, /* no tables, no flags */
	SEAL_VERSION = 2, /* what we write */
	SEAL_MAGIC_SIZE = 8,
	SEAL_HEAD_MIN = 56, /* version 1 */
	SEAL_HEAD_SIZE = 64, /* version 2, without a label */
	SEAL_HEAD_MAX = SEAL_HEAD_SIZE + 24 + 2 * NAME_SIZE,
	SEAL_BLOCK_MAX = NAME_SIZE + 5 * 8,
	SEAL_END_SIZE = 32,
	SEAL_DIGEST_SIZE = 16,
	SEAL_WORD_SIZE = 8, /* of an extent bitmap */
	SEAL_ENTRY_SIZE = 8, /* of a table */
	SEAL_TABLES_ALIGN = 4096, /* of tables offset, as we write it */

	SEAL_PIECE = 1024, /* what we write; others are read too */
	SEAL_PIECE_MIN = 256,
	SEAL_PIECE_MAX = 1 << 16,
	SEAL_EXTENT_MAX = 1 << 22,
	SEAL_BLOCKS_LIMIT = 4096, /* RAM_BLOCKS_LIMIT of ram.h */
};

struct seal_digest {
	uint8_t byte[SEAL_DIGEST_SIZE];
};

/* Flags of a head. */
enum {
	/* Whatever is in the file in the place of pages that are not present
	 * is zero, or a hole. */
	SEAL_ABSENT_ZERO = 1 << 0,
	/* A label follows the head. */
	SEAL_LABELED = 1 << 1,
	SEAL_FLAGS = SEAL_ABSENT_ZERO | SEAL_LABELED,
};

struct seal_label {
	uint64_t made; /* seconds since 1970, UTC; 0: not known */
	uint8_t uuid[16]; /* the VM's; zeros: not known */
	char maker[NAME_SIZE], name[NAME_SIZE]; /* "": not said */
};

struct seal_head {
	uint32_t version;
	uint32_t flags;
	uint32_t page_size;
	uint32_t extent_size;
	uint32_t piece_size;
	uint32_t blocks;
	uint64_t stream_offset;
	uint64_t tail_offset;
	uint64_t seal_offset;
	uint64_t tables_offset; /* byte of the file; version 1: not there */
	struct seal_label label; /* if SEAL_LABELED */
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
	uint64_t table; /* byte of the file; 0: version 1, or left out */
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

/* Bytes that it takes, with its label. */
size_t seal_head_size(const struct seal_head *h);

/* With its label. An unknown version, or flag, is FAULT_UNSUPPORTED. */
ssize_t seal_head_decode(const uint8_t *buf, size_t len, struct seal_head *out,
			 struct fault *f);
size_t seal_head_encode(uint8_t buf[SEAL_HEAD_MAX], const struct seal_head *h);

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

/* Where tables and the digests that belong to no block are, and how long all
 * is. */
struct seal_places {
	uint64_t front; /* bytes from the start of the seal */
	uint64_t tail;
	uint64_t tables, tables_end; /* the same if there are none */
	uint64_t length; /* of the seal, bytes */
};

/* Where tables of a seal with these blocks (their names count) can begin. */
uint64_t seal_tables_offset(const struct seal_head *h,
			    const struct seal_block *blocks);

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
