/*
 * base.h - the image that another one is made from.
 *
 * Memory that is still what it is there is not written again: the new file
 * shares it with the base, where the file system can (reflink), and takes its
 * digests over from the base's seal.
 */
#ifndef LIBMR_IMAGE_BASE_H
#define LIBMR_IMAGE_BASE_H

#include "libmr/image/image.h"
#include "libmr/image/writer.h"
#include "libmr/seal/sealed.h"

struct image_base {
	int lock; /* a descriptor that has it, if locked */
	bool locked;
	struct mr_image *img;
	struct sealed seal;
	bool sealed;
	/* Pages can be told by their digests from those of the base: the image
	 * is sealed, and the base has nothing in the place of absent ones. */
	bool comparable;
	/* The new file was a copy of the base's pages before it was opened:
	 * nothing is to be shared. The caller's. */
	bool in_place;
};

/* Opens the base and locks it for reading. b is to be released, on failure
 * too. */
int image_base_open(struct image_base *b, const char *path,
		    const struct mr_watch *watch, struct mr_error *err);
void image_base_release(struct image_base *b); /* b may be { 0 } */

/* Whether w, just opened, can share what is in the base. -1: *err says why
 * not (MR_UNSUPPORTED). */
int image_base_try(struct image_base *b, struct image_writer *w,
		   struct mr_error *err);

/* Has block i of w begin as the base's of the same name and length: data,
 * bitmap, digests. 0; 1: it has none that could be shared; or -1. */
int image_base_keep(const struct image_base *b, struct image_writer *w,
		    size_t i, struct mr_error *err);

/* Pages of a place that image_base_sample takes. */
#define IMAGE_BASE_PLACE 64u

/*
 * The digests of some places in such a block, all over it, of IMAGE_BASE_PLACE
 * pages each, one of which at least is present in the base; firsts has their
 * first pages. Returns how many there are, at most n.
 */
size_t image_base_sample(const struct image_base *b, const char *name,
			 uint64_t length, uint64_t *firsts,
			 uint64_t (*digests)[IMAGE_BASE_PLACE], size_t n,
			 struct mr_error *err);

#endif
