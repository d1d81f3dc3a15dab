/*
 * index.h - where each page of a plain stream last came.
 *
 * In a plain stream a page may come many times, as it is, as a word that says
 * zeros, compressed, or as the bytes that changed since it came last (XBZRLE).
 * One word in memory for each page says what counts in the end:
 *
 *   0                there was no word about it
 *   1                zeros
 *   byte << 3 | 2    the page is there in the file
 *   byte << 3 | 3    there are 32 bits, the length of the zlib stream behind
 *   n << 3 | 4       changes, of which deltas[n] is the newest
 *
 * A zlib stream is unpacked when its page is read, and not before: there may be
 * a newer one.
 *
 * The changes of a page are a ring: behind the newest comes what the page was
 * before all of them (length 0, and a word as above), then the first change,
 * then the second: one is put in without a walk, and a walk meets them in the
 * order in which they apply. A page that comes anew gives its ring back.
 *
 * Memory is bounded: 8 bytes a page, of which those never touched cost
 * nothing, and 16 for each change that still counts.
 */
#ifndef LIBMR_IMAGE_INDEX_H
#define LIBMR_IMAGE_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "formats/ram.h"
#include "libmr/file/io.h"
#include "libmr/mr.h"

/* Pages that are kept track of, here and in the maps (image.h): 1 TiB of
 * memory with pages of 4 KiB. */
#define PAGE_INDEX_LIMIT (UINT64_C(1) << 28)
/* Changes that are: 1 GiB of them. */
#define PAGE_INDEX_DELTAS ((uint32_t)1 << 26)

enum page_index_kind {
	PAGE_INDEX_ABSENT,
	PAGE_INDEX_ZERO,
	PAGE_INDEX_DATA,
	PAGE_INDEX_ZLIB,
	PAGE_INDEX_DELTA,
};

struct page_index {
	uint32_t page_size; /* bytes */
	const struct mr_block *blocks; /* the image's */
	size_t n;
	uint64_t *first; /* for each block, where its words begin */
	uint64_t *words;
	size_t size; /* bytes of words */
	struct page_index_delta {
		uint64_t at; /* byte of the file; length 0: a word */
		uint32_t next;
		uint32_t length; /* bytes */
	} * deltas;
	uint32_t used; /* of deltas */
	size_t room;
	uint32_t spare; /* those given back; UINT32_MAX: none */
	uint64_t data; /* words that came with data */
	/* There were more changes, or a place farther out, than are kept
	 * track of. */
	struct mr_error why;
};

/* For these blocks, which outlive it, of at most PAGE_INDEX_LIMIT pages, no
 * matter whether the last one of each is whole. MR_NOMEM. */
struct page_index *page_index_new(const struct mr_block *blocks, size_t n,
				  uint32_t page_size, struct mr_error *err);
void page_index_free(struct page_index *x); /* x may be NULL */

/* The next word of the stream about a page: an item in this block whose data is
 * at this byte of the file. 0, or -1: MR_NOMEM. */
int page_index_add(struct page_index *x, size_t block,
		   const struct ram_item *item, uint64_t at,
		   struct mr_error *err);

static inline enum page_index_kind page_index_kind(const struct page_index *x,
						   size_t block, uint64_t page)
{
	return (enum page_index_kind)(x->words[x->first[block] + page] & 7);
}

/*
 * len bytes of a block, which has them, from offset on; pages without a word
 * are zero. *present: how many of the bytes belong to others. io is the file
 * that the places are in. Threads may share the index, not while words are
 * added. 0 or -1; MR_FORMAT: a zlib stream that does not give its page.
 */
int page_index_read(const struct page_index *x, struct io *io, size_t block,
		    uint64_t offset, void *buf, size_t len, size_t *present,
		    struct mr_error *err);

#endif
