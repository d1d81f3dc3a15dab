/* zeros.h - memory that is zero, and takes none where it was never written. */
#ifndef LIBMR_ZEROS_H
#define LIBMR_ZEROS_H

#include <stddef.h>
#include <stdint.h>

/* NULL: not to be had. size may be 0. */
void *zeros_new(uint64_t size);
/* The same, on huge pages if the kernel likes, and aligned for them: a request
 * out of them has few, large segments (1.45 x on a bare writer). size becomes
 * what is taken: no less. */
void *zeros_new_huge(size_t *size);
/* p may be NULL; size as it was. */
void zeros_free(void *p, uint64_t size);

#endif
