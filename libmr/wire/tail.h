/*
 * tail.h - what comes behind the memory: device state and its description.
 *
 * Device sections do not say how long they are, and the source may keep the
 * connection open behind the last one. A guest can plant bytes in a device that
 * look like the end; so an end is believed only if the description that stands
 * there, walked section by section, comes to its very own beginning.
 */
#ifndef LIBMR_TAIL_H
#define LIBMR_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/name.h"
#include "formats/stream.h"
#include "libmr/image/writer.h"
#include "libmr/mr.h"

/* No machine's is longer: a source that goes on for ever is stopped here. */
#define TAIL_MAX ((size_t)1 << 30)

/* Texts that look like a description: at a time, and in all. */
#define TAIL_OPEN 16
#define TAIL_TRIES 256

struct tail {
	uint8_t *bytes; /* FULL sections, EOF, description: ours */
	size_t len, room;
	size_t looked; /* texts that begin before this byte are known */
	/* Where those that may be a description begin, which have not come
	 * wholly. */
	size_t open[TAIL_OPEN];
	unsigned n_open, tried;
	bool no_state; /* the run state is there, and not to be understood */
	/* From tail_ended on. */
	size_t device; /* bytes of sections and EOF */
	size_t description; /* byte where its text begins; to the end */
	char run_state[STREAM_RUNSTATE_SIZE]; /* "": not said */
};

/* t is { 0 } to begin with. More of what came. */
int tail_add(struct tail *t, const uint8_t *bytes, size_t n,
	     struct mr_error *err);

/* Whether the end has come: 1, and what came behind it is not looked at; 0: not
 * yet; or -1. page_size: the description's has to be that. */
int tail_ended(struct tail *t, uint32_t page_size, struct mr_error *err);

/* Whether a text of len bytes describes all that was added, of which the last
 * byte is EOF: 1, and the run state is known; 0; or -1. */
int tail_described(struct tail *t, const uint8_t *text, size_t len,
		   uint32_t page_size, struct mr_error *err);

/* After tail_ended, for an image; it points into t. */
struct image_device tail_device(const struct tail *t);

void tail_release(struct tail *t);

#endif
