/*
 * state.h - what the ways to load share. Private to libmr/load.
 */
#ifndef LIBMR_LOAD_STATE_H
#define LIBMR_LOAD_STATE_H

#include "libmr/vm/guest.h"
#include "libmr/image/loadable.h"
#include "libmr/mr.h"

/* Tells every reason why the image's VM is not this one, whose target has been
 * asked for. Returns how many there are. tell may be NULL. */
size_t load_compare(const struct mr_image_info *image, const struct guest *g,
		    void (*tell)(void *arg, const char *line), void *arg);

#endif
