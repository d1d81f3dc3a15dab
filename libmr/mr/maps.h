/* mr/maps.h - virtual addresses of memory, where a kernel maps it. */
#ifndef LIBMR_MR_MAPS_H
#define LIBMR_MR_MAPS_H

#include <stddef.h>
#include <stdint.h>

#include "libmr/mr/error.h"
#include "libmr/mr/layout.h"
#include "libmr/mr/ram.h"
#include "libmr/mr/virtual.h"

#pragma GCC visibility push(default)

/*
 * A kernel maps memory, all of it or its own part, one to one: a byte is at its
 * guest-physical address plus a number, in the upper half of addresses.
 */
#define MR_MAPS 16u /* that are looked for */

struct mr_maps {
	struct mr_paging paging;
	size_t n;
	uint64_t delta[MR_MAPS]; /* the numbers; by themselves they say nothing
				  */
};

/*
 * Looks for maps in page tables of x86_64: where Linux is linked for, and where
 * that begins which each entry of the first level maps. l is from
 * mr_ram_layout. Fails only if memory cannot be read. 0 or -1.
 */
int mr_maps_find(struct mr_ram *ram, const struct mr_paging *p,
		 const struct mr_layout *l, struct mr_maps *out,
		 struct mr_error *err);

/*
 * The virtual addresses that len bytes of the memory's block b have by maps:
 * not those that could be, but those from which the page tables lead to the
 * first and the last of these bytes. *n of them, in order. Fails only if memory
 * cannot be read. 0 or -1.
 */
int mr_maps_names(const struct mr_maps *maps, struct mr_ram *ram,
		  const struct mr_layout *l, const struct mr_ram_block *b,
		  uint64_t offset, uint64_t len, uint64_t out[MR_MAPS],
		  size_t *n, struct mr_error *err);

#pragma GCC visibility pop

#endif
