/*
 * multifd.h - memory that is sent over several connections (multifd.md).
 *
 * A channel is a connection from source to destination of its own. It begins
 * with an init,
 *
 *   off  size  field
 *     0     4  magic 11 22 33 44
 *     4     4  version = 1
 *     8    16  UUID of the source VM; zeros if it has none
 *    24     1  channel, 0 .. N - 1
 *    25    39  zero
 *
 * and goes on with packets, each a header and data:
 *
 *     0     4  magic 11 22 33 44
 *     4     4  version = 1
 *     8     4  flags
 *    12     4  pages that there is room for: at most C
 *    16     4  normal pages: n
 *    20     4  bytes of data behind the header
 *    24     8  number of the packet, over all channels
 *    32     4  zero pages: z                        (zero before QEMU 9.0)
 *    36    28  zero
 *    64   256  name of the RAM block of all its pages, NUL-terminated
 *   320    8C  byte offsets in the block: n normal pages, z zero pages, rest
 *   ...        data of the normal pages
 *
 * C = 512 KiB / page size. All integers are big-endian. Facts from QEMU 10.0
 * migration/multifd.c, multifd.h, multifd-nocomp.c, multifd-zlib.c,
 * multifd-zstd.c, multifd-qpl.c, multifd-uadk.c, multifd-qatzip.c,
 * multifd-device-state.c. Decoders as in stream.h.
 */
#ifndef FORMATS_MULTIFD_H
#define FORMATS_MULTIFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/fault.h"
#include "formats/name.h"

#define MULTIFD_MAGIC UINT32_C(0x11223344)

enum {
	MULTIFD_VERSION = 1,
	MULTIFD_CHANNELS_MAX = 255,
	MULTIFD_INIT_SIZE = 64,
	MULTIFD_HEADER_SIZE = 320, /* of a packet, up to its offsets */
	MULTIFD_PAGES_SIZE = 512
			     << 10, /* bytes of pages in a packet, at most */
	MULTIFD_PAGES_MAX = 2048, /* of 256 bytes, the least */
	MULTIFD_DEVICE_SIZE = 276, /* header of a packet of device state */
	MULTIFD_FLAGS_END = 12, /* bytes that say what kind of packet it is */
	MULTIFD_LENGTH_SIZE = 4, /* of an entry of qpl's and uadk's table */
};

enum multifd_flag {
	MULTIFD_SYNC = 0x01,
	MULTIFD_ZLIB = 0x02,
	MULTIFD_ZSTD = 0x04,
	MULTIFD_QPL = 0x08,
	MULTIFD_UADK = 0x10,
	MULTIFD_QATZIP = 0x20,
	MULTIFD_DEVICE_STATE = 0x40,
};
/* At most one of these: how the data is packed. */
#define MULTIFD_METHODS UINT32_C(0x3e)

/* "sync", "zlib", ...; "none" for 0; NULL for what is not one flag. */
const char *multifd_flag_name(uint32_t flag);

struct multifd_init {
	uint8_t uuid[16];
	uint8_t channel;
};

/* The bytes that are zero are not looked at, as QEMU does not. */
ssize_t multifd_init_decode(const uint8_t *buf, size_t len,
			    struct multifd_init *out, struct fault *f);
size_t multifd_init_encode(uint8_t buf[MULTIFD_INIT_SIZE],
			   const struct multifd_init *i);

struct multifd_packet {
	uint32_t flags; /* enum multifd_flag */
	uint32_t normal, zero; /* pages; the sum is at most C */
	uint32_t size; /* bytes of data behind the header; without pages 0 */
	uint64_t number;
	char block[NAME_SIZE]; /* "" where there is no page */
	uint64_t offset[MULTIFD_PAGES_MAX]; /* of both; what follows is 0 */
};

/* Bytes of a packet's header with its offsets; and the most that its data can
 * have, whatever it is packed with. The page size is a legal one. */
size_t multifd_packet_size(uint32_t page_size);
uint32_t multifd_data_max(uint32_t page_size);

/*
 * A header with its offsets. Refused: more pages than there is room for, pages
 * of no block, offsets that are no multiple of the page size, several methods,
 * pages without data, more data than the method can give
 * (nothing else bounds it), pages as they are that are not whole. That offsets
 * lie in the block is for the caller to check. A packet of device state is
 * FAULT_UNSUPPORTED: see multifd_device_decode.
 */
ssize_t multifd_packet_decode(const uint8_t *buf, size_t len,
			      uint32_t page_size, struct multifd_packet *out,
			      struct fault *f);
/* Writes multifd_packet_size bytes, and returns that. */
size_t multifd_packet_encode(uint8_t *buf, uint32_t page_size,
			     const struct multifd_packet *p);

/* Whether a packet that begins with these MULTIFD_FLAGS_END bytes is one of
 * device state. */
bool multifd_is_device(const uint8_t buf[MULTIFD_FLAGS_END]);

/*
 * Device state (VFIO, QEMU >= 10.0), in a shorter header:
 *
 *     0    12  magic, version, flags
 *    12   256  name of the device's section, NUL-terminated
 *   268     4  instance
 *   272     4  bytes of data behind the header
 */
struct multifd_device {
	char idstr[NAME_SIZE];
	uint32_t instance_id;
	uint32_t size;
};
ssize_t multifd_device_decode(const uint8_t *buf, size_t len,
			      struct multifd_device *out, struct fault *f);

/*
 * The table before the data of qpl and uadk: n lengths of 4 bytes, then the
 * pages, each of its length. len is all of the packet's data. One as long as a
 * page is stored as it is. Returns the bytes of the table.
 */
ssize_t multifd_lengths_decode(const uint8_t *buf, size_t len, uint32_t n,
			       uint32_t page_size, uint32_t *lengths,
			       struct fault *f);

#endif
