/*
 * touched.h - what of an image a guest touched first (touched.md).
 *
 * A small file beside an image: a VM that begins on the image again has the
 * kernel read these pages before the guest asks for them.
 *
 *   head         off  size  field                              big-endian
 *                  0     8  magic 8b "mrtchd" 0a
 *                  8     4  version = 1
 *                 12     4  group size, bytes: pages are counted in groups
 *                 16     4  what the image is known by: 1 its seal, 2 its file
 *                 20     4  number of blocks
 *                 24     8  number of runs
 *                 32    16  digest of what the image is known by
 *   per block      0     .  str8 name
 *                  .     8  used length, bytes
 *   per run        0     4  block, counted from 0
 *                  4     4  first group in it
 *                  8     4  number of groups, at least 1
 *   end            0    16  digest of all that is before it
 *
 * Blocks are those of the image, in its order. Runs are in the order in which
 * the groups were touched first.
 *
 * A digest is opaque here: libmr makes it, XXH3-128 in its canonical form.
 */
#ifndef FORMATS_TOUCHED_H
#define FORMATS_TOUCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/fault.h"
#include "formats/name.h"

enum {
	TOUCHED_VERSION = 1,
	TOUCHED_MAGIC_SIZE = 8,
	TOUCHED_HEAD_SIZE = 48,
	TOUCHED_BLOCK_MAX = NAME_SIZE + 8,
	TOUCHED_RUN_SIZE = 12,
	TOUCHED_DIGEST_SIZE = 16,

	TOUCHED_GROUP = 1 << 16, /* what we write; others are read too */
	TOUCHED_GROUP_MIN = 1 << 12,
	TOUCHED_GROUP_MAX = 1 << 21,
	TOUCHED_BLOCKS_LIMIT = 4096, /* RAM_BLOCKS_LIMIT of ram.h */
	TOUCHED_RUNS_LIMIT = 1 << 22,
};

enum touched_known_by {
	TOUCHED_BY_SEAL = 1, /* the seal's own digest (seal.h) */
	TOUCHED_BY_FILE = 2, /* inode, size, time of the last change */
};

struct touched_head {
	uint32_t group_size;
	enum touched_known_by known_by;
	uint32_t blocks;
	uint64_t runs;
	uint8_t image[TOUCHED_DIGEST_SIZE];
};

struct touched_block {
	char name[NAME_SIZE];
	uint64_t used_length;
	uint64_t named; /* groups in its runs so far; the caller counts */
};

struct touched_run {
	uint32_t block, first, groups;
};

/* Decoders take the bytes that begin with their item; they return the bytes
 * consumed, or -1 with *f filled. */

/* Whether these are such a file's first bytes: 8 of them at least. */
bool touched_is_head(const uint8_t *buf, size_t len);

ssize_t touched_head_decode(const uint8_t *buf, size_t len,
			    struct touched_head *out, struct fault *f);
size_t touched_head_encode(uint8_t buf[TOUCHED_HEAD_SIZE],
			   const struct touched_head *h);

ssize_t touched_block_decode(const uint8_t *buf, size_t len,
			     struct touched_block *out, struct fault *f);
size_t touched_block_encode(uint8_t buf[TOUCHED_BLOCK_MAX],
			    const struct touched_block *b);

/* One that lies in its block, and names no more groups than are left of it;
 * blocks are the head's. */
ssize_t touched_run_decode(const uint8_t *buf, size_t len,
			   const struct touched_head *h,
			   const struct touched_block *blocks,
			   struct touched_run *out, struct fault *f);
size_t touched_run_encode(uint8_t buf[TOUCHED_RUN_SIZE],
			  const struct touched_run *r);

/* Groups of a block, the last of which may be smaller. */
static inline uint64_t touched_groups(uint64_t used_length, uint32_t group_size)
{
	return used_length / group_size + (used_length % group_size != 0);
}

#endif
