/*
 * srat.h - where memory is, as ACPI tables say (srat.md).
 *
 * QEMU keeps its tables, for the firmware to fetch, in RAM block
 * "/rom@etc/acpi/tables": one behind the other, then zeros. Little-endian:
 *
 *   off  size  field of every table
 *     0     4  signature
 *     4     4  bytes of the table, these included
 *
 * "SRAT" goes on, its length being that of all of it:
 *
 *    48        entries: u8 type, u8 bytes of the entry
 *
 * and an entry of type 1, memory, has 40 bytes:
 *
 *     2     4  proximity domain (NUMA node)
 *     8     8  guest-physical address
 *    16     8  bytes; 0: the entry is one that is not used
 *    28     4  flags: 1 used, 2 memory may be plugged there, 4 non-volatile
 *
 * Facts from QEMU 10.0: hw/i386/acpi-build.c, hw/arm/virt-acpi-build.c,
 * hw/acpi/aml-build.c.
 */
#ifndef FORMATS_SRAT_H
#define FORMATS_SRAT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/fault.h"

#define SRAT_BLOCK "/rom@etc/acpi/tables"

enum {
	SRAT_USED = 1,
	SRAT_PLUGGABLE = 2,
	SRAT_NON_VOLATILE = 4,
	SRAT_MEMORY = 1, /* type */
};

struct srat_memory {
	uint64_t base, length; /* bytes; they do not wrap */
	uint32_t domain;
	uint32_t flags;
};

/* The byte where an SRAT begins in the tables, which may end in zeros, and its
 * length; 0 and *length 0: there is none. */
ssize_t srat_find(const uint8_t *tables, size_t len, size_t *length,
		  struct fault *f);

/* The entry at byte `at` (first SRAT_ENTRIES) of an SRAT of len bytes: its
 * length. *out is filled if it is memory, else all zero. */
#define SRAT_ENTRIES 48u
ssize_t srat_entry_decode(const uint8_t *srat, size_t len, size_t at,
			  struct srat_memory *out, struct fault *f);

#endif
