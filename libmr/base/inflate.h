/*
 * inflate.h - a zlib stream that is all there, and gives what is known.
 */
#ifndef LIBMR_INFLATE_H
#define LIBMR_INFLATE_H

#include <stddef.h>
#include <stdint.h>

#include "libmr/mr.h"

/*
 * The len bytes at in must be one zlib stream, and give `want` bytes: no fewer,
 * no more. MR_FORMAT, with the byte of in; out is of no use then. MR_NOMEM.
 */
int inflate_whole(const uint8_t *in, size_t len, uint8_t *out, size_t want,
		  struct mr_error *err);

#endif
