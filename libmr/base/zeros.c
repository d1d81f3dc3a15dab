/* zeros.c - memory that is zero, and takes none where it was never written. */
#include "libmr/base/zeros.h"

#include <stddef.h>
#include <sys/mman.h>

void *zeros_new(uint64_t size)
{
	void *p = MAP_FAILED;

	if (size <= SIZE_MAX)
		p = mmap(NULL, size ? (size_t)size : 1, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

void zeros_free(void *p, uint64_t size)
{
	if (p)
		(void)munmap(p, size ? (size_t)size : 1);
}
