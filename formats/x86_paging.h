/*
 * x86_paging.h - from virtual addresses to physical ones (x86_paging.md).
 *
 * CR3 has the physical address of a table. Bits of the virtual address choose
 * an entry of it, little-endian, which has the physical address of the next
 * table, or of a page; the bits that are left are the offset in the page.
 *
 *   levels  entry  bits of the address, from the last level on     when
 *        2      4  12: page, 10, 10                                no PAE
 *        3      8  12: page,  9,  9,  2                            CR4.PAE
 *        4      8  12: page,  9,  9,  9,  9                        EFER.LMA
 *        5      8  12: page,  9,  9,  9,  9,  9                    and CR4.LA57
 *
 *   bit      of an entry
 *     0      present; if not, all other bits are the system's own
 *     7      a page: 4 or 2 MiB at level 2, 1 GiB at level 3
 *   12..51   the address of the table or page (of 4 bytes: 12..31)
 *    63      not to be executed (EFER.NXE)
 *
 * Facts from Intel's manual, volume 3, chapter 5, "Paging".
 */
#ifndef FORMATS_X86_PAGING_H
#define FORMATS_X86_PAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/fault.h"

enum { X86_PAGING_LEVELS = 5 }; /* at most */

/* Bits of registers. */
#define X86_PAGING_CR0_PG (UINT64_C(1) << 31)
#define X86_PAGING_CR4_PSE (UINT64_C(1) << 4)
#define X86_PAGING_CR4_PAE (UINT64_C(1) << 5)
#define X86_PAGING_CR4_LA57 (UINT64_C(1) << 12)
#define X86_PAGING_EFER_LMA (UINT64_C(1) << 10)
#define X86_PAGING_EFER_NXE (UINT64_C(1) << 11)

struct x86_paging {
	unsigned levels; /* 2 .. X86_PAGING_LEVELS */
	unsigned entry; /* bytes: 4 or 8 */
	bool pse; /* 4 MiB pages, if levels is 2 */
	bool nx; /* bit 63 may be set */
	uint64_t root; /* physical address of the first table */
};

/* How a CPU with these registers pages. 0, or -1: it does not, or no CPU can
 * be so; f->at means nothing then, and f->value is the register. */
int x86_paging_of(uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer,
		  struct x86_paging *out, struct fault *f);

/* Whether there is such an address: of 32 bits, or of 48 or 57 whose last one
 * is repeated. */
bool x86_paging_reaches(const struct x86_paging *p, uint64_t va);

/* The physical address of the entry for va in the table of a level: p->levels
 * is that of p->root, the last is 1. */
uint64_t x86_paging_at(const struct x86_paging *p, unsigned level,
		       uint64_t table, uint64_t va);

/* How many bytes of virtual addresses an entry of a level is for. */
uint64_t x86_paging_span(const struct x86_paging *p, unsigned level);

struct x86_paging_entry {
	uint64_t value; /* as it is */
	bool present;
	bool page; /* `to` is the address of a page; never false at level 1 */
	uint64_t to; /* physical address */
	uint64_t size; /* of a page, bytes: 4 KiB .. 1 GiB */
};

/* An entry of a level. Returns p->entry. FAULT_BAD: it has a bit that must be
 * zero in any CPU; f->value is then the entry. */
ssize_t x86_paging_decode(const struct x86_paging *p, unsigned level,
			  const uint8_t *buf, size_t len,
			  struct x86_paging_entry *out, struct fault *f);

#endif
