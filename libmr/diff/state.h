/*
 * state.h - the parts of the verb mr_diff.
 *
 *   diff.c    what there is on both sides, matched by name; the results
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

#include "libmr/memory/ram.h"
#include "libmr/mr.h"

struct diff_block {
	const struct memory_block *of[MR_SIDES]; /* NULL: not there */
	uint64_t first; /* page of the block that bit 0 of the maps is */
	uint64_t pages; /* compared: bits of each map */
	uint64_t length; /* bytes of them */
	uint64_t *bits[MR_SIDES];
	uint64_t *differ;
};

struct mr_diff {
	struct mr_ram *side[MR_SIDES];
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
	atomic_bool differs; /* set by the workers */
};

/* Each returns 0, or -1 with *err filled: err->who is right where it is about
 * a side. */

/* Compares all pages of d->work. */
int diff_pages(struct mr_diff *d, struct mr_error *err);

/* Compares the device sections: fills d->sections. */
int diff_devices(struct mr_diff *d, struct mr_error *err);
void diff_devices_release(struct mr_diff *d);
/* The same of what fields.c keeps in d. */
void diff_fields_release(struct mr_diff *d);

#endif
