/* mr/drawing.h - a picture of what was found, as a file. */
#ifndef LIBMR_MR_DRAWING_H
#define LIBMR_MR_DRAWING_H

#include <stddef.h>

#include "libmr/mr/error.h"

#pragma GCC visibility push(default)

/*
 * Writes an SVG, len bytes that begin with "<svg ", into the file path, mode
 * 0600: it is absent, the old drawing or the complete new one at every
 * instant. MR_REFUSED: something else has that name. 0 or -1.
 */
int mr_drawing_write(const char *path, const char *svg, size_t len,
		     struct mr_error *err);

#pragma GCC visibility pop

#endif
