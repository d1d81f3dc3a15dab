/* mark.h - whether a file is what it was when it was looked at. */
#ifndef LIBMR_IMAGE_MARK_H
#define LIBMR_IMAGE_MARK_H

#include "libmr/image/image.h"

/* That of the open file, whoever has its name by now. 0 or -1. */
int image_mark(const struct mr_image *img, struct mr_file_mark *out,
	       struct mr_error *err);

/* 1: it is the same file, and nobody has written to it; 0: not so; -1. */
int image_is_as(const struct mr_image *img, const struct mr_file_mark *was,
		struct mr_error *err);

#endif
