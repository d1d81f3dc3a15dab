/* x86_paging.c - from virtual addresses to physical ones (x86_paging.h). */
#include "formats/x86_paging.h"

#include "formats/bytes.h"

enum { PAGE_BITS = 12, BIT_PAGE = 7, BIT_NX = 63 };

/* Bits first .. last. */
static uint64_t bits(unsigned first, unsigned last)
{
	return (UINT64_MAX >> (63 - last)) & (UINT64_MAX << first);
}

static bool has(uint64_t v, unsigned bit)
{
	return v >> bit & 1;
}

/* Bits of the address that choose an entry, if the table is not the root of
 * three levels. */
static unsigned index_bits(const struct x86_paging *p)
{
	return p->entry == 4 ? 10 : 9;
}

int x86_paging_of(uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer,
		  struct x86_paging *out, struct fault *f)
{
	bool pae = cr4 & X86_PAGING_CR4_PAE;
	bool is_long = efer & X86_PAGING_EFER_LMA;

	*out = (struct x86_paging){ .entry = 8,
				    .nx = efer & X86_PAGING_EFER_NXE };
	if (!(cr0 & X86_PAGING_CR0_PG))
		return fault_value(f, FAULT_UNSUPPORTED, 0,
				   "paging is off (CR0)", cr0);
	if (is_long && !pae)
		return fault_value(f, FAULT_BAD, 0, "long mode without PAE",
				   cr4);
	if (is_long && cr3 & bits(52, 60))
		return fault_value(f, FAULT_BAD, 0,
				   "CR3 has bits that must be zero", cr3);
	if (is_long) {
		out->levels = cr4 & X86_PAGING_CR4_LA57 ? 5 : 4;
		out->root = cr3 & bits(PAGE_BITS, 51);
	} else if (pae) {
		out->levels = 3;
		out->root = cr3 & bits(5, 31);
	} else {
		out->levels = 2;
		out->entry = 4;
		out->nx = false;
		out->pse = cr4 & X86_PAGING_CR4_PSE;
		out->root = cr3 & bits(PAGE_BITS, 31);
	}
	return 0;
}

bool x86_paging_reaches(const struct x86_paging *p, uint64_t va)
{
	unsigned last = PAGE_BITS + 9 * p->levels - 1;
	uint64_t above;

	if (p->levels < 4)
		return va <= UINT32_MAX;
	above = bits(last, 63);
	return (va & above) == 0 || (va & above) == above;
}

uint64_t x86_paging_span(const struct x86_paging *p, unsigned level)
{
	return UINT64_C(1) << (PAGE_BITS + index_bits(p) * (level - 1));
}

uint64_t x86_paging_at(const struct x86_paging *p, unsigned level,
		       uint64_t table, uint64_t va)
{
	unsigned n = p->levels == 3 && level == 3 ? 2 : index_bits(p);

	return table +
	       p->entry * (va / x86_paging_span(p, level) & bits(0, n - 1));
}

/* Bits that are zero in an entry which is present. */
static uint64_t reserved(const struct x86_paging *p, unsigned level, bool page)
{
	uint64_t r = p->nx ? 0 : bits(BIT_NX, BIT_NX);

	if (p->entry == 4)
		return page && level == 2 ? bits(21, 21) : 0;
	if (p->levels == 3 && level == 3)
		return bits(1, 2) | bits(5, 8) | bits(52, 63);
	if (p->levels == 3)
		r |= bits(52, 62);
	if (level > 3)
		r |= bits(BIT_PAGE, BIT_PAGE);
	if (page && level == 3)
		r |= bits(13, 29);
	if (page && level == 2)
		r |= bits(13, 20);
	return r;
}

/* Whether bit 7 means that it is a page, at a level where there are some. */
static bool is_large(const struct x86_paging *p, unsigned level, uint64_t v)
{
	if (!has(v, BIT_PAGE))
		return false;
	return level == 2 ? p->entry == 8 || p->pse
			  : level == 3 && p->levels > 3;
}

ssize_t x86_paging_decode(const struct x86_paging *p, unsigned level,
			  const uint8_t *buf, size_t len,
			  struct x86_paging_entry *out, struct fault *f)
{
	uint64_t v;

	*out = (struct x86_paging_entry){ .value = 0 };
	if (len < p->entry)
		return fault_set(f, FAULT_SHORT, len,
				 "ends inside an entry of a page table");
	v = out->value = p->entry == 4 ? get_le32(buf) : get_le64(buf);
	out->present = has(v, 0);
	if (!out->present)
		return p->entry;
	out->page = level == 1 || is_large(p, level, v);
	if (v & reserved(p, level, out->page))
		return fault_value(f, FAULT_BAD, 0,
				   "has a bit that must be zero", v);
	if (!out->page) {
		out->to = v & bits(PAGE_BITS, 51);
		return p->entry;
	}
	out->size = x86_paging_span(p, level);
	out->to = v & bits(PAGE_BITS, 51) & ~(out->size - 1);
	/* Bits 32 .. 39 of the address of a page of 4 MiB. */
	if (p->entry == 4 && level == 2)
		out->to |= (v & bits(13, 20)) << 19;
	return p->entry;
}
