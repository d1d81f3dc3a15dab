/*
 * memory.h - somebody's RAM, and where it goes.
 *
 * A memory is one of the back ends of struct memory_ops, each a file here:
 *
 *   vm.c           a paused VM, read from outside
 *   image.c        a mapped-ram image
 *
 * and a sink one of those of struct sink_ops (sink.h). Verbs know neither:
 * they take the pages of a memory through the calls below, or have memory_copy
 * take them all to a sink. A back end more is a file more.
 *
 * Pages are pulled, extent by extent, by the workers of a crew. Where blocks
 * lie in a file as they are (memory.file), the crew reads that, around the page
 * cache where that is better. A memory that has no such file (a VM; a stream
 * whose pages are decoded one by one) only has ops->read: it is given all the
 * runs of an extent at once, and sorts them if it likes. Extents are claimed in
 * the order of the blocks.
 */
#ifndef LIBMR_MEMORY_H
#define LIBMR_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/base/run.h"
#include "libmr/engine/crew.h"
#include "libmr/file/cached.h"
#include "libmr/mr.h"

struct memory;

struct memory_block {
	const char *name; /* the back end's */
	uint64_t length; /* bytes */
	uint64_t held; /* the same; 0: its memory was left out */
	uint64_t at; /* byte of memory.file where the block begins */
	uint64_t entry; /* byte of the file: for errors, or MR_NO_OFFSET */
	size_t index; /* the back end's: blocks may be left out and moved */
	uint64_t *bits; /* from memory_map, and one more word; or NULL */
	/* From memory_map: extents without a bit are what the base has. */
	bool partial;
};

struct memory_ops {
	/* Which pages may hold something else than zeros: sets their bits in
	 * a map of the whole block, clear before. 0; 1 if the block is
	 * partial; or -1. */
	int (*touched)(const struct memory *m, const struct memory_block *b,
		       uint64_t *bits, struct mr_error *err);
	/* Reads n runs of pages with a bit. Called by many threads at once: a
	 * back end that cannot bear that has to see to it itself. A failure
	 * says which page it is. */
	int (*read)(const struct memory *m, const struct memory_block *b,
		    const struct memory_run *runs, size_t n,
		    struct mr_error *err);
	/* The range in place, or NULL: read it. Pages without a bit in
	 * touched, which begins at offset, must not be looked at. NULL: the
	 * back end never can. */
	const void *(*view)(const struct memory *m,
			    const struct memory_block *b, uint64_t offset,
			    size_t length, const uint64_t *touched);
	/* What was viewed is not needed any more. */
	void (*view_done)(const struct memory *m, const struct memory_block *b,
			  uint64_t offset, size_t length);
	void (*free)(struct memory *m);
};

/* First member of each back end. */
struct memory {
	const struct memory_ops *ops;
	unsigned who; /* of the verb's arguments, as mr_error.who; 0: unsaid */
	const char *machine; /* type; "": not known */
	/* log2 of the target's page size, if a stream has to say it; else 0 */
	unsigned int page_bits;
	size_t page; /* bytes: what a bit of touched stands for */
	size_t target_page; /* bytes of a page of the machine's; 0: not known */
	bool exact; /* pages are touched only if they hold data */
	size_t extent; /* bytes that are best dealt with at a time */
	/* What the blocks lie in as they are; NULL: no file, or not so. */
	struct file *file;
	struct memory_block *blocks; /* memory_init's */
	size_t n;
	/* From memory_choose: the file is read around the page cache, but for
	 * what that has. */
	bool direct;
	struct cached cached;
	/* memory_prove's: what is copied is compared; NULL: it is not. */
	struct memory_proof *proof;
};

/* What back ends begin with: no blocks yet, and room for n. */
int memory_init(struct memory *m, const struct memory_ops *ops, size_t page,
		size_t n, struct mr_error *err);
void memory_free(struct memory *m); /* m may be NULL */

/* A mapped-ram image, which must outlive the memory. holes: pages that lie in
 * holes of the file do not count as touched. */
struct memory *memory_of_image(const struct mr_image *img, bool holes,
			       struct mr_error *err);

/*
 * Has memory_copy compare the pages of a mapped-ram image with its seal, once
 * all else is: m is that of the image, with its holes. 1; also of a pack, of
 * which nothing is ever read unseen. 0: it has no seal. -1: *err is MR_FORMAT
 * if something is not as it was sealed. img must outlive m.
 */
int memory_prove(struct memory *m, const struct mr_image *img,
		 struct mr_error *err);
void memory_proof_free(struct memory_proof *p); /* p may be NULL */

struct guest;
/* A paused VM after guest_map; g must outlive the memory. in_place: what
 * guest_view_at has is given in place. */
struct memory *memory_of_guest(struct guest *g, enum mr_zero_copy in_place,
			       struct mr_error *err);
/*
 * Of blocks that are a private mapping of the image base, where it has them,
 * memory_map then sets only bits of extents of `extent` bytes (or the memory's
 * own, if that is more) in which a page
 * was changed since, and calls the block partial; there all pages that may
 * hold data have a bit. base must outlive m.
 */
void memory_since(struct memory *m, const struct mr_image *base, size_t extent);

/* What to count its memory in: pages of the machine's, as far as is known. */
static inline size_t memory_unit(const struct memory *m)
{
	return m->target_page ? m->target_page : m->page;
}

/* Bits that a map of the block has: a part of a page counts. */
static inline uint64_t memory_pages(const struct memory *m,
				    const struct memory_block *b)
{
	return b->length / m->page + (b->length % m->page != 0);
}

/* Has b->bits made, a map of what was touched, if there is none; a block that
 * is not held has none. *bytes grows by the pages in it; may be NULL. */
int memory_map(const struct memory *m, struct memory_block *b, uint64_t *bytes,
	       struct mr_error *err);

/* Whether the file is read around the page cache by who wants so many bytes in
 * all: for a few it takes longer to set that up than to do without. */
void memory_choose(struct memory *m, enum mr_direct direct, uint64_t bytes);

/*
 * Which of `pages` pages of `unit` bytes, from page `first` of the block on,
 * may hold data: bits, as in ops->touched, in a map of these. unit divides
 * m->page, or is a multiple of it.
 */
int memory_touched(const struct memory *m, const struct memory_block *b,
		   size_t unit, uint64_t first, uint64_t pages, uint64_t *bits,
		   struct mr_error *err);

/* As ops->read. */
int memory_read(const struct memory *m, const struct memory_block *b,
		const struct memory_run *runs, size_t n, struct mr_error *err);

/* A stretch of a block in somebody's hands: an extent of a crew, mostly. */
struct memory_part {
	const struct memory_block *block;
	uint64_t offset; /* in the block, bytes; whole pages */
	size_t unit; /* bytes of a page of this part */
	size_t pages;
	const uint64_t *bits; /* of its pages, the first one's is bit 0 */
	unsigned char *buf; /* of its first page */
	/* The block in place: pages without a bit here are taboo. NULL: buf is
	 * ours. */
	const uint64_t *touched;
	/* What lies in buf between pages with a bit must stay as it is. */
	bool apart;
};

/*
 * Reads the pages of a part that have a bit, in two calls: what can be left to
 * the crew is under way after the first, and in buf, with all else, after the
 * second, which is the first thing that the slot's next stage does. The plan
 * has own_errors. Other pages of buf then hold anything. memory_fetch returns
 * the bytes that were or will be read, or -1.
 */
int64_t memory_fetch(const struct memory *m, const struct memory_part *p,
		     struct crew_worker *w, struct crew_slot *s,
		     struct mr_error *err);
int memory_fetched(const struct memory *m, const struct memory_part *p,
		   const struct crew_slot *s, struct mr_error *err);

/* Whether a part that was fetched is as it was sealed, if the memory has a
 * proof: whole extents of m->extent bytes. 0 or -1. */
int memory_prove_part(const struct memory *m, const struct memory_part *p,
		      struct mr_error *err);

/* Makes those of a part's pages from .. to - 1 zero that have no bit. */
void memory_blank(const struct memory_part *p, size_t from, size_t to);

/*
 * The runs of a part, ready to be written: joined over gaps of less than `gap`
 * bytes, which are made zero, or left out of a part in place. offset is in the
 * block.
 */
void memory_runs(const struct memory_part *p, size_t gap,
		 void (*fn)(void *arg, uint64_t offset,
			    const unsigned char *bytes, size_t length),
		 void *arg);

#endif
