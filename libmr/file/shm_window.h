/*
 * shm_window.h - fresh huge pages of a tmpfs file, to read into.
 *
 * A write to tmpfs makes a page for each 4 KiB and copies into it: 0.4 s of
 * CPU for a GiB, and under the file's lock, one writer at a time. A huge page
 * in place of 512 small ones costs a quarter of that, and the disk can write
 * into it without a copy. madvise(MADV_COLLAPSE, Linux 6.1) makes one also on
 * mounts with huge=never, which is what /dev/shm is.
 *
 * A window belongs to one thread. Nothing of ours touches the memory in it: a
 * mapping of a file that somebody cut short would raise SIGBUS, but a read(2)
 * into it fails with EFAULT.
 */
#ifndef LIBMR_SHM_WINDOW_H
#define LIBMR_SHM_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_HUGE ((size_t)2 << 20)

/* All zero: no memory yet. */
struct shm_window {
	void *reserved; /* address space */
	size_t length; /* of it */
	unsigned refusals; /* less what went well since */
	bool gone; /* there are no huge pages to be had: not asked again */
};

/* Unmaps all. w may be all zero. */
void shm_window_release(struct shm_window *w);

/*
 * Makes [offset, offset + length) of fd, a hole of a tmpfs file, of huge pages
 * and maps it as pane number pane of panes that are each length bytes; both
 * are multiples of SHM_HUGE, length and panes the same at every call. What was
 * in that pane is unmapped. NULL: not to be had, or not now, and then a page
 * or two of the range may be there already; they are zero.
 */
void *shm_window_open(struct shm_window *w, int fd, uint64_t offset,
		      size_t length, unsigned pane, unsigned panes);

#endif
