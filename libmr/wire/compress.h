/*
 * compress.h - pages to the data of a packet (multifd.md): the reverse of
 * decompress.h.
 *
 * One for each channel: zlib's and zstd's streams go on from packet to packet.
 */
#ifndef LIBMR_COMPRESS_H
#define LIBMR_COMPRESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "formats/multifd.h"
#include "libmr/mr.h"

struct compressor;

/* method: MULTIFD_ZLIB, with level 0 .. 9, or MULTIFD_ZSTD, 0 .. 20. MR_NOMEM.
 */
struct compressor *compressor_new(uint32_t method, int level,
				  struct mr_error *err);
void compressor_free(struct compressor *p); /* p may be NULL */

/* The pages of a packet, in n pieces; room for multifd_data_max bytes at out.
 * *size is what it took. */
int compress_pages(struct compressor *p, const struct iovec *pieces, size_t n,
		   uint8_t *out, uint32_t room, uint32_t *size,
		   struct mr_error *err);

#endif
