/* loadable.h - opening an image that a guest is to be made of. */
#ifndef LIBMR_LOADABLE_H
#define LIBMR_LOADABLE_H

#include "libmr/image/image.h"

/*
 * Opens the image and makes sure that all it describes is there: MR_REFUSED
 * if it is no image, or one that ends early or restores to nothing. for_vm:
 * the pages of a plain stream are QEMU's to read. *present is the bytes of
 * memory in a mapped-ram image. home: what an increment stands on is looked for
 * beside this; NULL: beside path.
 */
struct mr_image *image_open_loadable(const char *path, const char *home,
				     enum mr_direct direct, bool for_vm,
				     const struct mr_watch *watch,
				     uint64_t *present, struct mr_error *err);

/*
 * Compares all but the pages with the seal: MR_REFUSED if that is broken, and
 * with force a note to watch. 0, and what the seal says in *state, or -1.
 */
int image_trust(const struct mr_image *img, bool force,
		const struct mr_watch *watch, enum mr_seal_state *state,
		struct mr_error *err);

#endif
