/* mr/virtual.h - a guest's virtual addresses, by a virtual CPU's page tables.
 */
#ifndef LIBMR_MR_VIRTUAL_H
#define LIBMR_MR_VIRTUAL_H

#include <stdbool.h>
#include <stdint.h>

#include "libmr/mr/devices.h"
#include "libmr/mr/error.h"
#include "libmr/mr/layout.h"
#include "libmr/mr/ram.h"

#pragma GCC visibility push(default)

/* The registers of an x86 CPU that say how it pages. Another CR3 is that of
 * another process. */
struct mr_paging {
	uint64_t cr0, cr3, cr4, efer;
};

/* A CPU's. MR_UNSUPPORTED: it is none of x86, its paging is off, or it runs a
 * guest of its own, whose addresses are not this one's. 0 or -1. */
int mr_cpu_paging(const struct mr_cpu *cpu, struct mr_paging *out,
		  struct mr_error *err);

/* That of a CPU in long mode with its page tables there, of five levels or of
 * four. */
struct mr_paging mr_paging_long(uint64_t cr3, bool five);

struct mr_virtual {
	uint64_t gpa; /* guest-physical address */
	uint64_t page; /* bytes of the page that maps it: 4 KiB .. 1 GiB */
	/* Where that is. length is also that of the page, from there on. */
	struct mr_place place;
};

/*
 * Where the byte at a virtual address is: walks the page tables, which are read
 * as a layout's tables are (mr_image_layout). At most five entries are read,
 * whatever they say. MR_UNSUPPORTED: there is no such address, nothing is
 * mapped there, or no memory is known where an entry leads to; the error names
 * the entry, and out->page is how many bytes of addresses it is for (0: there
 * is none). 0 or -1.
 */
int mr_virtual_find(const struct mr_paging *p, const struct mr_layout *l,
		    mr_layout_read read, void *arg, uint64_t va,
		    struct mr_virtual *out, struct mr_error *err);

/* The same in a memory; l is from mr_ram_layout. */
int mr_ram_virtual(struct mr_ram *ram, const struct mr_paging *p,
		   const struct mr_layout *l, uint64_t va,
		   struct mr_virtual *out, struct mr_error *err);

#pragma GCC visibility pop

#endif
