/*
 * colo.h - the words of COLO on the main connection (colo.md).
 *
 * A primary (P) sends its VM to a secondary (S) again and again: after the
 * stream of an ordinary migration both say u32, big-endian, nothing around
 * them:
 *
 *   0 CHECKPOINT_READY     S  once: it has all of the migration
 *   1 CHECKPOINT_REQUEST   P  a checkpoint is due
 *   2 CHECKPOINT_REPLY     S  then P stops its VM
 *   3 VMSTATE_SEND         P  memory follows: END sections of "ram", EOF
 *   4 VMSTATE_SIZE         P  u64 n follows, and n bytes of device state
 *   5 VMSTATE_RECEIVED     S  it has them
 *   6 VMSTATE_LOADED       S  then P's VM goes on
 *
 * Facts from QEMU 10.0 migration/colo.c, qapi/migration.json, checked on a
 * primary of QEMU 11.1. Decoders as in stream.h.
 */
#ifndef FORMATS_COLO_H
#define FORMATS_COLO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/fault.h"

enum colo_message {
	COLO_READY = 0,
	COLO_REQUEST = 1,
	COLO_REPLY = 2,
	COLO_SEND = 3,
	COLO_SIZE = 4,
	COLO_RECEIVED = 5,
	COLO_LOADED = 6,
};

enum {
	COLO_WORD = 4, /* bytes of a message */
	COLO_MAX = 12, /* of the one that has a number behind it */
};

struct colo_word {
	enum colo_message message;
	uint64_t size; /* bytes that follow COLO_SIZE; else 0 */
};

ssize_t colo_decode(const uint8_t *buf, size_t len, struct colo_word *out,
		    struct fault *f);

/* Returns the bytes written. */
size_t colo_encode(uint8_t buf[COLO_MAX], const struct colo_word *w);

/* "checkpoint-ready", "checkpoint-request", ...; NULL for what is none. */
const char *colo_name(unsigned int message);

#endif
