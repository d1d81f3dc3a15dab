/* zeros.h - memory that is zero, and takes none where it was never written. */
#ifndef LIBMR_ZEROS_H
#define LIBMR_ZEROS_H

#include <stdint.h>

/* NULL: not to be had. size may be 0. */
void *zeros_new(uint64_t size);
/* p may be NULL; size as it was. */
void zeros_free(void *p, uint64_t size);

#endif
