/* proof.h - what a seal proves of the file that it ends (formats/seal.md). */
#ifndef LIBMR_SEAL_PROOF_H
#define LIBMR_SEAL_PROOF_H

#include <stddef.h>
#include <stdint.h>

#include "libmr/seal/sealed.h"

/* A stretch of the file that is cut into pieces with a digest each. */
struct proof_part {
	uint64_t offset, length; /* bytes of the file */
	uint64_t place; /* of the digests, from the start of the seal */
};
struct proof_part proof_front(const struct sealed *s);
struct proof_part proof_header(const struct sealed *s, size_t block);
struct proof_part proof_bitmap(const struct sealed *s, size_t block);
struct proof_part proof_tail(const struct sealed *s);

/* Looks at all of it: differs is called for each run of pieces that are not as
 * they were, with bytes from .. to - 1 of the part. 0, or -1 if it cannot be
 * read. */
int proof_compare(const struct sealed *s, const struct proof_part *p,
		  void (*differs)(void *arg, uint64_t from, uint64_t to),
		  void *arg, struct mr_error *err);

/* Whether all that is no page is as it was sealed. -1: it is not (MR_FORMAT:
 * what differs first), or cannot be read. */
int proof_rest(const struct sealed *s, struct mr_error *err);

/*
 * Whether these are the digests of all pages of an extent, n of them, with 0
 * for those that are not present (libmr/seal/pages.h): 1, 0 or -1. Not by a
 * seal of version 1.
 */
int proof_pages(const struct sealed *s, size_t block, uint64_t extent,
		const uint64_t *table, size_t n, struct mr_error *err);

#endif
