/*
 * vmdesc.h - device state, field by field (vmdesc.md).
 *
 * A device section's payload is its fields in the order of its description,
 * then its subsections. The description (JSON: vmdesc_text.h) gives each
 * field a type name and a size in bytes; this room knows what a type name
 * means for those bytes:
 *
 *   "int8" .. "int64", "uint8" .. "uint64"   1, 2, 4, 8 bytes, big-endian;
 *         also with " equal" and " le" (less or equal) behind: a check that
 *         the loading side makes, not another encoding. "int64 equal" is the
 *         exception: it names an unsigned integer
 *   "bool"                          1 byte, 0 or 1
 *   "timer"                         8 bytes, signed: nanoseconds, -1 = off
 *   "float64", "CPU_Double_U"       8 bytes, IEEE 754
 *   "buffer", "unused_buffer"       bytes
 *   "capability"                    u8 n, n bytes
 *   "bitmap"                        u64 words; bit 0 of the map is bit 0 of
 *                                   the first word
 *   "nullptr"                       1 byte, 0x30
 *   "struct"                        the fields of a nested description
 *   "tmp", "vstruct", "qtailq", "gtree", "qlist", and any other   opaque
 *
 * Facts from QEMU 10.0 migration/vmstate-types.c, vmstate.c.
 */
#ifndef FORMATS_VMDESC_H
#define FORMATS_VMDESC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/fault.h"
#include "formats/name.h"

enum vmdesc_kind {
	VMDESC_OPAQUE, /* bytes whose meaning we do not know */
	VMDESC_UINT,
	VMDESC_INT,
	VMDESC_BOOL,
	VMDESC_TIMER,
	VMDESC_FLOAT,
	VMDESC_BUFFER, /* bytes that mean bytes */
	VMDESC_UNUSED, /* bytes that mean nothing */
	VMDESC_CAPABILITY,
	VMDESC_BITMAP,
	VMDESC_NULLPTR,
	VMDESC_STRUCT,
};

struct vmdesc_type {
	enum vmdesc_kind kind;
	/* Bytes of one element; 0: whatever the description says. */
	unsigned int width;
};

/* What a type name means. An unknown name is VMDESC_OPAQUE. */
struct vmdesc_type vmdesc_type_of(const char *name);

struct vmdesc_value {
	enum vmdesc_kind kind;
	size_t width; /* bytes */
	union {
		uint64_t u; /* UINT, BOOL */
		int64_t i; /* INT, TIMER */
		double d; /* FLOAT */
		char text[NAME_SIZE]; /* CAPABILITY */
	};
};

/*
 * One element of type t in buf[0 .. size). size is the description's and
 * must suit the type. Returns size. For OPAQUE, BUFFER, UNUSED, BITMAP,
 * NULLPTR and STRUCT only kind and width = size are filled in: the bytes are
 * the value.
 */
ssize_t vmdesc_value_decode(const uint8_t *buf, size_t len, size_t size,
			    struct vmdesc_type t, struct vmdesc_value *out,
			    struct fault *f);

/* ---- x86 registers ---- */

/*
 * The head of the payload of section "cpu" (version 12, x86_64 target),
 * whose instance id is the CPU's index; the 32-bit target's is another. Where
 * there is a description, it is the better witness.
 */

struct vmdesc_x86_segment {
	uint32_t selector;
	uint64_t base;
	uint32_t limit;
	uint32_t flags;
};

enum vmdesc_x86_reg {
	VMDESC_RAX,
	VMDESC_RCX,
	VMDESC_RDX,
	VMDESC_RBX,
	VMDESC_RSP,
	VMDESC_RBP,
	VMDESC_RSI,
	VMDESC_RDI,
	VMDESC_R8, /* .. R15 */
	VMDESC_REGS = 16
};
enum vmdesc_x86_seg {
	VMDESC_ES,
	VMDESC_CS,
	VMDESC_SS,
	VMDESC_DS,
	VMDESC_FS,
	VMDESC_GS,
	VMDESC_SEGS
};

struct vmdesc_x86_cpu {
	uint64_t regs[VMDESC_REGS];
	uint64_t rip;
	uint64_t rflags;
	uint32_t hflags;
	struct vmdesc_x86_segment segs[VMDESC_SEGS];
	struct vmdesc_x86_segment ldt, tr, gdt, idt;
	uint64_t cr0, cr2, cr3, cr4;
	uint64_t dr[8];
	uint64_t efer, star, lstar, cstar, fmask, kernel_gs_base;
};

enum {
	VMDESC_X86_CPU_VERSION = 12,
	VMDESC_X86_CPU_SIZE = 864, /* bytes needed; the section is longer */
	/* Of hflags: it runs a guest, by SVM or VMX. */
	VMDESC_X86_GUEST = 1 << 21,
};

/* Where things lie in that payload: name as in the description, offset and
 * size in bytes. Ends with a NULL name. */
struct vmdesc_x86_field {
	const char *name;
	uint16_t offset;
	uint16_t size;
};
extern const struct vmdesc_x86_field vmdesc_x86_fields[];

/* Returns VMDESC_X86_CPU_SIZE. */
ssize_t vmdesc_x86_cpu_decode(const uint8_t *buf, size_t len,
			      struct vmdesc_x86_cpu *out, struct fault *f);
/* Whether any CPU can be in that state: bit 1 of RFLAGS is always set, and a
 * selector has 16 bits. */
bool vmdesc_x86_cpu_plausible(const struct vmdesc_x86_cpu *c);
/* "RAX" .. "R15", "ES" .. "GS"; NULL for what is none. */
const char *vmdesc_x86_reg_name(enum vmdesc_x86_reg reg);
const char *vmdesc_x86_seg_name(enum vmdesc_x86_seg seg);

/* ---- aarch64 registers ---- */

/*
 * The head of the payload of section "cpu" (version 22) of an ARM target: u32
 * 16 registers of AArch32, then these, big-endian, and u32 PSTATE, if the CPU
 * is not in AArch32 state.
 */
enum {
	VMDESC_ARM_CPU_VERSION = 22,
	VMDESC_ARM_REGS = 32, /* X0 .. X30, SP */
	VMDESC_ARM_CPU_SIZE = 332, /* bytes needed; the section is longer */
};

struct vmdesc_arm_cpu {
	uint64_t regs[VMDESC_ARM_REGS];
	uint64_t pc;
	uint32_t pstate;
};

/* Returns VMDESC_ARM_CPU_SIZE. */
ssize_t vmdesc_arm_cpu_decode(const uint8_t *buf, size_t len,
			      struct vmdesc_arm_cpu *out, struct fault *f);
/* Whether it is a CPU in AArch64 state: in a mode that there is. */
bool vmdesc_arm_cpu_plausible(const struct vmdesc_arm_cpu *c);

/* ---- any CPU ---- */

/* Whether it waits for an interrupt: the head of the payload of section
 * "cpu_common", whose instance id is the CPU's index, is u32 halted, u32
 * interrupt_request. Returns 4. */
ssize_t vmdesc_halted_decode(const uint8_t *buf, size_t len, bool *halted,
			     struct fault *f);

#endif
