/*
 * pc.h - what a pc's devices say of where its memory is (pc.md).
 *
 * Section mc146818rtc, version 3, begins with the clock's 128 bytes of CMOS,
 * into which QEMU writes for the firmware, little-endian:
 *
 *   off   size  field
 *   0x30     2  RAM from 1 MiB on, in KiB; at most 65535
 *   0x34     2  RAM from 16 MiB to 4 GiB, in 64 KiB; 0: all is below 16 MiB
 *   0x5b     3  RAM from 4 GiB on, in 64 KiB
 *
 * The host bridge's section is an int32 and 256 bytes of PCI configuration.
 * Seven registers of these, PAM, say for pieces of 0xc0000 .. 0xfffff whether
 * RAM is read there, or firmware: bit 0 of a half byte. PAM 0 has 0xf0000 ..
 * 0xfffff in its high half; of PAM 1 .. 6 each half has 16 KiB, from 0xc0000
 * on, the low one first.
 *
 * Facts from QEMU 10.0: hw/i386/pc.c (pc_cmos_init), hw/pci-host/pam.c.
 */
#ifndef FORMATS_PC_H
#define FORMATS_PC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/fault.h"

/* ---- the clock ---- */

enum {
	PC_CMOS_VERSION = 3,
	PC_CMOS_SIZE = 128, /* bytes needed; the section is longer */
};

/* Bytes of RAM below and above 4 GiB: multiples of 64 KiB, so of the part
 * that ends RAM less than that may be missing. */
struct pc_memory {
	uint64_t below, above;
};

/* Returns PC_CMOS_SIZE. */
ssize_t pc_cmos_decode(const uint8_t *buf, size_t len, struct pc_memory *out,
		       struct fault *f);

/* ---- the host bridge ---- */

enum {
	PC_PAM_BEGIN = 0xc0000,
	PC_PAM_END = 0x100000,
	PC_PAM_PIECE = 0x4000, /* 16 KiB */
	PC_BRIDGE_SIZE = 4 + 256, /* bytes needed; the section is longer */
};

struct pc_bridge {
	const char *section;
	uint32_t version;
	unsigned int pam; /* byte of the payload */
};
extern const struct pc_bridge pc_i440fx, pc_q35;

/* Bit n is set if RAM is read in the piece of 16 KiB at PC_PAM_BEGIN + n
 * PC_PAM_PIECE. Returns PC_BRIDGE_SIZE. */
ssize_t pc_pam_decode(const uint8_t *buf, size_t len,
		      const struct pc_bridge *bridge, uint16_t *ram,
		      struct fault *f);

#endif
