/* run.h - a piece of a RAM block, and where it is to be read to. */
#ifndef LIBMR_RUN_H
#define LIBMR_RUN_H

#include <stddef.h>
#include <stdint.h>

struct memory_run {
	uint64_t offset; /* in the block */
	size_t length;
	void *dest;
};

#endif
