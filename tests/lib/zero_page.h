/* zero_page.h - does memory that is only read cost nothing? */
#ifndef TESTS_LIB_ZERO_PAGE_H
#define TESTS_LIB_ZERO_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

/* Pages of ours that are in memory, or -1. */
static inline long resident_pages(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long pages = -1;

	if (!f || fscanf(f, "%*d %ld", &pages) != 1)
		pages = -1;
	if (f)
		(void)fclose(f);
	return pages;
}

/* Whether memory that is only read shares the zero page: some kernels for
 * guests (pvm_no_zero_page) give it pages of its own instead. */
static inline bool has_zero_page(void)
{
	const size_t pages = 1024, page = 4096;
	volatile char *p = mmap(NULL, pages * page, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long before, after;

	if (p == MAP_FAILED)
		return false;
	before = resident_pages();
	for (size_t i = 0; i < pages; i++)
		(void)p[i * page];
	after = resident_pages();
	(void)munmap((void *)(uintptr_t)p, pages * page);
	return after - before < (long)pages / 2;
}

#endif
