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

#endif
