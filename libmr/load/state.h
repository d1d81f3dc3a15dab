/*
 * state.h - what the ways to load share. Private to libmr/load.
 */
#ifndef LIBMR_LOAD_STATE_H
#define LIBMR_LOAD_STATE_H

#include "libmr/vm/guest.h"
#include "libmr/image/image.h"
#include "libmr/mr.h"

/*
 * Opens the image and makes sure that all it describes is there: MR_REFUSED
 * if it is no image, or one that ends early or restores to nothing. for_vm:
 * a plain stream is fine, but not what QEMU cannot load. *present is the bytes
 * of memory in a mapped-ram image.
 */
struct mr_image *load_open(const char *path, enum mr_direct direct, bool for_vm,
			   const struct mr_watch *watch, uint64_t *present,
			   struct mr_error *err);

/* Tells every reason why the image's VM is not this one, whose target has been
 * asked for. Returns how many there are. tell may be NULL. */
size_t load_compare(const struct mr_image_info *image, const struct guest *g,
		    void (*tell)(void *arg, const char *line), void *arg);

#endif
