/* seal.c - is all but the pages as it was sealed? */
#include <inttypes.h>

#include "libmr/base/error.h"
#include "libmr/image/image.h"
#include "libmr/seal/proof.h"

/* It is of this file, and not of what was in its place. */
static int check_place(const struct mr_image_info *info, const struct sealed *s,
		       struct mr_error *why)
{
	if (s->head.blocks != info->n_blocks)
		return error_set(why, MR_FORMAT, s->head.seal_offset,
				 "the seal is of %" PRIu32
				 " RAM blocks, and there are %zu",
				 s->head.blocks, info->n_blocks);
	if (info->ended && s->head.seal_offset != info->stream_end)
		return error_set(why, MR_FORMAT, info->stream_end,
				 "there is something before the seal that is "
				 "not sealed");
	return 0;
}

/* 1: as it was sealed; 0: there is no seal; -1: *why. */
static int prove(const struct mr_image *img, struct mr_error *why)
{
	struct sealed s = { 0 };
	int rc = sealed_open(&s, img->io, why);

	if (!rc && img->info.sealed)
		rc = error_set(why, MR_FORMAT, img->info.stream_end,
			       "the seal is damaged or cut off: its end is "
			       "lost");
	if (rc > 0 && (check_place(&img->info, &s, why) || proof_rest(&s, why)))
		rc = -1;
	sealed_release(&s);
	return rc;
}

int mr_image_seal(const struct mr_image *img, enum mr_seal_state *state,
		  struct mr_error *why, struct mr_error *err)
{
	int rc;

	*why = (struct mr_error)MR_ERROR_INIT;
	*state = img->packed ? MR_SEAL_FRAMES : MR_SEAL_ABSENT;
	if (img->info.kind != MR_IMAGE_MAPPED)
		return 0;
	rc = prove(img, why);
	if (rc < 0 && !error_is_damage(why)) {
		*err = *why;
		return -1;
	}
	if (rc)
		*state = rc > 0 ? MR_SEAL_PROVEN : MR_SEAL_BROKEN;
	return 0;
}

const char *mr_seal_state_name(enum mr_seal_state state)
{
	static const char *const names[] = {
		[MR_SEAL_UNKNOWN] = "unknown", [MR_SEAL_ABSENT] = "absent",
		[MR_SEAL_PROVEN] = "proven",   [MR_SEAL_BROKEN] = "broken",
		[MR_SEAL_FRAMES] = "frames",
	};

	return names[state];
}
