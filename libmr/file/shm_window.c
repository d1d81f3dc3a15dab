/* shm_window.c - one page by write, the rest by collapse. */
#include "libmr/file/shm_window.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* Newer than Debian 12's headers; the number is the same everywhere. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Memory may be in pieces for a moment, or for good: each vain try costs. */
#define PATIENCE 32u

void shm_window_release(struct shm_window *w)
{
	if (w->reserved)
		(void)munmap(w->reserved, w->length);
	*w = (struct shm_window){ 0 };
}

/* Address space for all panes, the first at a multiple of SHM_HUGE. */
static unsigned char *base(struct shm_window *w, size_t length)
{
	uintptr_t at;

	if (!w->reserved) {
		void *p = mmap(NULL, length + SHM_HUGE, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			       0);

		if (p == MAP_FAILED)
			return NULL;
		w->reserved = p;
		w->length = length + SHM_HUGE;
	}
	at = (uintptr_t)w->reserved;
	return (unsigned char *)w->reserved +
	       (SHM_HUGE - at % SHM_HUGE) % SHM_HUGE;
}

/* A range without any page cannot be collapsed: each huge page needs one
 * small one to begin with. */
static int seed(int fd, uint64_t offset, size_t length)
{
	for (size_t at = 0; at < length; at += SHM_HUGE)
		if (pwrite(fd, "", 1, (off_t)(offset + at)) != 1)
			return -1;
	return 0;
}

void *shm_window_open(struct shm_window *w, int fd, uint64_t offset,
		      size_t length, unsigned pane, unsigned panes)
{
	unsigned char *p = NULL;

	if (!w->gone)
		p = base(w, panes * length);
	if (!p)
		return NULL;
	p += pane * length;
	if (seed(fd, offset, length))
		return NULL;
	if (mmap(p, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		 (off_t)offset) == MAP_FAILED) {
		/* Part of the reservation may be somebody else's by now:
		 * rather lost addresses than lost memory. */
		w->reserved = NULL;
		w->gone = true;
		return NULL;
	}
	if (!madvise(p, length, MADV_COLLAPSE)) {
		w->refusals -= w->refusals > 0;
		return p;
	}
	/* EINVAL: this kernel, or this file system, never will. */
	if (errno == EINVAL || ++w->refusals >= PATIENCE)
		w->gone = true;
	return NULL;
}
