/*
 * layout.h - what the parts of a layout share.
 *
 *   layout.c    what is at which address
 *   backing.c   where RAM is, and which blocks it is made of
 */
#ifndef LIBMR_DEVICES_LAYOUT_H
#define LIBMR_DEVICES_LAYOUT_H

#include "libmr/mr.h"

enum layout_machine { LAYOUT_I440FX, LAYOUT_Q35, LAYOUT_MICROVM, LAYOUT_VIRT };

/* NUMA nodes that QEMU can have. */
#define LAYOUT_NODES 128u

/* All RAM that a machine begins with: one memory that its blocks make one
 * behind the other, and that is mapped in one or two pieces. */
struct layout_ram {
	struct {
		uint64_t gpa, length; /* bytes */
	} pieces[2];
	size_t n_pieces;
	const struct mr_block *blocks[LAYOUT_NODES];
	size_t n_blocks;
	char how[120]; /* "by ..." */
};

struct layout {
	struct mr_layout layout;
	const struct mr_image *img;
	mr_layout_read read; /* may be NULL */
	void *arg;
	enum layout_machine machine;
	struct layout_ram ram;
};

/* The first bytes of a section's payload. 1, 0: there is none, -1. */
int layout_section(const struct mr_image *img, const char *name,
		   uint32_t version, uint8_t *buf, size_t len,
		   struct mr_error *err);

/* Finds l->ram, and what is unplaced. */
int layout_find_ram(struct layout *l, struct mr_error *err);

#endif
