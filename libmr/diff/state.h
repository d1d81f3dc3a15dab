/*
 * state.h - the parts of the verb mr_diff.
 *
 *   diff.c    what there is on both sides, matched by name; the results
 *   side.c    a side: an image, or a paused VM
 *   pages.c   the crew's work: which pages hold data, which differ
 *   device.c  device sections
 *   fields.c  what of them differs, by the vmdescription
 *
 * A page is one bit in three maps: A holds data, B holds data, they differ.
 * The first two begin as what the image's bitmap, or the kernel for a VM,
 * says, and lose the bits of pages that turn out to be zero.
 */
#ifndef LIBMR_DIFF_STATE_H
#define LIBMR_DIFF_STATE_H

#include "libmr/file/cached.h"
#include "libmr/vm/device_state.h"
#include "libmr/vm/guest.h"
#include "libmr/image/image.h"
#include "libmr/mr.h"
#include "libmr/vm/qmp.h"
#include "libmr/vm/still.h"

struct diff_side {
	const char *path;
	unsigned who; /* of errors about it (mr_error.who) */
	/* An image, or else */
	struct mr_image *img;
	struct cached cached;
	/* a paused VM. */
	struct qmp *q;
	struct guest *guest;
	struct still still;
	struct device_state state;
	struct mem_io state_io;
	struct mr_image *state_img; /* over state_io */
};

/* A block as one side has it. */
struct diff_view {
	const char *name; /* the side's */
	uint64_t length; /* bytes */
	uint32_t page_size;
	bool in_file;
	const struct mr_block *image;
	const struct guest_block *guest;
};

struct diff_block {
	struct diff_view of[MR_SIDES];
	uint64_t first; /* page of the block that bit 0 of the maps is */
	uint64_t pages; /* compared: bits of each map */
	uint64_t *bits[MR_SIDES];
	uint64_t *differ;
};

struct mr_diff {
	struct diff_side side[MR_SIDES];
	struct mr_diff_options options;
	struct mr_diff_info info; /* its arrays are the ones below */
	struct mr_diff_block *blocks;
	struct diff_block *work; /* one for each of blocks */
	struct mr_diff_section *sections;
	size_t (*section_at)[MR_SIDES]; /* among each side's sections */
	/* By the description of the side itself or one that it borrows; made
	 * when fields are first asked for. */
	struct mr_devices *devices[MR_SIDES];
	bool ranged; /* `only` wants less than a block */
	bool direct; /* what is not cached is read around the page cache */
	atomic_bool differs; /* set by the workers */
};

/* Each returns 0, or -1 with *err filled: err->who is right where it is about
 * a side. */

/* Opens what path is, the verb's argument number who. A VM must be paused, and
 * stays so. */
int diff_side_open(struct diff_side *s, const char *path, unsigned who,
		   const struct mr_diff_options *o, struct mr_error *err);
/* s may be all zero. */
void diff_side_release(struct diff_side *s);

size_t diff_side_blocks(const struct diff_side *s);
/* Block i; false: one that does not count (empty, or not migratable). */
bool diff_side_block(const struct diff_side *s, size_t i, struct diff_view *v);

/*
 * Which pages of `unit` bytes may hold data: sets bits, cleared by the caller,
 * for the `pages` of them from page `first` (a multiple of 64) on. unit
 * divides the view's page size and GUEST_PAGE.
 */
int diff_side_bits(const struct diff_side *s, const struct diff_view *v,
		   size_t unit, uint64_t first, uint64_t pages, uint64_t *bits,
		   struct mr_error *err);

/* Asks a VM for its device state; *img becomes what to look into: the side's,
 * for images it is the image itself. */
int diff_side_devices(struct diff_side *s, const struct mr_image **img,
		      struct mr_error *err);
/* Fails if a VM has run since it was opened. */
int diff_side_stood_still(struct diff_side *s, struct mr_error *err);

/* Compares all pages of d->work. */
int diff_pages(struct mr_diff *d, struct mr_error *err);

/* Compares the device sections: fills d->sections. */
int diff_devices(struct mr_diff *d, struct mr_error *err);
void diff_devices_release(struct mr_diff *d);
/* The same of what fields.c keeps in d. */
void diff_fields_release(struct mr_diff *d);

#endif
