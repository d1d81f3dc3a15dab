/*
 * other.h - what a file is that is no image of ours (other.md).
 *
 *   ELF       7f "ELF"; byte 5: 1 little-, 2 big-endian; u16 at 16: 4 is a core
 *   kdump     "KDUMP   " or "DISKDUMP"
 *   flattened "makedumpfile", four zeros
 *   qcow2     "QFI" fb; be32 at 4: version; be32 at 60: snapshots
 *   Windows   "PAGEDU64" or "PAGEDUMP"
 */
#ifndef FORMATS_OTHER_H
#define FORMATS_OTHER_H

#include <stddef.h>
#include <stdint.h>

enum { OTHER_MAX = 64 }; /* bytes that are enough to tell */

enum other_kind {
	OTHER_NONE, /* or not one that is known here */
	OTHER_ELF,
	OTHER_ELF_CORE,
	OTHER_KDUMP,
	OTHER_KDUMP_FLAT,
	OTHER_QCOW2,
	OTHER_QCOW2_SNAPSHOTS,
	OTHER_WINDOWS,
	OTHER_KINDS
};

/* By the first len bytes of the file. */
enum other_kind other_find(const uint8_t *buf, size_t len);

/* What it is, and where one can look into it: "an ELF core: ..."; NULL: of
 * OTHER_NONE. */
const char *other_text(enum other_kind kind);

#endif
