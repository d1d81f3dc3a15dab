/*
 * core.c - an ELF core, for crash, drgn and gdb.
 *
 * Each block that an address leads to has a place in the file, at which it is
 * shared with the image, if the file system can, or written. What comes in
 * front of them is known at the end: a kernel's text is found as memory goes
 * by.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "formats/bits.h"
#include "formats/elfcore.h"
#include "libmr/base/error.h"
#include "libmr/convert/state.h"
#include "libmr/file/output.h"
#include "libmr/file/place.h"
#include "libmr/image/image.h"
#include "libmr/linux/kernel.h"
#include "libmr/memory/core_sink.h"

/* Where blocks begin: a multiple of any file system's block. */
#define ALIGN (UINT64_C(1) << 20)

struct core {
	struct convert *x;
	struct mr_layout *layout;
	uint16_t machine; /* enum elfcore_machine */
	struct mr_cpu *cpus;
	size_t n_cpus;
	uint64_t *places; /* of the memory's blocks; 0: not in the file */
	uint64_t end; /* of the file */
	struct output out;
	struct vmcoreinfo_search search;
	const struct vmcoreinfo *kernel; /* that is believed; or NULL */
	struct elfcore_phdr *phdrs;
	size_t n_phdrs;
	uint8_t *notes;
	size_t notes_len;
};

/* ---- memory by address ---- */

/* Bytes of a block of the image, from the memory. */
static int read_block(void *arg, const struct mr_block *b, uint64_t offset,
		      void *buf, size_t len, struct mr_error *err)
{
	const struct memory *m = ((struct convert *)arg)->m;
	unsigned char *to = buf;
	struct memory_block *k = NULL;

	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->blocks[i].name, b->name))
			k = &m->blocks[i];
	if (!k || (!k->held && !k->bits) || offset > k->length ||
	    len > k->length - offset)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "the memory of block %.60s is not there",
				 b->name);
	if (memory_map(m, k, NULL, err))
		return -1;
	for (size_t n; len; offset += n, to += n, len -= n) {
		struct memory_run run = { .offset = offset, .dest = to };

		n = m->page - (size_t)(offset % m->page);
		n = n < len ? n : len;
		run.length = n;
		if (!bits_test(k->bits, offset / m->page))
			memset(to, 0, n);
		else if (memory_read(m, k, &run, 1, err))
			return -1;
	}
	return 0;
}

/* ---- where blocks are ---- */

/* "BLOCK=ADDRESS" or "BLOCK=none". */
static int place_one(struct core *c, const struct mr_convert_at *at,
		     struct mr_error *err)
{
	const struct mr_block *b = mr_image_find(c->x->img, at->block);

	if (at->of_qemu) {
		if (b)
			(void)mr_layout_put(c->layout, b, at->gpa,
					    "as QEMU says", NULL);
		return 0;
	}
	if (!b)
		return error_set(err, MR_USAGE, MR_NO_OFFSET,
				 "no block is called %.60s", at->block);
	if (!at->nowhere)
		return mr_layout_put(c->layout, b, at->gpa, "as it was said",
				     err);
	mr_layout_drop(c->layout, b);
	return 0;
}

static int refuse_unplaced(const struct core *c, struct mr_error *err)
{
	const struct mr_block *b = c->layout->unplaced[0];

	return error_set(
		err, MR_REFUSED, MR_NO_OFFSET,
		"nothing tells where in the guest's memory block %.60s "
		"is (%zu such blocks): say it, as query-memory-devices "
		"of QEMU does (--at %.60s=ADDRESS), or leave it out "
		"(--at %.60s=none)",
		b->name, c->layout->n_unplaced, b->name, b->name);
}

static bool is_used(const struct core *c, const char *name)
{
	for (size_t i = 0; i < c->layout->n_ranges; i++)
		if (!strcmp(c->layout->ranges[i].block->name, name))
			return true;
	return false;
}

static int place_blocks(struct core *c, struct mr_error *err)
{
	const struct mr_convert_options *o = c->x->options;
	struct memory *m = c->x->m;

	c->layout = mr_image_layout(c->x->img, read_block, c->x, err);
	if (!c->layout)
		return -1;
	for (size_t i = 0; i < o->n_at; i++)
		if (place_one(c, &o->at[i], err))
			return -1;
	if (c->layout->n_unplaced)
		return refuse_unplaced(c, err);
	c->places = calloc(m->n + 1, sizeof(*c->places));
	if (!c->places)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	c->end = ALIGN;
	for (size_t i = 0; i < m->n; i++) {
		struct memory_block *b = &m->blocks[i];

		if (!is_used(c, b->name)) {
			b->held = 0;
			continue;
		}
		if (!b->held)
			return error_set(err, MR_REFUSED, b->entry,
					 "the memory of block %.60s was left "
					 "out (x-ignore-shared)",
					 b->name);
		c->places[i] = c->end;
		c->end += (b->length + ALIGN - 1) / ALIGN * ALIGN;
	}
	return 0;
}

/* Byte of the file; 0: none. */
static uint64_t place_of(const struct core *c, const struct mr_block *b)
{
	const struct memory *m = c->x->m;

	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->blocks[i].name, b->name))
			return c->places[i];
	return 0;
}

/* ---- registers ---- */

static bool is_arm(const struct core *c)
{
	return !strncmp(c->x->info->machine, "virt", 4);
}

static int find_cpus(struct core *c, struct mr_error *err)
{
	struct mr_error why = MR_ERROR_INIT;
	struct mr_devices *d = mr_devices_open(c->x->img, NULL, err);
	int rc;

	if (!d)
		return -1;
	rc = mr_cpus(d, &c->cpus, &c->n_cpus, &why);
	mr_devices_free(d);
	if (rc && why.code != MR_UNSUPPORTED) {
		*err = why;
		return -1;
	}
	if (rc)
		(void)snprintf(c->x->report->no_cpus,
			       sizeof(c->x->report->no_cpus), "%.159s",
			       why.msg);
	c->x->report->cpus = c->n_cpus;
	return 0;
}

static uint64_t reg_of(const struct mr_cpu *cpu, const char *name)
{
	for (size_t i = 0; i < cpu->n_regs; i++)
		if (!strcmp(cpu->regs[i].name, name))
			return cpu->regs[i].value;
	return 0;
}

static void take_x86(const struct mr_cpu *cpu, struct elfcore_x86_cpu *out)
{
	static const char *const regs[] = { "RAX", "RCX", "RDX", "RBX",
					    "RSP", "RBP", "RSI", "RDI",
					    "R8",  "R9",  "R10", "R11",
					    "R12", "R13", "R14", "R15" };
	static const char *const segs[] = {
		[ELFCORE_CS] = "CS",   [ELFCORE_DS] = "DS",
		[ELFCORE_ES] = "ES",   [ELFCORE_FS] = "FS",
		[ELFCORE_GS] = "GS",   [ELFCORE_SS] = "SS",
		[ELFCORE_LDT] = "LDT", [ELFCORE_TR] = "TR",
		[ELFCORE_GDT] = "GDT", [ELFCORE_IDT] = "IDT",
	};
	static const char *const cr[] = { "CR0", "", "CR2", "CR3", "CR4" };

	*out = (struct elfcore_x86_cpu){ .rip = reg_of(cpu, "RIP"),
					 .rflags = reg_of(cpu, "RFL"),
					 .kernel_gs_base = reg_of(
						 cpu, "KERNEL_GS_BASE") };
	for (size_t i = 0; i < ELFCORE_X86_REGS; i++)
		out->regs[i] = reg_of(cpu, regs[i]);
	for (size_t i = 0; i < 5; i++)
		out->cr[i] = reg_of(cpu, cr[i]);
	for (size_t i = 0; i < ELFCORE_SEGS; i++)
		for (size_t k = 0; k < cpu->n_segments; k++) {
			const struct mr_segment *s = &cpu->segments[k];

			if (!strcmp(s->name, segs[i]))
				out->segs[i] = (struct elfcore_segment){
					s->selector, s->limit, s->flags, s->base
				};
		}
}

static void take_arm(const struct mr_cpu *cpu, struct elfcore_arm_cpu *out)
{
	*out = (struct elfcore_arm_cpu){ .sp = reg_of(cpu, "SP"),
					 .pc = reg_of(cpu, "PC"),
					 .pstate = reg_of(cpu, "PSTATE") };
	for (unsigned i = 0; i < ELFCORE_ARM_REGS; i++) {
		char name[8];

		(void)snprintf(name, sizeof(name), "X%u", i);
		out->regs[i] = reg_of(cpu, name);
	}
}

/* ---- notes ---- */

static void put_note(struct core *c, const char *name, uint32_t type,
		     const void *content, size_t len)
{
	c->notes_len += elfcore_note_encode(c->notes + c->notes_len, name, type,
					    content, len);
}

static void put_status(struct core *c, const struct mr_cpu *cpu)
{
	uint8_t content[ELFCORE_ARM_PRSTATUS_SIZE];
	struct elfcore_x86_cpu x86;
	struct elfcore_arm_cpu arm;
	size_t len;

	if (c->machine == ELFCORE_AARCH64) {
		take_arm(cpu, &arm);
		len = elfcore_arm_prstatus_encode(content, &arm, cpu->index);
	} else {
		take_x86(cpu, &x86);
		len = elfcore_x86_prstatus_encode(content, &x86, cpu->index);
	}
	put_note(c, "CORE", ELFCORE_PRSTATUS, content, len);
}

static int make_notes(struct core *c, struct mr_error *err)
{
	size_t room = elfcore_note_size("CORE", ELFCORE_ARM_PRSTATUS_SIZE) +
		      elfcore_note_size("QEMU", ELFCORE_QEMU_SIZE);

	c->notes = malloc(room * c->n_cpus +
			  elfcore_note_size("VMCOREINFO", VMCOREINFO_MAX));
	if (!c->notes)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < c->n_cpus; i++)
		put_status(c, &c->cpus[i]);
	for (size_t i = 0; c->machine == ELFCORE_X86_64 && i < c->n_cpus; i++) {
		uint8_t content[ELFCORE_QEMU_SIZE];
		struct elfcore_x86_cpu x86;

		take_x86(&c->cpus[i], &x86);
		(void)elfcore_qemu_encode(content, &x86);
		put_note(c, "QEMU", 0, content, sizeof(content));
	}
	if (c->kernel)
		put_note(c, "VMCOREINFO", 0, c->kernel->text, c->kernel->len);
	return 0;
}

/* ---- program headers ---- */

static void put_load(struct core *c, const struct mr_layout_range *r)
{
	struct elfcore_phdr *last = &c->phdrs[c->n_phdrs - 1];
	uint64_t offset = place_of(c, r->block) + r->offset;

	if (last->type == ELFCORE_LOAD &&
	    last->physical + last->length == r->gpa &&
	    last->offset + last->length == offset) {
		last->length += r->length;
		return;
	}
	c->phdrs[c->n_phdrs++] = (struct elfcore_phdr){
		.type = ELFCORE_LOAD,
		.offset = offset,
		.virtual = r->gpa,
		.physical = r->gpa,
		.length = r->length,
	};
}

/* How far the kernel's virtual addresses are from physical ones, and the first
 * and last of them that can be so. */
static bool find_kernel(const struct core *c, uint64_t *delta, uint64_t *first,
			uint64_t *last)
{
	uint64_t base;

	*first = 0;
	*last = UINT64_MAX;
	if (c->machine == ELFCORE_AARCH64)
		return vmcoreinfo_number(c->kernel, "NUMBER(kimage_voffset)",
					 true, delta);
	if (!vmcoreinfo_number(c->kernel, "NUMBER(phys_base)", false, &base))
		return false;
	*delta = KERNEL_X86 - base;
	*first = KERNEL_X86;
	*last = KERNEL_X86 + KERNEL_X86_ROOM - 1;
	return true;
}

/* One more, of the stretch that the kernel's text is in. */
static bool put_kernel(struct core *c)
{
	uint64_t delta, first, last, text;
	const struct elfcore_phdr *p = NULL;
	struct elfcore_phdr *k = &c->phdrs[c->n_phdrs];

	if (!vmcoreinfo_number(c->kernel, "SYMBOL(_stext)", true, &text) ||
	    !find_kernel(c, &delta, &first, &last) || delta % 4096 ||
	    text < first || text > last)
		return false;
	for (size_t i = 1; i < c->n_phdrs; i++)
		if (text - delta >= c->phdrs[i].physical &&
		    text - delta - c->phdrs[i].physical < c->phdrs[i].length)
			p = &c->phdrs[i];
	if (!p)
		return false;
	*k = *p;
	/* Addresses may wrap: below the first there is none. */
	if (first && k->physical + delta - first > last - first) {
		uint64_t skip = first - (k->physical + delta);

		k->offset += skip;
		k->physical += skip;
		k->length -= skip;
	}
	k->virtual = k->physical + delta;
	if (k->length - 1 > last - k->virtual)
		k->length = last - k->virtual + 1;
	c->n_phdrs++;
	return true;
}

static int make_phdrs(struct core *c, struct mr_error *err)
{
	c->phdrs = calloc(c->layout->n_ranges + 2, sizeof(*c->phdrs));
	if (!c->phdrs)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	c->phdrs[c->n_phdrs++].type = ELFCORE_NOTE;
	for (size_t i = 0; i < c->layout->n_ranges; i++)
		put_load(c, &c->layout->ranges[i]);
	c->x->report->kernel = c->kernel && put_kernel(c);
	c->phdrs[0].offset =
		ELFCORE_HEADER_SIZE + c->n_phdrs * ELFCORE_PHDR_SIZE;
	c->phdrs[0].length = c->notes_len;
	return 0;
}

/* ---- the kernel ---- */

/* That which runs; else the first. */
static void choose_kernel(struct core *c)
{
	const struct kernel_memory m = { .layout = c->layout,
					 .read = read_block,
					 .arg = c->x };
	struct mr_convert_report *r = c->x->report;
	const char *release;

	c->kernel = kernel_running(&m, c->search.found, c->search.n);
	if (!c->kernel && c->search.n)
		c->kernel = &c->search.found[0];
	if (!c->kernel)
		return;
	release = vmcoreinfo_get(c->kernel, "OSRELEASE");
	(void)snprintf(r->release, sizeof(r->release), "%.*s",
		       (int)strcspn(release, "\n"), release);
}

static int look(void *arg, size_t block, const struct memory_part *p,
		struct mr_error *err)
{
	struct core *c = arg;

	return vmcoreinfo_look(&c->search, block, p, err);
}

/* ---- what the image has already ---- */

/* What lies under clear bits of the image is nobody's. */
static int clear_absent(struct core *c, size_t i, struct mr_error *err)
{
	const struct memory *m = c->x->m;
	const struct memory_block *b = &m->blocks[i];
	uint64_t pages = memory_pages(m, b), p, q;

	for (p = bits_next_clear(b->bits, 0, pages); p < pages;
	     p = bits_next_clear(b->bits, q, pages)) {
		q = bits_next_set(b->bits, p, pages);
		if (place_punch(c->out.file.fd, c->places[i] + p * m->page,
				(q - p) * m->page))
			return error_sys(err, MR_NO_OFFSET,
					 "cannot punch a hole");
	}
	return 0;
}

/* Has block i of the core share the image's. 1; 0: it cannot; or -1. */
static int share(struct core *c, size_t i, struct mr_error *err)
{
	struct memory *m = c->x->m;
	struct memory_block *b = &m->blocks[i];
	struct file_clone_range range = { .src_offset = b->at,
					  .src_length = b->length,
					  .dest_offset = c->places[i] };
	uint64_t bytes = 0;

	/* What is to be verified is read. */
	if (!m->file || !b->held || m->proof)
		return 0;
	range.src_fd = m->file->fd;
	if (ioctl(c->out.file.fd, FICLONERANGE, &range))
		return 0;
	if (memory_map(m, b, &bytes, err))
		return -1;
	if (!image_absent_zero(c->x->img) && clear_absent(c, i, err))
		return error_about(err, CONVERT_OUT);
	c->x->report->shared += bytes;
	return 1;
}

/* What is shared is read for the kernel's sake alone. */
static int share_blocks(struct core *c, struct mr_error *err)
{
	const struct mr_convert_options *o = c->x->options;
	const struct mr_watch watch = { .cancel = o->watch.cancel };
	const struct vmcoreinfo_options how = { .direct = o->direct,
						.jobs = o->jobs,
						.watch = &watch };
	struct memory *m = c->x->m;
	uint64_t *held = calloc(m->n + 1, sizeof(*held));
	int rc = 0;

	if (!held)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (size_t i = 0; i < m->n && rc >= 0; i++) {
		rc = share(c, i, err);
		if (rc <= 0) {
			held[i] = m->blocks[i].held;
			m->blocks[i].held = 0;
		}
	}
	if (rc >= 0)
		rc = c->x->report->shared
			     ? vmcoreinfo_seek(&c->search, m, &how, err)
			     : 0;
	for (size_t i = 0; i < m->n; i++)
		m->blocks[i].held = held[i];
	free(held);
	return rc < 0 ? -1 : 0;
}

/* ---- the file ---- */

static int write_head(struct core *c, struct mr_error *err)
{
	const struct elfcore_header h = { .machine = c->machine,
					  .headers = (uint16_t)c->n_phdrs };
	size_t len = (size_t)c->phdrs[0].offset + c->notes_len;
	uint8_t *buf = malloc(len), *p = buf;
	int rc;

	if (!buf)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	if (len > ALIGN) {
		free(buf);
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "%zu CPUs are too many for a core", c->n_cpus);
	}
	p += elfcore_header_encode(p, &h);
	for (size_t i = 0; i < c->n_phdrs; i++)
		p += elfcore_phdr_encode(p, &c->phdrs[i]);
	memcpy(p, c->notes, c->notes_len);
	rc = io_write_full(&c->out.file.io, buf, len, 0, err);
	free(buf);
	return rc;
}

static int fill(struct core *c, struct mr_error *err)
{
	struct core_sink s;

	if (output_resize(&c->out, c->end, err))
		return error_about(err, CONVERT_OUT);
	if (share_blocks(c, err))
		return -1;
	core_sink_init(&s, &c->out.file, c->places);
	s.look = look;
	s.arg = c;
	if (convert_copy(c->x, &s.sink, err))
		return -1;
	c->x->report->data += c->x->report->shared;
	choose_kernel(c);
	return make_notes(c, err) || make_phdrs(c, err) || write_head(c, err)
		       ? -1
		       : 0;
}

static int make(struct core *c, const char *path, struct mr_error *err)
{
	const struct mr_convert_options *o = c->x->options;

	if (output_create(&c->out, path, o->force ? GATE_ANY_FILE : GATE_IMAGE,
			  o->direct, err))
		return error_about(err, CONVERT_OUT);
	c->out.file.io.who = CONVERT_OUT;
	c->x->report->direct_write = c->out.file.direct_fd >= 0;
	if (fill(c, err))
		return -1;
	if (c->x->report->form == MR_CONVERT_KDUMP)
		return convert_kdump(c->x, &c->out, path, err);
	c->x->report->size = convert_allocated(&c->out.file);
	return convert_publish(&c->out, err);
}

/* Pages at their place, and little else; of a kdump that is the most. */
static int estimate(struct core *c, struct mr_error *err)
{
	struct memory *m = c->x->m;

	for (size_t i = 0; i < m->n; i++)
		if (memory_map(m, &m->blocks[i],
			       m->blocks[i].held ? &c->x->report->data : NULL,
			       err))
			return -1;
	c->x->report->size = c->x->report->data + 4096;
	return 0;
}

int convert_core(struct convert *x, const char *out, struct mr_error *err)
{
	struct core c = { .x = x, .out = OUTPUT_NONE };
	int rc = -1;

	vmcoreinfo_search_init(&c.search);
	if (!place_blocks(&c, err) && !find_cpus(&c, err)) {
		c.machine = is_arm(&c) ? ELFCORE_AARCH64 : ELFCORE_X86_64;
		rc = x->options->dry_run ? estimate(&c, err)
					 : make(&c, out, err);
	}
	output_discard(&c.out);
	vmcoreinfo_search_release(&c.search);
	mr_layout_free(c.layout);
	free(c.cpus);
	free(c.places);
	free(c.phdrs);
	free(c.notes);
	return rc;
}
