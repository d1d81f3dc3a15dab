/*
 * expand_lzop.c - what lzop writes; numbers are big endian.
 *
 *   off  size  field
 *     0     9  89 'L' 'Z' 'O' 00 0d 0a 1a 0a
 *     9     2  version: at least 0x0940, or the fields in brackets are not
 * there 11     2  of the library [13     2  version that it takes to unpack] 1
 * method: 1, 2, 3: LZO1X [1  level] 4  flags 4  filter, only with that flag 4
 * mode 4  mtime; [4  its high half] 1, n  the length of a name, and the name 4
 * Adler-32, or CRC-32, of all this from byte 9 on 4, n, 4  with that flag: an
 * extra field and its checksum
 *
 * Blocks follow: length unpacked (0: that was the last, and nothing more is
 * there), length packed, Adler-32 and CRC-32 of what is unpacked, and, if the
 * packed length is less, of what is packed: each only with its flag. Then the
 * bytes. A block that could not be made smaller is there as it is.
 */
#include "libmr/file/expand.h"

#include <stdlib.h>
#include <zlib.h>
#if __has_include(<lzo/lzo1x.h>)
#include <lzo/lzo1x.h>
#define HAS_LZOP 1
#else
#define HAS_LZOP 0
#endif

#include "formats/bytes.h"
#include "libmr/base/error.h"

const bool expand_has_lzop = HAS_LZOP;

#if HAS_LZOP

enum {
	ADLER_D = 0x1,
	ADLER_C = 0x2,
	EXTRA = 0x40,
	CRC_D = 0x100,
	CRC_C = 0x200,
	MULTIPART = 0x400,
	FILTER = 0x800,
	HEADER_CRC = 0x1000,
};

/* lzop's own blocks have 256 KiB. */
#define BLOCK_MAX ((uint32_t)512 << 10)
#define VERSION_LONG 0x0940
/* Of a header, up to its flags. */
#define FLAGS_END 21

struct lzop {
	struct reader *from;
	struct expand_to *to;
	uint32_t flags;
	uint8_t *out; /* BLOCK_MAX bytes */
	struct mr_error *err;
};

static uint32_t checksum(bool crc, const uint8_t *buf, size_t len)
{
	return (uint32_t)(crc ? crc32(0, buf, (unsigned int)len)
			      : adler32(1, buf, (unsigned int)len));
}

static int bad(struct lzop *z, const char *why)
{
	return error_set(z->err, MR_FORMAT, mr_reader_tell(z->from),
			 "lzop data: %s", why);
}

/* What the fields say, which are `end` bytes with the name and all. */
static int check_header(struct lzop *z, const uint8_t *h, size_t end,
			uint8_t method)
{
	if (get_be32(h + end) !=
	    checksum(z->flags & HEADER_CRC, h + 9, end - 9))
		return bad(z, "the header's checksum differs");
	if (method < 1 || method > 3)
		return error_set(z->err, MR_UNSUPPORTED,
				 mr_reader_tell(z->from),
				 "lzop data: method %u", method);
	if (z->flags & (FILTER | MULTIPART))
		return error_set(z->err, MR_UNSUPPORTED,
				 mr_reader_tell(z->from),
				 "lzop data: filtered, or in several parts");
	return 0;
}

static int read_header(struct lzop *z)
{
	const uint8_t *h;
	bool full;
	size_t at;
	uint8_t method;

	if (reader_need(z->from, FLAGS_END, &h, z->err))
		return -1;
	full = get_be16(h + 9) >= VERSION_LONG;
	at = full ? 15 : 13;
	method = h[at];
	at += full ? 2 : 1;
	z->flags = get_be32(h + at);
	at += 4 + (z->flags & FILTER ? 4u : 0u) + (full ? 12u : 8u);
	if (reader_need(z->from, at + 1, &h, z->err))
		return -1;
	at += 1 + (size_t)h[at];
	if (reader_need(z->from, at + 4, &h, z->err) ||
	    check_header(z, h, at, method))
		return -1;
	mr_reader_skip(z->from, at + 4);
	if (!(z->flags & EXTRA))
		return 0;
	if (reader_need(z->from, 4, &h, z->err))
		return -1;
	at = get_be32(h);
	if (at > BLOCK_MAX)
		return bad(z, "an extra field that is too long");
	if (reader_need(z->from, at + 8, &h, z->err))
		return -1;
	mr_reader_skip(z->from, at + 8);
	return 0;
}

/* The checksums of a block, of which `which` are there. Returns how many bytes
 * they take, or -1 if one differs; buf NULL: none is looked at. */
static int check_sums(uint32_t adler, uint32_t crc, const uint8_t *sums,
		      const uint8_t *buf, size_t len)
{
	int at = 0;

	if (adler) {
		if (buf && get_be32(sums) != checksum(false, buf, len))
			return -1;
		at += 4;
	}
	if (crc) {
		if (buf && get_be32(sums + at) != checksum(true, buf, len))
			return -1;
		at += 4;
	}
	return at;
}

static int put_block(struct lzop *z, const uint8_t *sums, uint32_t len,
		     const uint8_t *packed, uint32_t packed_len)
{
	const uint8_t *plain = packed;
	int at =
		check_sums(z->flags & ADLER_D, z->flags & CRC_D, sums, NULL, 0);

	if (packed_len < len) {
		lzo_uint n = len;

		if (check_sums(z->flags & ADLER_C, z->flags & CRC_C, sums + at,
			       packed, packed_len) < 0)
			return bad(z, "a block's checksum differs");
		if (lzo1x_decompress_safe(packed, packed_len, z->out, &n,
					  NULL) != LZO_E_OK ||
		    n != len)
			return bad(z, "damaged");
		plain = z->out;
	}
	if (check_sums(z->flags & ADLER_D, z->flags & CRC_D, sums, plain, len) <
	    0)
		return bad(z, "a block's checksum differs");
	return z->to->put(z->to, plain, len, z->err);
}

/* 1: there was one; 0: there are no more; -1. */
static int read_block(struct lzop *z)
{
	uint32_t len, packed;
	const uint8_t *h;
	int sums;

	if (reader_need(z->from, 4, &h, z->err))
		return -1;
	len = get_be32(h);
	if (!len) {
		mr_reader_skip(z->from, 4);
		return 0;
	}
	if (reader_need(z->from, 8, &h, z->err))
		return -1;
	packed = get_be32(h + 4);
	if (len > BLOCK_MAX || !packed || packed > len)
		return bad(z, "a block of an impossible length");
	sums = check_sums(z->flags & ADLER_D, z->flags & CRC_D, h, NULL, 0);
	if (packed < len)
		sums += check_sums(z->flags & ADLER_C, z->flags & CRC_C, h,
				   NULL, 0);
	if (reader_need(z->from, 8 + (size_t)sums + packed, &h, z->err) ||
	    put_block(z, h + 8, len, h + 8 + sums, packed))
		return -1;
	mr_reader_skip(z->from, 8 + (uint64_t)(unsigned int)sums + packed);
	return 1;
}

/* 1: there was a file; 0: there are no more; -1. */
static int read_file(struct lzop *z)
{
	const uint8_t *h;
	ssize_t n = mr_reader_peek(z->from, EXPAND_MAGIC, &h, z->err);
	int rc;

	if (n <= 0)
		return (int)n;
	if (expand_find(h, (size_t)n) != EXPAND_LZOP)
		return error_set(z->err, MR_FORMAT, mr_reader_tell(z->from),
				 "what is here is no lzop data");
	rc = read_header(z) ? -1 : 1;
	while (rc > 0)
		rc = read_block(z);
	return rc ? -1 : 1;
}

int expand_lzop(struct reader *from, struct expand_to *to, struct mr_error *err)
{
	struct lzop z = { .from = from, .to = to, .err = err };
	int rc;

	if (lzo_init() != LZO_E_OK)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "the library of lzop does not work");
	z.out = malloc(BLOCK_MAX);
	if (!z.out)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	do
		rc = read_file(&z);
	while (rc > 0);
	free(z.out);
	return rc;
}

#else

int expand_lzop(struct reader *from, struct expand_to *to, struct mr_error *err)
{
	(void)from;
	(void)to;
	return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
			 "we are built without lzop");
}

#endif
