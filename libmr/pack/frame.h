/* frame.h - a zstd frame of a pack, unpacked. */
#ifndef LIBMR_PACK_FRAME_H
#define LIBMR_PACK_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "formats/pack.h"
#include "libmr/file/io.h"

/* What it takes. One for each thread that unpacks. */
struct unpacker {
	void *zstd; /* ZSTD_DCtx */
	uint8_t *packed; /* the frame as it is in the file */
	size_t room;
};
#define UNPACKER_NONE        \
	{                    \
		.zstd = NULL \
	}

/*
 * The frame at a place of the file, whose index is whole: checks its digest,
 * then that it is one frame and says that it holds place->content bytes, and
 * only then unpacks it to `to`, which has room for those. MR_FORMAT: "pack:
 * ...", with where it is in the file.
 */
int frame_read(struct unpacker *u, struct io *file,
	       const struct pack_place *place, uint8_t *to,
	       struct mr_error *err);

/* The frame's bytes, as they are in the file: whether its digest is right, and
 * that it is one frame and says that it holds place->content bytes. */
int frame_check(const uint8_t *packed, const struct pack_place *place,
		struct mr_error *err);

/* The same step by step: u->packed becomes what is in the file; whether its
 * digest is right; and what it holds. */
int frame_fetch(struct unpacker *u, struct io *file,
		const struct pack_place *place, struct mr_error *err);
bool frame_agrees(const struct unpacker *u, const struct pack_place *place);
int frame_unpack(struct unpacker *u, const struct pack_place *place,
		 uint8_t *to, struct mr_error *err);

void unpacker_release(struct unpacker *u);

/* Whether a place can be that of a frame: as many bytes are never needed for
 * what it holds. */
bool frame_size_ok(const struct pack_place *place);

#endif
