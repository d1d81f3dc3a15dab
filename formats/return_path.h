/*
 * return_path.h - what a destination says to the source (return_path.md).
 *
 * On the main connection, backwards, messages of
 *
 *   u16 type, u16 n, n bytes
 *
 *   1 SHUT             4  u32: 0 if it has all, else not
 *   2 PONG             4  u32: the value of the PING that it answers
 *   3 REQ_PAGES_ID     13 .. 268   (postcopy)
 *   4 REQ_PAGES        12          (postcopy)
 *   5 RECV_BITMAP      2 .. 256    (postcopy)
 *   6 RESUME_ACK       4           (postcopy)
 *   7 SWITCHOVER_ACK   0
 *
 * All integers are big-endian. Facts from QEMU 10.0 migration/migration.c,
 * savevm.c. Decoders as in stream.h.
 */
#ifndef FORMATS_RETURN_PATH_H
#define FORMATS_RETURN_PATH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/fault.h"

enum return_path_type {
	RETURN_PATH_SHUT = 1,
	RETURN_PATH_PONG = 2,
	RETURN_PATH_REQ_PAGES_ID = 3,
	RETURN_PATH_REQ_PAGES = 4,
	RETURN_PATH_RECV_BITMAP = 5,
	RETURN_PATH_RESUME_ACK = 6,
	RETURN_PATH_SWITCHOVER_ACK = 7,
};

enum {
	RETURN_PATH_HEADER_SIZE = 4,
	RETURN_PATH_MAX = 8, /* of those that we write */
};

struct return_path_message {
	enum return_path_type type;
	uint32_t value; /* SHUT, PONG, RESUME_ACK */
};

/* A whole message; one of those for postcopy is passed by its length. */
ssize_t return_path_decode(const uint8_t *buf, size_t len,
			   struct return_path_message *out, struct fault *f);

/* SHUT, PONG or SWITCHOVER_ACK; returns the bytes written. */
size_t return_path_encode(uint8_t buf[RETURN_PATH_MAX],
			  const struct return_path_message *m);

/* "shut", "pong", ...; NULL for what is no type. */
const char *return_path_name(unsigned int type);

#endif
