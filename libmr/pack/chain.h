/*
 * chain.h - the packs that an increment stands on (formats/pack.md).
 *
 * Each names the one right below by its identity, which is looked for among the
 * packs in its own folder; where its name is a symlink, in the folder that this
 * leads to, too; and where the top is, and leads to. They all have the same
 * page and extent size.
 */
#ifndef LIBMR_PACK_CHAIN_H
#define LIBMR_PACK_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/pack/packed.h"

struct chain_pack {
	struct packed packed;
	struct file file;
	char *path;
	const char *name; /* of path: without the folder */
};

struct chain {
	/*
	 * The top's stream: bytes 0 .. size - 1. From there on, without being
	 * told of in size, the streams of those below, one behind the other,
	 * the next one first.
	 */
	struct io io;
	struct packed *top; /* the caller's */
	struct chain_pack *below[PACK_BELOW_MAX]; /* [0] is right below it */
	size_t n;
};

/*
 * Opens what lies below top, down to a full pack; path is top's. MR_REFUSED:
 * one of them is not there, says which, and where it should be. The code of
 * packed_open: one is there, and damaged. Nothing is to be released after -1.
 */
int chain_open(struct chain *c, struct packed *top, const char *path,
	       struct mr_error *err);
void chain_release(struct chain *c); /* c may be zero */

/* Whether one of its packs, but for the top, has this name, which may be
 * nobody's. */
bool chain_has(const struct chain *c, const char *path);

/* Pack i, 0 the top .. n the full one, and its first byte in io. */
struct packed *chain_at(const struct chain *c, size_t i, uint64_t *start);

/*
 * How many bytes of a block of pack i still count in the top: those that it has
 * in all packs above, too. *number becomes its number there; 0: none count.
 */
uint64_t chain_counts(const struct chain *c, size_t i, uint32_t block,
		      uint32_t *number);

/*
 * What the chain has of an extent of a block, by name: *has becomes how many
 * bytes of the block it knows of, 0 if there is no such block, and table, with
 * room for all pages of an extent, the digest of each page, 0 for one that is
 * zero. Threads may share the chain.
 */
int chain_digests(const struct chain *c, const char *block, uint64_t offset,
		  uint64_t *table, uint64_t *has, struct mr_error *err);

/*
 * Whether all that counts of an extent of a block of the top (its number there)
 * is what one pack says of it, under the same number, and all that it says
 * counts: its frame can stand in a pack of the whole chain as it is. *i becomes
 * which pack it is.
 */
bool chain_alone(const struct chain *c, uint32_t block, uint64_t offset,
		 size_t *i, struct pack_entry *e);

/*
 * Such an extent's note and frame, as they are in the file of pack i:
 * packed_note says how much the former is. Their digests are compared, and all
 * that the entry says of them; the frame is not unpacked.
 */
int chain_fetch(const struct chain *c, size_t i, const struct pack_entry *e,
		uint8_t *to, struct mr_error *err);

#endif
