/*
 * state.h - what the parts of mr_verify share. Private to libmr/verify.
 *
 *   verify.c     the verb: open, look, judge, mend
 *   structure.c  does the stream follow its format
 *   parts.c      headers, bitmaps and tail against the seal
 *   scan.c       every page: zero, stale, missing, changed
 *   pages.c      which pages those were
 *   pack.c       every frame of a pack
 *   compressed.c  pages of a plain stream that are compressed one by one
 *   tell.c       telling the caller
 *   repair.c     mending, in place or onto a copy; sealing
 */
#ifndef LIBMR_VERIFY_STATE_H
#define LIBMR_VERIFY_STATE_H

#include "libmr/image/image.h"
#include "libmr/mr.h"
#include "libmr/file/output.h"
#include "libmr/file/salvage.h"
#include "libmr/seal/sealed.h"

/* What can be odd about a page. */
enum verify_odd {
	VERIFY_CHANGED, /* the seal says otherwise */
	VERIFY_UNREADABLE,
	VERIFY_MISSING,
	VERIFY_STALE,
	VERIFY_WASTE,
	VERIFY_ODDS
};

/* What was found in an extent. */
struct verify_extent {
	uint16_t pages[VERIFY_ODDS]; /* of at most 16384 */
	bool changed; /* the seal says otherwise, but not of which pages */
	bool bad_table; /* the seal's digests of its pages are damaged */
	/* The bitmap is damaged here, and the pages that are not zero are not
	 * what it spoke of. */
	bool lost;
};

/* A block as the seal has it, or the image where there is no seal. */
struct verify_block {
	const char *name;
	uint64_t entry; /* byte where its header area begins */
	uint64_t header_end;
	uint64_t bitmap_offset, bitmap_size; /* 0, 0: memory left out */
	uint64_t pages_offset;
	uint64_t length; /* bytes of memory in the file; 0: left out */
	uint64_t listed; /* bytes of memory that it stands for */
	uint64_t pages;
	struct verify_extent *extents;
	size_t n_extents;
	/* A bit for each odd page; of extents without one nothing is touched:
	 * memory that was never written costs nothing. */
	uint64_t *odd[VERIFY_ODDS];
	size_t odd_words; /* of each */
	/* One for each piece of the bitmap: it differs from the seal. */
	bool *bad_pieces;
	size_t n_pieces;
	/* For mending and sealing: what the bitmap should be, and a digest of
	 * each page (libmr/seal/pages.h). */
	uint64_t *bits; /* host order */
	size_t nwords;
	uint64_t *table;
};

/* mr_verify's arguments, as mr_error.who counts them. */
enum { VERIFY_IMAGE = 1, VERIFY_OUTPUT = 2 };

struct verify {
	const char *path;
	const struct mr_verify_options *o;
	struct mr_verify_report *r;
	struct mr_image *img;
	const struct mr_image_info *info;
	struct salvage salvage; /* all is read through it */

	bool has_seal; /* a whole one; then seal is it */
	struct sealed seal;
	uint64_t stream_end; /* what a new seal goes behind */
	uint64_t tail_offset; /* where the last block ends */
	uint32_t page_size;
	size_t extent_size;

	struct verify_block *blocks;
	size_t n;
	bool layout_ok; /* blocks can be trusted */
	uint64_t present; /* pages that the image's bitmaps have */
	uint64_t stray; /* bits beyond the last pages */

	/* What was damaged, by kind. */
	bool seen[MR_FINDINGS];
	/* All bitmaps are clear and the stream has no END: those of a
	 * background snapshot, which the pages can give back. */
	bool rebuild;
	bool fix; /* bits and digests are wanted: mending or sealing */
	/* Words of bitmaps that are not what the pages look like, and of them
	 * those that would be if their bytes were in the other order. */
	uint64_t odd_words, swapped_words;
	uint64_t bits_changed; /* pages whose bit the mended bitmap flips */

	struct file rw; /* the image, open for writing, locked */
	struct output out; /* or the copy */
};

/* Tells the caller. fmt makes the text. */
void verify_tell(struct verify *v, struct mr_finding *f, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* A line about what was mended. */
void verify_did(struct verify *v, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Places outside of pages that could not be read and were not told yet. */
void verify_tell_unreadable(struct verify *v);

int verify_structure(struct verify *v, struct mr_error *err);
/* All of a plain stream's that came compressed, and still count. */
int verify_compressed(struct verify *v, struct mr_error *err);
int verify_parts(struct verify *v, struct mr_error *err);
int verify_scan(struct verify *v, struct mr_error *err);
/* All of a pack that is open, and then its stream. */
int verify_pack(struct verify *v, struct mr_error *err);
/* What the scan found, block by block. */
int verify_tell_pages(struct verify *v, struct mr_error *err);

/* Opens what will be written, before anything is read. */
int verify_repair_open(struct verify *v, struct mr_error *err);
/* After the scan: mends, seals, publishes. Nothing if damage stays. */
int verify_repair(struct verify *v, struct mr_error *err);
void verify_repair_close(struct verify *v);

/* Bitmap words of a block as they are in the file, in host order, stray bits
 * and all. */
int verify_words(const struct verify *v, const struct verify_block *b,
		 uint64_t first, uint64_t *words, size_t n,
		 struct mr_error *err);

#endif
