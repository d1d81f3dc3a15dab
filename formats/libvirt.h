/*
 * libvirt.h - what libvirt puts before a QEMU stream (libvirt.md).
 *
 *   off  size  field                 92 bytes, byte order of the writing host
 *     0    16  "LibvirtQemudSave" complete, "LibvirtQemudPart" unfinished
 *    16     4  version: 2, or 1
 *    20     4  data_len: bytes of the data area
 *    24     4  was_running: 0 or 1
 *    28     4  format of the body
 *    32     4  cookie offset in the data area, 0: no cookie
 *    36    56  unused, zero
 *    92  data_len  domain XML + NUL, [cookie XML + NUL,] zero padding
 *    92 + data_len  QEMU stream, as it is or compressed
 *
 * Facts from libvirt 11.3 src/qemu/qemu_saveimage.{h,c}.
 */
#ifndef FORMATS_LIBVIRT_H
#define FORMATS_LIBVIRT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/fault.h"

enum {
	LIBVIRT_HEADER_SIZE = 92,
	LIBVIRT_VERSION = 2,
	/* libvirt takes up to 4 GiB; no domain's XML comes near this. */
	LIBVIRT_DATA_LIMIT = 64 << 20,
	/* What it leaves free for an XML that grows when it is edited. */
	LIBVIRT_DATA_ROOM = 64 << 10,
	/* The largest file of XML that virsh reads. */
	LIBVIRT_XML_LIMIT = 10 << 20,
};

enum libvirt_format {
	LIBVIRT_RAW = 0, /* a plain migration stream */
	LIBVIRT_GZIP = 1,
	LIBVIRT_BZIP2 = 2,
	LIBVIRT_XZ = 3,
	LIBVIRT_LZOP = 4,
	LIBVIRT_ZSTD = 5,
	LIBVIRT_SPARSE = 6, /* mapped-ram, offsets count from byte 0 */
	LIBVIRT_FORMATS
};

struct libvirt_header {
	bool complete; /* false: the Part magic, a save that did not end */
	bool big_endian;
	uint32_t version;
	uint32_t data_len;
	bool was_running;
	enum libvirt_format format; /* LIBVIRT_RAW for version 1 */
	uint32_t cookie_offset; /* 0: none */
};

/* Whether the first len bytes of a file are either magic (len >= 16). */
bool libvirt_is_save(const uint8_t *buf, size_t len);

/*
 * 92 bytes. FAULT_UNSUPPORTED: a version above 2 in both byte orders, a
 * format that libvirt 11.3 does not know, a data area above
 * LIBVIRT_DATA_LIMIT. FAULT_BAD: wrong magic, version 0, no data area, a
 * cookie outside it, was_running above 1.
 */
ssize_t libvirt_header_decode(const uint8_t *buf, size_t len,
			      struct libvirt_header *out, struct fault *f);
size_t libvirt_header_encode(uint8_t buf[LIBVIRT_HEADER_SIZE],
			     const struct libvirt_header *h);

/* Where QEMU's stream begins in the file. */
static inline uint64_t libvirt_stream_offset(const struct libvirt_header *h)
{
	return LIBVIRT_HEADER_SIZE + (uint64_t)h->data_len;
}

/* "raw", "gzip", ... "sparse", as in qemu.conf. */
const char *libvirt_format_name(enum libvirt_format format);

/* The data area; both strings lie in the caller's buffer and end in NUL. */
struct libvirt_data {
	const char *xml; /* untrusted, and holds the domain's secrets */
	const char *cookie; /* NULL: none */
};

/* buf holds the data_len bytes after the header. Returns data_len. */
ssize_t libvirt_data_decode(const uint8_t *buf, size_t len,
			    const struct libvirt_header *h,
			    struct libvirt_data *out, struct fault *f);

/*
 * The reverse, in two steps: data_len and cookie_offset of a header before
 * this data; then the data_len bytes behind it, which are returned.
 * FAULT_UNSUPPORTED: more than LIBVIRT_DATA_LIMIT.
 */
int libvirt_data_place(struct libvirt_header *h, const struct libvirt_data *d,
		       struct fault *f);
size_t libvirt_data_encode(uint8_t *buf, const struct libvirt_header *h,
			   const struct libvirt_data *d);

/*
 * Whether len bytes that somebody gives us look like the XML of one domain: an
 * element <domain> from its begin to its end, after nothing but declarations
 * and comments. Only libvirt can tell whether that makes sense. FAULT_BAD, with
 * the byte.
 */
int libvirt_xml_check(const char *xml, size_t len, struct fault *f);

/* The machine type that a domain's XML asks for. Returns its length and where
 * it begins in xml; 0: it asks for none, or has it where we do not look. */
size_t libvirt_xml_machine(const char *xml, const char **machine);

/*
 * Whether that can be the machine type of a stream, which has a version:
 * pc-q35-10.0. "q35" may be it, and "virt" may be virt-10.0; what a
 * distribution calls its own is taken for right.
 */
bool libvirt_machine_fits(const char *machine, size_t len, const char *stream);

#endif
