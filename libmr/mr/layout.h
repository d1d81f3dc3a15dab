/* mr/layout.h - guest-physical addresses: which bytes of which block. */
#ifndef LIBMR_MR_LAYOUT_H
#define LIBMR_MR_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr/error.h"
#include "libmr/mr/image.h"

#pragma GCC visibility push(default)

/* A stretch of addresses that lies in one block, in order. */
struct mr_layout_range {
	uint64_t gpa, length; /* bytes; at least one */
	const struct mr_block *block; /* the image's */
	uint64_t offset; /* in it, bytes */
	bool firmware; /* a ROM is read there, no RAM */
	char how[240]; /* in words: what this was derived from */
};

struct mr_layout {
	size_t n_ranges;
	struct mr_layout_range *ranges; /* in order of addresses, apart */
	/* Blocks that are, or may be, memory of which nothing tells where it
	 * is: DIMMs, virtio-mem, what devices share. */
	size_t n_unplaced;
	const struct mr_block **unplaced;
};

/* Reads memory of a block of the image. 0 or -1. */
typedef int (*mr_layout_read)(void *arg, const struct mr_block *b,
			      uint64_t offset, void *buf, size_t len,
			      struct mr_error *err);

/*
 * Where the memory of a pc, q35, microvm, or of an aarch64 virt machine is, as
 * far as the image proves it: by its ACPI tables, which are read through read
 * (NULL: they cannot be), the clock's CMOS, the lengths and names of blocks.
 * The caller frees it, before the image. NULL: MR_UNSUPPORTED: it is another
 * machine, or blocks could be at one place or another; or it can't be read.
 */
struct mr_layout *mr_image_layout(const struct mr_image *img,
				  mr_layout_read read, void *arg,
				  struct mr_error *err);
void mr_layout_free(struct mr_layout *l); /* l may be NULL */

/* Has an unplaced block be at gpa, because somebody knows, "as ..." how; it is
 * unplaced no more. MR_USAGE: it would overlap. 0 or -1. */
int mr_layout_put(struct mr_layout *l, const struct mr_block *b, uint64_t gpa,
		  const char *how, struct mr_error *err);
/* Has it be nowhere. */
void mr_layout_drop(struct mr_layout *l, const struct mr_block *b);

struct mr_place {
	const struct mr_block *block; /* the image's */
	uint64_t offset; /* in it, bytes */
	uint64_t length; /* that many bytes go on like that; at least 1 */
	char how[240]; /* in words: what this was derived from */
};

/* Where the byte at a guest-physical address is. MR_UNSUPPORTED: no RAM or
 * firmware is known there. 0 or -1. */
int mr_layout_find(const struct mr_layout *l, uint64_t gpa,
		   struct mr_place *out, struct mr_error *err);

#pragma GCC visibility pop

#endif
