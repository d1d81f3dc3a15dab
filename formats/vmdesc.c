/* vmdesc.c - device state, field by field (vmdesc.h). */
#include <string.h>

#include "formats/bytes.h"
#include "formats/vmdesc.h"

/* ---- types ---- */

static const struct {
	const char *name;
	struct vmdesc_type type;
} types[] = {
	{ "int8", { VMDESC_INT, 1 } },
	{ "int16", { VMDESC_INT, 2 } },
	{ "int32", { VMDESC_INT, 4 } },
	{ "int64", { VMDESC_INT, 8 } },
	{ "uint8", { VMDESC_UINT, 1 } },
	{ "uint16", { VMDESC_UINT, 2 } },
	{ "uint32", { VMDESC_UINT, 4 } },
	{ "uint64", { VMDESC_UINT, 8 } },
	{ "int32 equal", { VMDESC_INT, 4 } },
	{ "int32 le", { VMDESC_INT, 4 } },
	/* QEMU's name for the check on a uint64. */
	{ "int64 equal", { VMDESC_UINT, 8 } },
	{ "uint8 equal", { VMDESC_UINT, 1 } },
	{ "uint16 equal", { VMDESC_UINT, 2 } },
	{ "uint32 equal", { VMDESC_UINT, 4 } },
	{ "bool", { VMDESC_BOOL, 1 } },
	{ "timer", { VMDESC_TIMER, 8 } },
	{ "float64", { VMDESC_FLOAT, 8 } },
	{ "CPU_Double_U", { VMDESC_FLOAT, 8 } },
	{ "buffer", { VMDESC_BUFFER, 0 } },
	{ "unused_buffer", { VMDESC_UNUSED, 0 } },
	{ "capability", { VMDESC_CAPABILITY, 0 } },
	{ "bitmap", { VMDESC_BITMAP, 0 } },
	{ "nullptr", { VMDESC_NULLPTR, 1 } },
	{ "struct", { VMDESC_STRUCT, 0 } },
};

struct vmdesc_type vmdesc_type_of(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (*types[i].name == *name && strcmp(types[i].name, name) == 0)
			return types[i].type;
	return (struct vmdesc_type){ VMDESC_OPAQUE, 0 };
}

static uint64_t get_uint(const uint8_t *p, size_t width)
{
	switch (width) {
	case 1:
		return p[0];
	case 2:
		return get_be16(p);
	case 4:
		return get_be32(p);
	default:
		return get_be64(p);
	}
}

static int64_t get_int(const uint8_t *p, size_t width)
{
	switch (width) {
	case 1:
		return (int8_t)p[0];
	case 2:
		return (int16_t)get_be16(p);
	case 4:
		return (int32_t)get_be32(p);
	default:
		return (int64_t)get_be64(p);
	}
}

enum { NULLPTR_MARK = 0x30 };

/* A value whose bytes are all there and as many as its type wants. */
static int decode_value(const uint8_t *buf, size_t size,
			struct vmdesc_value *out, struct fault *f)
{
	uint64_t bits;
	ssize_t n;

	switch (out->kind) {
	case VMDESC_UINT:
		out->u = get_uint(buf, out->width);
		return 0;
	case VMDESC_INT:
	case VMDESC_TIMER:
		out->i = get_int(buf, out->width);
		return 0;
	case VMDESC_BOOL:
		if (buf[0] > 1)
			return fault_value(f, FAULT_BAD, 0,
					   "bool is not 0 or 1", buf[0]);
		out->u = buf[0];
		return 0;
	case VMDESC_FLOAT:
		bits = get_be64(buf);
		memcpy(&out->d, &bits, sizeof(out->d));
		return 0;
	case VMDESC_NULLPTR:
		if (buf[0] != NULLPTR_MARK)
			return fault_value(f, FAULT_BAD, 0,
					   "null pointer without its mark",
					   buf[0]);
		return 0;
	case VMDESC_CAPABILITY:
		n = name_decode(buf, size, 0, out->text, f);
		if (n < 0)
			return -1;
		if ((size_t)n != size)
			return fault_value(f, FAULT_BAD, 0,
					   "capability of another size", size);
		return 0;
	case VMDESC_BITMAP:
		if (size % 8)
			return fault_value(f, FAULT_BAD, 0,
					   "bitmap is not whole words", size);
		return 0;
	case VMDESC_OPAQUE:
	case VMDESC_BUFFER:
	case VMDESC_UNUSED:
	case VMDESC_STRUCT:
		break;
	}
	return 0;
}

ssize_t vmdesc_value_decode(const uint8_t *buf, size_t len, size_t size,
			    struct vmdesc_type t, struct vmdesc_value *out,
			    struct fault *f)
{
	if (t.width && size != t.width)
		return fault_value(f, FAULT_BAD, 0,
				   "field size does not suit its type", size);
	if (len < size)
		return fault_set(f, FAULT_SHORT, len, "ends inside a field");
	*out = (struct vmdesc_value){ .kind = t.kind, .width = size };
	if (decode_value(buf, size, out, f))
		return -1;
	return (ssize_t)size;
}

/* ---- x86 registers ---- */

/* Bytes of the payload, and how far apart its arrays' elements are. */
enum {
	AT_REGS = 0,
	AT_RIP = 128,
	AT_RFLAGS = 136,
	AT_HFLAGS = 144,
	AT_SEGS = 236,
	AT_LDT = 356,
	AT_TR = 376,
	AT_GDT = 396,
	AT_IDT = 416,
	AT_CR0 = 456,
	AT_CR2 = 464,
	AT_CR3 = 472,
	AT_CR4 = 480,
	AT_DR = 488,
	AT_EFER = 816,
	AT_STAR = 824,
	AT_LSTAR = 832,
	AT_CSTAR = 840,
	AT_FMASK = 848,
	AT_KERNEL_GS_BASE = 856,
	SEGMENT_SIZE = 20,
};

const struct vmdesc_x86_field vmdesc_x86_fields[] = {
	{ "env.regs", AT_REGS, 16 * 8 },
	{ "env.eip", AT_RIP, 8 },
	{ "env.eflags", AT_RFLAGS, 8 },
	{ "env.hflags", AT_HFLAGS, 4 },
	{ "env.segs", AT_SEGS, VMDESC_SEGS *SEGMENT_SIZE },
	{ "env.ldt", AT_LDT, SEGMENT_SIZE },
	{ "env.tr", AT_TR, SEGMENT_SIZE },
	{ "env.gdt", AT_GDT, SEGMENT_SIZE },
	{ "env.idt", AT_IDT, SEGMENT_SIZE },
	{ "env.cr[0]", AT_CR0, 8 },
	{ "env.cr[2]", AT_CR2, 8 },
	{ "env.cr[3]", AT_CR3, 8 },
	{ "env.cr[4]", AT_CR4, 8 },
	{ "env.dr", AT_DR, 8 * 8 },
	{ "env.efer", AT_EFER, 8 },
	{ "env.star", AT_STAR, 8 },
	{ "env.lstar", AT_LSTAR, 8 },
	{ "env.cstar", AT_CSTAR, 8 },
	{ "env.fmask", AT_FMASK, 8 },
	{ "env.kernelgsbase", AT_KERNEL_GS_BASE, 8 },
	{ NULL, 0, 0 },
};

static struct vmdesc_x86_segment get_segment(const uint8_t *p)
{
	return (struct vmdesc_x86_segment){
		.selector = get_be32(p),
		.base = get_be64(p + 4),
		.limit = get_be32(p + 12),
		.flags = get_be32(p + 16),
	};
}

ssize_t vmdesc_x86_cpu_decode(const uint8_t *buf, size_t len,
			      struct vmdesc_x86_cpu *out, struct fault *f)
{
	size_t i;

	if (len < VMDESC_X86_CPU_SIZE)
		return fault_set(f, FAULT_SHORT, len,
				 "ends inside the CPU's registers");
	*out = (struct vmdesc_x86_cpu){
		.rip = get_be64(buf + AT_RIP),
		.rflags = get_be64(buf + AT_RFLAGS),
		.hflags = get_be32(buf + AT_HFLAGS),
		.ldt = get_segment(buf + AT_LDT),
		.tr = get_segment(buf + AT_TR),
		.gdt = get_segment(buf + AT_GDT),
		.idt = get_segment(buf + AT_IDT),
		.cr0 = get_be64(buf + AT_CR0),
		.cr2 = get_be64(buf + AT_CR2),
		.cr3 = get_be64(buf + AT_CR3),
		.cr4 = get_be64(buf + AT_CR4),
		.efer = get_be64(buf + AT_EFER),
		.star = get_be64(buf + AT_STAR),
		.lstar = get_be64(buf + AT_LSTAR),
		.cstar = get_be64(buf + AT_CSTAR),
		.fmask = get_be64(buf + AT_FMASK),
		.kernel_gs_base = get_be64(buf + AT_KERNEL_GS_BASE),
	};
	for (i = 0; i < VMDESC_REGS; i++)
		out->regs[i] = get_be64(buf + AT_REGS + 8 * i);
	for (i = 0; i < VMDESC_SEGS; i++)
		out->segs[i] = get_segment(buf + AT_SEGS + SEGMENT_SIZE * i);
	for (i = 0; i < 8; i++)
		out->dr[i] = get_be64(buf + AT_DR + 8 * i);
	return VMDESC_X86_CPU_SIZE;
}

bool vmdesc_x86_cpu_plausible(const struct vmdesc_x86_cpu *c)
{
	if (!(c->rflags & 2))
		return false;
	for (size_t i = 0; i < VMDESC_SEGS; i++)
		if (c->segs[i].selector > UINT16_MAX)
			return false;
	return true;
}

const char *vmdesc_x86_reg_name(enum vmdesc_x86_reg reg)
{
	static const char *const names[VMDESC_REGS] = {
		"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
		"R8",  "R9",  "R10", "R11", "R12", "R13", "R14", "R15",
	};

	return (unsigned int)reg < VMDESC_REGS ? names[reg] : NULL;
}

const char *vmdesc_x86_seg_name(enum vmdesc_x86_seg seg)
{
	static const char *const names[VMDESC_SEGS] = { "ES", "CS", "SS",
							"DS", "FS", "GS" };

	return (unsigned int)seg < VMDESC_SEGS ? names[seg] : NULL;
}

/* ---- aarch64 registers ---- */

enum { AT_XREGS = 64, AT_PC = 320, AT_PSTATE = 328 };

ssize_t vmdesc_arm_cpu_decode(const uint8_t *buf, size_t len,
			      struct vmdesc_arm_cpu *out, struct fault *f)
{
	if (len < VMDESC_ARM_CPU_SIZE)
		return fault_set(f, FAULT_SHORT, len,
				 "ends inside the CPU's registers");
	for (size_t i = 0; i < VMDESC_ARM_REGS; i++)
		out->regs[i] = get_be64(buf + AT_XREGS + 8 * i);
	out->pc = get_be64(buf + AT_PC);
	out->pstate = get_be32(buf + AT_PSTATE);
	return VMDESC_ARM_CPU_SIZE;
}

bool vmdesc_arm_cpu_plausible(const struct vmdesc_arm_cpu *c)
{
	/* The exception level, and whose stack pointer it is: not EL0's. */
	unsigned mode = c->pstate & 0x1f;

	return !(mode & 0x12) && mode != 1;
}

/* ---- any CPU ---- */

ssize_t vmdesc_halted_decode(const uint8_t *buf, size_t len, bool *halted,
			     struct fault *f)
{
	if (len < 4)
		return fault_set(f, FAULT_SHORT, len, "ends inside a field");
	*halted = get_be32(buf) != 0;
	return 4;
}
