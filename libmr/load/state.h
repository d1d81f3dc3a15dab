/*
 * state.h - what the ways to load share. Private to libmr/load.
 */
#ifndef LIBMR_LOAD_STATE_H
#define LIBMR_LOAD_STATE_H

#include "libmr/vm/guest.h"
#include "libmr/image/loadable.h"
#include "libmr/mr.h"

/* Whether QEMU takes the block's memory for being there already. */
bool load_left_out(const struct mr_image_info *image, const struct mr_block *b);

/*
 * Whether the memory of the VM can be looked at, *seen, as fresh_make has to.
 * MR_REFUSED: it cannot, and may hold something already; or it holds
 * nothing where it should. Not with force.
 */
int fresh_look(struct guest *g, struct qmp *q, const struct mr_image *img,
	       bool force, bool *seen, struct mr_error *err);
/* After fresh_look: makes zero what a mapped-ram image leaves alone. */
int fresh_make(struct guest *g, const struct mr_image *img,
	       const struct mr_watch *watch, struct mr_error *err);

/* Tells every reason why the image's VM is not this one, whose target has been
 * asked for, and its files if the image leaves memory to them. Returns how many
 * there are. tell may be NULL. */
size_t load_compare(const struct mr_image_info *image, const struct guest *g,
		    void (*tell)(void *arg, const char *line), void *arg);

#endif
