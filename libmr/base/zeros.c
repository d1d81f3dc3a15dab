/* zeros.c - memory that is zero, and takes none where it was never written. */
#include "libmr/base/zeros.h"

#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

void *zeros_new(uint64_t size)
{
	void *p = MAP_FAILED;

	if (size <= SIZE_MAX)
		p = mmap(NULL, size ? (size_t)size : 1, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

void *zeros_new_huge(size_t *size)
{
	size_t len = (*size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1), before;
	unsigned char *p = zeros_new(len + HUGE_PAGE);

	if (!p)
		return NULL;
	before = (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
	if (before)
		(void)munmap(p, before);
	p += before;
	(void)munmap(p + len, HUGE_PAGE - before);
	(void)madvise(p, len, MADV_HUGEPAGE);
	*size = len;
	return p;
}

void zeros_free(void *p, uint64_t size)
{
	if (p)
		(void)munmap(p, size ? (size_t)size : 1);
}
