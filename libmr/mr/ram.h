/* mr/ram.h - somebody's memory: that of an image, or of a paused VM. */
#ifndef LIBMR_MR_RAM_H
#define LIBMR_MR_RAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmr/mr/error.h"
#include "libmr/mr/image.h"
#include "libmr/mr/layout.h"
#include "libmr/mr/watch.h"

#pragma GCC visibility push(default)

struct mr_ram_options {
	enum mr_direct direct; /* how an image is read */
	int pid; /* of a VM's QEMU; 0: the socket's peer */
	/* A VM: mr_ram_devices will be called. To ask whether it can be comes
	 * first then. */
	bool devices;
	struct mr_watch watch;
};

struct mr_ram_block {
	const char *name;
	uint64_t length; /* bytes */
	bool held; /* false: its memory was left out (x-ignore-shared) */
};

struct mr_ram_info {
	bool is_vm;
	char machine[256]; /* machine type; "": not said */
	uint32_t page_size; /* bytes */
	size_t n_blocks;
	const struct mr_ram_block *blocks;
};

struct mr_ram; /* opaque; for one call at a time */

/*
 * Opens what path is: an image (mapped-ram, or a plain stream), which must be
 * whole, or the QMP socket of a VM that is paused and stays so. MR_REFUSED:
 * the VM runs. NULL on failure.
 */
struct mr_ram *mr_ram_open(const char *path,
			   const struct mr_ram_options *options,
			   struct mr_error *err);
/* That of an open image, whole or not, which must outlive it; of a plain stream
 * opened with mr_image_open_memory. */
struct mr_ram *mr_ram_of_image(const struct mr_image *img,
			       struct mr_error *err);
/* A VM is let go here. ram may be NULL. */
void mr_ram_free(struct mr_ram *ram);

/* Valid, with all it points to, until the memory is freed. */
const struct mr_ram_info *mr_ram_info(const struct mr_ram *ram);
/* NULL: no block of that name. */
const struct mr_ram_block *mr_ram_find(const struct mr_ram *ram,
				       const char *name);

/*
 * len bytes of a block as the guest saw them: pages that are not there are
 * zero. *present is how many of the bytes are. 0 or -1.
 */
int mr_ram_read(struct mr_ram *ram, const struct mr_ram_block *b,
		uint64_t offset, void *buf, size_t len, size_t *present,
		struct mr_error *err);

/* Fails with MR_QMP if a VM has run since it was opened: what was read of it
 * then means nothing. */
int mr_ram_still(struct mr_ram *ram, struct mr_error *err);

/* The image; of a VM its device state, and the list of its blocks, as if they
 * were one. It is the memory's. NULL on failure. */
const struct mr_image *mr_ram_devices(struct mr_ram *ram, struct mr_error *err);

/* Where in it guest-physical addresses are (mr_image_layout, of that image);
 * the caller frees it, before the memory. */
struct mr_layout *mr_ram_layout(struct mr_ram *ram, struct mr_error *err);

#pragma GCC visibility pop

#endif
