/* grow.h - arrays that double. */
#ifndef LIBMR_GROW_H
#define LIBMR_GROW_H

#include <stddef.h>

/*
 * Room for one more behind the n things of `size` bytes that *array (a pointer
 * to any kind of thing, from malloc or NULL) points to; *room is how many
 * there is room for. 0; or -1, out of memory, and the array is as it was.
 */
int grow(void *array, size_t *room, size_t n, size_t size);

#endif
