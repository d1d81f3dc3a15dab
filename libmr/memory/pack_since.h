/* pack_since.h - what an increment leaves out: what its base has already. */
#ifndef LIBMR_PACK_SINCE_H
#define LIBMR_PACK_SINCE_H

#include "libmr/pack/chain.h"

/*
 * e is an extent of a block of this name: all pages of it that are not zero are
 * there, at buf. Of the first `pages` pages those that the base has with the
 * same digest are left out, and those that are zero, and were not, are zero.
 * A page that the base knows nothing of stays as it is.
 */
int pack_since(const struct chain *base, struct pack_extent *e,
	       const char *block, size_t pages, const unsigned char *buf,
	       struct mr_error *err);

#endif
