/*
 * capture.h - the index of a captured migration (capture.md).
 *
 *   head     0  8  magic 8b 6d 72 63 61 70 74 0a
 *            8  4  version = 1
 *           12  4  zero
 *   record   0  2  kind: 1 bytes have come, 2 the connection has ended
 *            2  2  connection: 0 main, 1 + n channel n
 *            4  4  bytes that have come
 *            8  8  nanoseconds since the capture began
 *
 * Records follow each other to the end of the file. All integers are
 * big-endian. Decoders as in stream.h.
 */
#ifndef FORMATS_CAPTURE_H
#define FORMATS_CAPTURE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/fault.h"

#define CAPTURE_MAIN_FILE "main"
#define CAPTURE_INDEX_FILE "index"
#define CAPTURE_CHANNEL_FILE "channel-" /* and its number */

enum {
	CAPTURE_VERSION = 1,
	CAPTURE_HEAD_SIZE = 16,
	CAPTURE_RECORD_SIZE = 16,
	CAPTURE_CONNECTIONS = 256,
};

enum capture_kind { CAPTURE_BYTES = 1, CAPTURE_END = 2 };

struct capture_record {
	enum capture_kind kind;
	uint16_t connection;
	uint32_t bytes; /* END: 0 */
	uint64_t ns;
};

ssize_t capture_head_decode(const uint8_t *buf, size_t len, struct fault *f);
size_t capture_head_encode(uint8_t buf[CAPTURE_HEAD_SIZE]);

ssize_t capture_record_decode(const uint8_t *buf, size_t len,
			      struct capture_record *out, struct fault *f);
size_t capture_record_encode(uint8_t buf[CAPTURE_RECORD_SIZE],
			     const struct capture_record *r);

#endif
