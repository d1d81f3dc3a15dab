/*
 * elfcore.h - a guest's memory as an ELF core (elfcore.md).
 *
 * Little-endian, 64 bits. The header, program headers behind it, notes behind
 * those, memory wherever the program headers say:
 *
 *   off  size  ELF header             program header        note
 *     0     4  7f 'E' 'L' 'F'         type: 1 load, 4 note  name size, with NUL
 *     4     4  2, 1, 1, 0             flags: 0              bytes of content
 *     8     8  0                      byte of the file      u32 type; name,
 *    16     8  u16 4, u16 machine,    virtual address       padded to 4 bytes;
 *              u32 1                                        content, padded
 *    24     8  0                      physical address
 *    32     8  64                     bytes in the file
 *    40     8  0                      bytes in memory
 *    48     8  u32 0, u16 64, u16 56  0
 *    56     8  u16 headers, 0, 0, 0
 *
 * Notes are those of QEMU's dump-guest-memory, for each CPU "CORE" of type 1
 * (NT_PRSTATUS), then for each "QEMU" of type 0, and "VMCOREINFO" of type 0:
 *
 *   NT_PRSTATUS   32  u32 index of the CPU + 1
 *   x86_64       112  u64 r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx
 *                     rsi rdi 0 rip cs rflags rsp ss fs_base gs_base ds es
 *                     fs gs; 336 bytes in all
 *   aarch64      112  u64 x0 .. x30 sp pc pstate; 392 bytes in all
 *   QEMU           0  u32 1, u32 440
 *                  8  u64 rax rbx rcx rdx rsi rdi rsp rbp r8 .. r15 rip rflags
 *                152  cs ds es fs gs ss ldt tr gdt idt, each u32 selector,
 *                     u32 limit, u32 flags, u32 0, u64 base
 *                392  u64 cr0, 0, cr2, cr3, cr4, kernel_gs_base
 *
 * Facts from QEMU 10.0: dump/dump.c, target/i386/arch_dump.c, target/arm/
 * arch_dump.c; ELF-64 Object File Format 1.5.
 */
#ifndef FORMATS_ELFCORE_H
#define FORMATS_ELFCORE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/fault.h"

enum elfcore_machine { ELFCORE_X86_64 = 62, ELFCORE_AARCH64 = 183 };

enum {
	ELFCORE_HEADER_SIZE = 64,
	ELFCORE_PHDR_SIZE = 56,
	ELFCORE_HEADERS_MAX = 0xfffe, /* program headers */
	ELFCORE_LOAD = 1,
	ELFCORE_NOTE = 4,
	ELFCORE_PRSTATUS = 1, /* type of a note */
	ELFCORE_X86_PRSTATUS_SIZE = 336,
	ELFCORE_ARM_PRSTATUS_SIZE = 392,
	ELFCORE_QEMU_SIZE = 440,
	ELFCORE_NOTE_NAME_MAX = 16,
};

struct elfcore_header {
	uint16_t machine;
	uint16_t headers; /* program headers, right behind it */
};

struct elfcore_phdr {
	uint32_t type;
	uint64_t offset; /* byte of the file */
	uint64_t virtual, physical; /* addresses */
	uint64_t length; /* bytes, in the file and in memory */
};

struct elfcore_note {
	char name[ELFCORE_NOTE_NAME_MAX];
	uint32_t type;
	size_t at, len; /* its content: byte of the buffer, bytes */
};

struct elfcore_segment {
	uint32_t selector, limit, flags;
	uint64_t base;
};
enum elfcore_seg {
	ELFCORE_CS,
	ELFCORE_DS,
	ELFCORE_ES,
	ELFCORE_FS,
	ELFCORE_GS,
	ELFCORE_SS,
	ELFCORE_LDT,
	ELFCORE_TR,
	ELFCORE_GDT,
	ELFCORE_IDT,
	ELFCORE_SEGS
};

/* RAX RCX RDX RBX RSP RBP RSI RDI R8 .. R15, as the CPU counts them. */
enum { ELFCORE_X86_REGS = 16, ELFCORE_ARM_REGS = 31 };
struct elfcore_x86_cpu {
	uint64_t regs[ELFCORE_X86_REGS];
	uint64_t rip, rflags;
	struct elfcore_segment segs[ELFCORE_SEGS];
	uint64_t cr[5];
	uint64_t kernel_gs_base;
};
struct elfcore_arm_cpu {
	uint64_t regs[ELFCORE_ARM_REGS];
	uint64_t sp, pc, pstate;
};

/* Encoders return the bytes that they made: those of the constants above. */
size_t elfcore_header_encode(uint8_t *buf, const struct elfcore_header *h);
size_t elfcore_phdr_encode(uint8_t *buf, const struct elfcore_phdr *p);
/* The content of notes; index is the CPU's. */
size_t elfcore_x86_prstatus_encode(uint8_t *buf,
				   const struct elfcore_x86_cpu *c,
				   uint32_t index);
size_t elfcore_arm_prstatus_encode(uint8_t *buf,
				   const struct elfcore_arm_cpu *c,
				   uint32_t index);
size_t elfcore_qemu_encode(uint8_t *buf, const struct elfcore_x86_cpu *c);

/* Bytes of a note with so many of content; name has less than
 * ELFCORE_NOTE_NAME_MAX. */
size_t elfcore_note_size(const char *name, size_t len);
size_t elfcore_note_encode(uint8_t *buf, const char *name, uint32_t type,
			   const void *content, size_t len);

/* Decoders return the bytes that they read. */
ssize_t elfcore_header_decode(const uint8_t *buf, size_t len,
			      struct elfcore_header *out, struct fault *f);
ssize_t elfcore_phdr_decode(const uint8_t *buf, size_t len,
			    struct elfcore_phdr *out, struct fault *f);
ssize_t elfcore_note_decode(const uint8_t *buf, size_t len,
			    struct elfcore_note *out, struct fault *f);

#endif
