/* ram.h - struct mr_ram: a memory and whose it is. */
#ifndef LIBMR_RAM_H
#define LIBMR_RAM_H

#include "libmr/file/io.h"
#include "libmr/image/image.h"
#include "libmr/memory/memory.h"
#include "libmr/vm/paused.h"

struct mr_ram {
	struct memory *memory; /* block i is block i of info */
	struct mr_ram_info info;
	struct mr_ram_block *blocks;
	const struct mr_image *img; /* an image's, or else */
	struct mr_image *own; /* the same, if it is ours */
	struct paused_vm vm; /* a VM's */
	struct mem_io state_io;
	struct mr_image *state_img; /* over it */
	unsigned who; /* for its errors */
};

/* mr_ram_open, of the verb's argument number who (mr_error.who). holes: as
 * memory_of_image has it. */
struct mr_ram *ram_open(const char *path, unsigned who, bool holes,
			const struct mr_ram_options *options,
			struct mr_error *err);

/* A mr_layout_read; arg is the memory, and b a block of mr_ram_devices. */
int ram_read_block(void *arg, const struct mr_block *b, uint64_t offset,
		   void *buf, size_t len, struct mr_error *err);

#endif
