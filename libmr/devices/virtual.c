/*
 * virtual.c - from a virtual address to a place in a block.
 *
 * Page tables are the guest's, so they may be anything: a walk reads one entry
 * of each level and no more, and each where the layout proves that there is
 * memory.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/x86_paging.h"
#include "libmr/base/error.h"
#include "libmr/devices/devices.h"

static uint64_t register_of(const struct mr_cpu *c, const char *name)
{
	for (size_t i = 0; i < c->n_regs; i++)
		if (!strcmp(c->regs[i].name, name))
			return c->regs[i].value;
	return 0;
}

static int decode_registers(const struct mr_paging *p, struct x86_paging *out,
			    struct mr_error *err)
{
	struct fault f;

	if (!x86_paging_of(p->cr0, p->cr3, p->cr4, p->efer, out, &f))
		return 0;
	return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
			 "no page tables: %s: 0x%" PRIx64, f.what, f.value);
}

int mr_cpu_paging(const struct mr_cpu *cpu, struct mr_paging *out,
		  struct mr_error *err)
{
	struct x86_paging p;

	if (cpu->arm)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "the page tables of aarch64 are not read");
	if (cpu->nested)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "CPU %" PRIu32 " runs a guest of its own: its "
				 "page tables are that one's",
				 cpu->index);
	*out = (struct mr_paging){ .cr0 = register_of(cpu, "CR0"),
				   .cr3 = register_of(cpu, "CR3"),
				   .cr4 = register_of(cpu, "CR4"),
				   .efer = register_of(cpu, "EFER") };
	return decode_registers(out, &p, err);
}

struct mr_paging mr_paging_long(uint64_t cr3, bool five)
{
	return (struct mr_paging){
		.cr0 = X86_PAGING_CR0_PG,
		.cr3 = cr3,
		.cr4 = X86_PAGING_CR4_PAE | (five ? X86_PAGING_CR4_LA57 : 0),
		.efer = X86_PAGING_EFER_LMA | X86_PAGING_EFER_NXE
	};
}

struct walk {
	const struct mr_layout *layout;
	mr_layout_read read;
	void *arg;
	struct x86_paging p;
	uint64_t va;
	/* What led here: the entry last read, or CR3. */
	unsigned level;
	uint64_t at, value;
};

static int stop(const struct walk *w, const char *what, struct mr_error *err)
{
	if (!w->level)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "virtual address 0x%" PRIx64 ": CR3 0x%" PRIx64
				 ": %.140s",
				 w->va, w->value, what);
	return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
			 "virtual address 0x%" PRIx64 ": level %u's entry at "
			 "0x%" PRIx64 ", 0x%" PRIx64 ": %.140s",
			 w->va, w->level, w->at, w->value, what);
}

/* The place of a physical address that was led to. */
static int find_place(const struct walk *w, uint64_t gpa, struct mr_place *out,
		      struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;

	if (!mr_layout_find(w->layout, gpa, out, &why))
		return 0;
	return stop(w, why.msg, err);
}

static int read_entry(struct walk *w, unsigned level, uint64_t table,
		      struct x86_paging_entry *e, struct mr_error *err)
{
	uint64_t at = x86_paging_at(&w->p, level, table, w->va);
	struct mr_place place;
	uint8_t buf[8] = { 0 };
	struct fault f;

	if (find_place(w, at, &place, err))
		return -1;
	if (place.length < w->p.entry)
		return stop(w, "memory ends inside an entry", err);
	if (w->read(w->arg, place.block, place.offset, buf, w->p.entry, err))
		return -1;
	w->level = level;
	w->at = at;
	if (x86_paging_decode(&w->p, level, buf, w->p.entry, e, &f) < 0) {
		w->value = e->value;
		return stop(w, f.what, err);
	}
	w->value = e->value;
	return e->present ? 0 : stop(w, "not present", err);
}

static int take_page(const struct walk *w, const struct x86_paging_entry *e,
		     struct mr_virtual *out, struct mr_error *err)
{
	uint64_t skip = w->va & (e->size - 1);

	out->gpa = e->to + skip;
	out->page = e->size;
	if (find_place(w, out->gpa, &out->place, err))
		return -1;
	if (out->place.length > e->size - skip)
		out->place.length = e->size - skip;
	return 0;
}

int mr_virtual_find(const struct mr_paging *p, const struct mr_layout *l,
		    mr_layout_read read, void *arg, uint64_t va,
		    struct mr_virtual *out, struct mr_error *err)
{
	struct walk w = {
		.layout = l, .read = read, .arg = arg, .va = va, .value = p->cr3
	};
	struct x86_paging_entry e = { .page = false };
	uint64_t table;

	*out = (struct mr_virtual){ .page = 0 };
	if (decode_registers(p, &w.p, err))
		return -1;
	if (!x86_paging_reaches(&w.p, va))
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "with %u levels of page tables there is no "
				 "virtual address 0x%" PRIx64,
				 w.p.levels, va);
	table = w.p.root;
	/* At level 1 all are pages. */
	for (unsigned level = w.p.levels; level && !e.page; level--) {
		if (read_entry(&w, level, table, &e, err)) {
			if (w.level)
				out->page = x86_paging_span(&w.p, w.level);
			return -1;
		}
		table = e.to;
	}
	return take_page(&w, &e, out, err);
}
