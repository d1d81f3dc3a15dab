/* frame.c - a zstd frame of a pack, unpacked. */
#include "libmr/pack/frame.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "libmr/base/error.h"
#include "libmr/base/hash.h"

bool frame_size_ok(const struct pack_place *place)
{
	return place->size && place->size <= PACK_PACKED_MAX(place->content);
}

static int make_room(struct unpacker *u, size_t size, struct mr_error *err)
{
	if (!u->zstd)
		u->zstd = ZSTD_createDCtx();
	if (u->room < size) {
		free(u->packed);
		u->packed = malloc(size);
		u->room = u->packed ? size : 0;
	}
	return u->zstd && u->packed ? 0
				    : error_set(err, MR_NOMEM, MR_NO_OFFSET,
						"no memory to unpack a frame");
}

static int refuse(const struct pack_place *place, const char *why,
		  struct mr_error *err)
{
	return error_set(err, MR_FORMAT, place->offset,
			 "pack: the frame in bytes %" PRIu64 "-%" PRIu64 " %s",
			 place->offset, place->offset + place->size - 1, why);
}

int frame_fetch(struct unpacker *u, struct io *file,
		const struct pack_place *place, struct mr_error *err)
{
	return make_room(u, place->size, err) ||
			       io_read_full(file, u->packed, place->size,
					    place->offset, err)
		       ? -1
		       : 0;
}

static bool agrees(const uint8_t *packed, const struct pack_place *place)
{
	struct seal_digest d = hash_bytes(packed, place->size);

	return !memcmp(&d, &place->digest, sizeof(d));
}

bool frame_agrees(const struct unpacker *u, const struct pack_place *place)
{
	return agrees(u->packed, place);
}

static int check_form(const uint8_t *packed, const struct pack_place *place,
		      struct mr_error *err)
{
	size_t size = place->size;

	if (!pack_is_zstd(packed, size) ||
	    ZSTD_findFrameCompressedSize(packed, size) != size)
		return refuse(place, "is not one zstd frame", err);
	if (ZSTD_getFrameContentSize(packed, size) != place->content)
		return refuse(place,
			      "does not say that it holds what the index says",
			      err);
	return 0;
}

int frame_check(const uint8_t *packed, const struct pack_place *place,
		struct mr_error *err)
{
	if (!agrees(packed, place))
		return refuse(place, "is damaged: its digest differs", err);
	return check_form(packed, place, err);
}

int frame_unpack(struct unpacker *u, const struct pack_place *place,
		 uint8_t *to, struct mr_error *err)
{
	size_t size = place->size, n;

	if (check_form(u->packed, place, err))
		return -1;
	n = ZSTD_decompressDCtx(u->zstd, to, place->content, u->packed, size);
	if (ZSTD_isError(n) || n != place->content)
		return refuse(place, "cannot be unpacked", err);
	return 0;
}

int frame_read(struct unpacker *u, struct io *file,
	       const struct pack_place *place, uint8_t *to,
	       struct mr_error *err)
{
	if (frame_fetch(u, file, place, err) ||
	    frame_check(u->packed, place, err))
		return -1;
	return frame_unpack(u, place, to, err);
}

void unpacker_release(struct unpacker *u)
{
	(void)ZSTD_freeDCtx(u->zstd);
	free(u->packed);
	*u = (struct unpacker)UNPACKER_NONE;
}
