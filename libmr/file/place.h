/* place.h - what can be done with a file where it lies. */
#ifndef LIBMR_PLACE_H
#define LIBMR_PLACE_H

#include <stdbool.h>
#include <stdint.h>

/* Whether fd lies on a file system of that magic number (linux/magic.h). */
bool place_is(int fd, long magic);

/* Makes a hole: those bytes are zero then, and the size stays. 0, or -1 with
 * errno. */
int place_punch(int fd, uint64_t offset, uint64_t length);

#endif
