/* other.c - what a file is that is no image of ours (other.h). */
#include "formats/other.h"

#include <string.h>

#include "formats/bytes.h"

enum { ELF_TYPE = 16, ELF_CORE = 4, QCOW2_SNAPSHOTS = 60 };

static int begins(const uint8_t *buf, size_t len, const char *with, size_t n)
{
	return len >= n && !memcmp(buf, with, n);
}

static enum other_kind elf(const uint8_t *buf, size_t len)
{
	unsigned type;

	if (len < ELF_TYPE + 2)
		return OTHER_ELF;
	type = buf[5] == 2 ? get_be16(buf + ELF_TYPE)
			   : buf[ELF_TYPE] + 256u * buf[ELF_TYPE + 1];
	return type == ELF_CORE ? OTHER_ELF_CORE : OTHER_ELF;
}

static enum other_kind qcow2(const uint8_t *buf, size_t len)
{
	uint32_t version = len >= 8 ? get_be32(buf + 4) : 0;

	if (version != 2 && version != 3)
		return OTHER_NONE;
	return len >= QCOW2_SNAPSHOTS + 4 && get_be32(buf + QCOW2_SNAPSHOTS)
		       ? OTHER_QCOW2_SNAPSHOTS
		       : OTHER_QCOW2;
}

enum other_kind other_find(const uint8_t *buf, size_t len)
{
	if (begins(buf, len, "\177ELF", 4))
		return elf(buf, len);
	if (begins(buf, len, "KDUMP   ", 8) || begins(buf, len, "DISKDUMP", 8))
		return OTHER_KDUMP;
	if (begins(buf, len, "makedumpfile\0\0\0\0", 16))
		return OTHER_KDUMP_FLAT;
	if (begins(buf, len, "QFI\373", 4))
		return qcow2(buf, len);
	if (begins(buf, len, "PAGEDU64", 8) || begins(buf, len, "PAGEDUMP", 8))
		return OTHER_WINDOWS;
	return OTHER_NONE;
}

const char *other_text(enum other_kind kind)
{
	static const char *const texts[OTHER_KINDS] = {
		[OTHER_ELF] = "an ELF file that is no core",
		[OTHER_ELF_CORE] = "an ELF core: gdb, crash and drgn read it",
		[OTHER_KDUMP] = "a kdump: crash and drgn read it",
		[OTHER_KDUMP_FLAT] = "a flattened kdump: makedumpfile -R makes "
				     "a file of it that crash reads",
		[OTHER_QCOW2] = "a qcow2 disk without snapshots",
		[OTHER_QCOW2_SNAPSHOTS] =
			"a qcow2 disk with snapshots: if they hold a VM, start "
			"it from a copy with -S -loadvm NAME, then mrsave",
		[OTHER_WINDOWS] = "a Windows crash dump: WinDbg reads it",
	};

	return texts[kind];
}
