/*
 * decompress.h - the data of a packet, whatever it was packed with
 * (multifd.md).
 *
 * One for each channel: zlib's and zstd's streams go on from packet to packet,
 * and what is lost of one is missing in all that follow.
 */
#ifndef LIBMR_DECOMPRESS_H
#define LIBMR_DECOMPRESS_H

#include <stddef.h>
#include <stdint.h>

#include "formats/multifd.h"
#include "libmr/mr.h"

struct decompressor;

/* Takes nothing of a library before a packet needs it. MR_NOMEM. */
struct decompressor *decompressor_new(uint32_t page_size, struct mr_error *err);
void decompressor_free(struct decompressor *u); /* u may be NULL */

/*
 * p has a method, the same as all packets before, and normal pages; in are its
 * p->size bytes. Fills just p->normal pages at out. MR_FORMAT, at a byte of in:
 * something else is in there, or more, or less.
 */
int decompress(struct decompressor *u, const struct multifd_packet *p,
	       const uint8_t *in, unsigned char *out, struct mr_error *err);

#endif
