/*
 * pack.h - a plain migration stream in zstd frames, with an index (pack.md).
 *
 *   label                      skippable
 *   head                       zstd; of an increment in a skippable frame
 *   for each extent that has something to say:
 *     note                     skippable
 *     pages                    zstd
 *   tail                       zstd
 *   index                      skippable, the last bytes of the file
 *
 * zstd passes over what is in skippable frames (RFC 8878), so `zstd -dc` of a
 * full pack gives a migration stream: header, configuration, early FULLs and
 * the START of "ram" (head), a PART for each extent (pages), the END of "ram",
 * FULLs, EOF, description (tail). That of an increment begins in the middle,
 * and no QEMU takes it.
 *
 *   skippable   off  size  field
 *                 0     4  5d 2a 4d 18
 *                 4     4  n: bytes that follow, little-endian
 *                 8     4  kind: "LABL" "HEAD" "NOTE" "INDX"; from here on
 *                          all is big-endian
 *                12     .  n - 4 bytes
 *
 *   LABL          0     8  magic 8b "mrpack" 0a
 *                 8     4  version: 1
 *                12     4  flags: 1 increment
 *                16     4  page size, bytes
 *                20     4  extent size, bytes: 64 pages, or more
 *                24     8  when it was made, seconds since 1970 (UTC)
 *                32     4  how many packs lie below it: 0 full
 *                36    16  identity of the one right below; zeros: full
 *                52    16  UUID of the VM; zeros: not known
 *                68     .  str8 who made it ("mrtools 0.1.0")
 *                 .     .  str8 name of the VM; of both the length may be 0
 *   HEAD          0     .  the zstd frame of the head
 *   NOTE          0     4  number of the block in the list of the head
 *                 4     4  0
 *                 8     8  byte of the block where the extent begins
 *                16     .  a bit for each page of an extent: it is there; bit
 *                          p % 64 of the u64 word p / 64
 *                 .     .  the same: it is zero, and is said to be
 *                 .     .  u64 for each page that is there: its digest
 *   INDX          0     4  number of blocks
 *                 4     4  0
 *                 8     8  number of extents
 *                16    32  place of the head
 *                48    32  place of the tail
 *                80    16  digest of the label, without the 12 bytes
 *                 .     .  per block: str8 name, u64 length
 *                 .     .  per extent: as its note up to the digests of pages;
 *                          place; digest of the note, without the 12 bytes
 *                 .    16  digest of all before this, from the kind on: the
 *                          identity of the pack
 *                 .     4  n of this frame once more
 *                 .     8  magic 8b "mrkcap" 0a
 *
 *   place         0     8  byte of the file where the zstd frame begins
 *                 8     4  its bytes
 *                12     4  the bytes in it (Frame_Content_Size)
 *                16    16  digest of its bytes
 *
 * What a PART holds follows from its note: the pages that are there, in order,
 * as PAGE words, then those that are zero, as ZERO words, EOS, footer. The
 * first word names the block, the others CONTINUE. All sections of "ram" have
 * the id PACK_RAM_SECTION. So a page's place in the frame is known beforehand,
 * frames can be left out, replaced, and put together by copying, and the same
 * pages give the same bytes. A page that is neither is as in the base; where
 * there is none, zero.
 *
 * Digests are opaque here: libmr makes them, XXH3-128 in its canonical form, of
 * a page XXH3-64 (1 if that is 0).
 */
#ifndef FORMATS_PACK_H
#define FORMATS_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/fault.h"
#include "formats/name.h"
#include "formats/seal.h"

/* Bytes that so many at most take when they do not compress: what zstd calls
 * its bound. */
#define PACK_PACKED_MAX(n) ((uint64_t)(n) + (uint64_t)(n) / 256 + 1024)

enum {
	PACK_VERSION = 1,
	PACK_RAM_SECTION = 1,
	PACK_SKIP_SIZE = 12, /* up to and with the kind */
	PACK_PAGE_MIN = 1024,
	PACK_PAGE_MAX = 1 << 16,
	PACK_EXTENT_MAX = 1 << 22, /* bytes */
	PACK_EXTENT_PAGES = 1 << 12, /* at most: 4 MiB of 1 KiB */
	PACK_WORDS = PACK_EXTENT_PAGES / 64,
	PACK_BLOCKS_LIMIT = 4096, /* RAM_BLOCKS_LIMIT of ram.h */
	PACK_BELOW_MAX = 64, /* packs below one */
	/* Bytes that a head holds, and a tail: more is refused. */
	PACK_HEAD_MAX = 2 << 20,
	PACK_TAIL_MAX = 1 << 30,

	PACK_LABEL_MAX = 68 + 2 * NAME_SIZE,
	PACK_PLACE_SIZE = 32,
	PACK_NOTE_MAX = 16 + 2 * PACK_WORDS * 8 + PACK_EXTENT_PAGES * 8,
	PACK_INDEX_HEAD_SIZE = 16 + 2 * PACK_PLACE_SIZE + SEAL_DIGEST_SIZE,
	PACK_INDEX_BLOCK_MAX = NAME_SIZE + 8,
	PACK_INDEX_EXTENT_MAX =
		16 + 2 * PACK_WORDS * 8 + PACK_PLACE_SIZE + SEAL_DIGEST_SIZE,
	PACK_INDEX_END_SIZE = SEAL_DIGEST_SIZE + 4 + 8,
};

enum pack_kind {
	PACK_LABEL = 0x4c41424c,
	PACK_HEAD = 0x48454144,
	PACK_NOTE = 0x4e4f5445,
	PACK_INDEX = 0x494e4458,
};

enum { PACK_INCREMENT = 1 << 0, PACK_FLAGS = PACK_INCREMENT };

/* Decoders take the bytes that begin with their item and return those consumed,
 * or -1 with *f filled; FAULT_SHORT means that more are needed to say. */

/* ---- skippable frames ---- */

struct pack_skip {
	enum pack_kind kind;
	uint32_t length; /* bytes that follow the 12 of this */
};

/* Whether these, 4 at least, begin any skippable frame; or a zstd frame. */
bool pack_is_skip(const uint8_t *buf, size_t len);
bool pack_is_zstd(const uint8_t *buf, size_t len);
/* 12 bytes. A frame that is none of ours is FAULT_UNSUPPORTED; a length that no
 * frame of its kind can have, FAULT_BAD. */
ssize_t pack_skip_decode(const uint8_t *buf, size_t len, struct pack_skip *out,
			 struct fault *f);
size_t pack_skip_encode(uint8_t buf[PACK_SKIP_SIZE], const struct pack_skip *s);

/* Whether these, 20 at least, are the first of a pack: the label's frame. */
bool pack_is_pack(const uint8_t *buf, size_t len);

/* ---- label ---- */

struct pack_label {
	uint32_t flags;
	uint32_t page_size;
	uint32_t extent_size;
	uint32_t below;
	struct seal_digest base;
	struct seal_label of; /* when, of which VM, by whom */
};

/* Without the 12 bytes of the frame, as all below; len is what the frame has:
 * bytes left over are FAULT_BAD. Page and extent size are legal then, and below
 * fits the flags. */
ssize_t pack_label_decode(const uint8_t *buf, size_t len,
			  struct pack_label *out, struct fault *f);
size_t pack_label_encode(uint8_t buf[PACK_LABEL_MAX],
			 const struct pack_label *l);

/* ---- extents ---- */

struct pack_place {
	uint64_t offset;
	uint32_t size, content;
	struct seal_digest digest;
};

/* What of an extent is in a pack. */
struct pack_extent {
	uint32_t block;
	uint64_t offset;
	uint64_t there[PACK_WORDS];
	/* What the base has, and became zero; or what may be something else
	 * where it is loaded: firmware. */
	uint64_t zero[PACK_WORDS];
};

/* Pages of a whole extent. */
static inline size_t pack_pages(const struct pack_label *l)
{
	return l->extent_size / l->page_size;
}

/* The bytes of a note without its digests; of an extent in the index, up to its
 * place. */
size_t pack_extent_size(const struct pack_label *l);
/* And of a note with its digests: what its frame's length must be. */
size_t pack_note_size(const struct pack_label *l, const struct pack_extent *e);

/* Offset is a multiple of the extent size, no page is both, one is something.
 */
ssize_t pack_extent_decode(const uint8_t *buf, size_t len,
			   const struct pack_label *l, struct pack_extent *out,
			   struct fault *f);
size_t pack_extent_encode(uint8_t *buf, const struct pack_label *l,
			  const struct pack_extent *e);

/* length: bytes of the block that the extent is of. -1: pages outside of it. */
int pack_extent_check(const struct pack_label *l, const struct pack_extent *e,
		      uint64_t length, struct fault *f);

/* ---- the part of an extent ---- */

/* Bytes of the PART of these pages of a block of this name. At most
 * pack_part_max. */
size_t pack_part_size(const struct pack_label *l, const struct pack_extent *e,
		      const char *block);
size_t pack_part_max(const struct pack_label *l);

/*
 * A PART is what stands before each page, the page, and what stands behind the
 * last one, or alone if no page is there. These write, and return how much.
 * before: the n-th page that is there, from 0 on, which is page number `page`
 * of the extent; buf has room for PACK_WORD_MAX bytes. behind: for what
 * pack_part_size has beyond the pages and what is before them: PACK_BEHIND_MAX.
 */
enum {
	PACK_WORD_MAX = 5 + 8 + NAME_SIZE,
	PACK_BEHIND_MAX = 5 + NAME_SIZE + PACK_EXTENT_PAGES * 9 + 8 + 5,
};
size_t pack_part_before(uint8_t *buf, const struct pack_label *l,
			const struct pack_extent *e, const char *block,
			size_t n, size_t page);
size_t pack_part_behind(uint8_t *buf, const struct pack_label *l,
			const struct pack_extent *e, const char *block);
/* The byte of the PART where the data of the n-th page that is there is. */
size_t pack_part_at(const struct pack_label *l, const char *block, size_t n);

/* ---- index ---- */

struct pack_index_head {
	uint32_t blocks;
	uint64_t extents;
	struct pack_place head, tail;
	struct seal_digest label;
};

/* length: bytes from here up to the digest at the end. Counts that they cannot
 * hold are FAULT_BAD. */
ssize_t pack_index_head_decode(const uint8_t *buf, size_t len, uint64_t length,
			       struct pack_index_head *out, struct fault *f);
size_t pack_index_head_encode(uint8_t buf[PACK_INDEX_HEAD_SIZE],
			      const struct pack_index_head *h);

struct pack_block {
	char name[NAME_SIZE];
	uint64_t length;
};
ssize_t pack_block_decode(const uint8_t *buf, size_t len,
			  struct pack_block *out, struct fault *f);
size_t pack_block_encode(uint8_t buf[PACK_INDEX_BLOCK_MAX],
			 const struct pack_block *b);

struct pack_entry {
	struct pack_extent extent;
	struct pack_place place;
	struct seal_digest note;
};
size_t pack_entry_size(const struct pack_label *l);
ssize_t pack_entry_decode(const uint8_t *buf, size_t len,
			  const struct pack_label *l, struct pack_entry *out,
			  struct fault *f);
size_t pack_entry_encode(uint8_t *buf, const struct pack_label *l,
			 const struct pack_entry *e);

struct pack_end {
	struct seal_digest identity;
	uint32_t length; /* n of the index's frame */
};
/* 28 bytes, the last of the file, which has file_size. */
bool pack_is_end(const uint8_t *buf,
		 size_t len); /* 8 bytes at least: the last */
ssize_t pack_end_decode(const uint8_t *buf, size_t len, uint64_t file_size,
			struct pack_end *out, struct fault *f);
size_t pack_end_encode(uint8_t buf[PACK_INDEX_END_SIZE],
		       const struct pack_end *e);

#endif
