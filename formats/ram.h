/*
 * ram.h - what the sections of "ram" carry (ram.md).
 *
 * START (idstr "ram", instance 0, version 4), PART and END alike hold items up
 * to and including one with EOS. An item begins with a word:
 *
 *   u64 = byte offset in a block, a multiple of the page size | flags
 *
 *   0x002 ZERO      [str8 block], u8 fill = 0
 *   0x004 MEM_SIZE  block list; the offset part is the sum of its lengths
 *   0x008 PAGE      [str8 block], one page
 *   0x010 EOS       nothing; ends the section's payload
 *   0x040 XBZRLE    [str8 block], u8 = 1, u16 n, n bytes
 *   0x100 COMPRESS  [str8 block], u32 n, n bytes of zlib (before QEMU 9.1)
 *   0x200 FLUSH     nothing (multifd)
 *   0x020 CONTINUE  with ZERO, PAGE, XBZRLE, COMPRESS: the block is that of
 *                   the last such item of the stream, and [str8 block] is
 *                   absent
 *
 * Block list entry:
 *   str8 name
 *   u64  used_length
 *   [u64 host page size]   postcopy-ram, and the page size is not the usual
 *   [u64 addr]             x-ignore-shared
 *   [28 bytes, then the memory itself: mapped_ram.h]    mapped-ram
 *
 * Facts from QEMU 10.0 migration/ram.h, ram.c, xbzrle.c, and of COMPRESS from
 * QEMU 7.2 ram.c, 9.0 ram-compress.c. All big-endian.
 * Decoders as in stream.h: bytes consumed, or -1 with *f filled.
 */
#ifndef FORMATS_RAM_H
#define FORMATS_RAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/fault.h"
#include "formats/mapped_ram.h"
#include "formats/name.h"

#define RAM_IDSTR "ram"

enum {
	RAM_VERSION = 4,
	RAM_WORD_SIZE = 8,
	RAM_XBZRLE_ENCODING = 1, /* the one there is */
	RAM_COMPRESS_HEAD = 4, /* the length before the zlib stream */
	/* The longest item header: COMPRESS with a 255-byte block name. */
	RAM_ITEM_MAX = 8 + 256 + RAM_COMPRESS_HEAD,
	/* The longest block list entry. */
	RAM_BLOCK_MAX = 256 + 8 + 8 + 8 + MAPPED_RAM_HEADER_SIZE,
	/* More blocks than any machine has; a reader stops there. */
	RAM_BLOCKS_LIMIT = 4096,
};

enum ram_flag {
	RAM_FULL = 0x001, /* obsolete */
	RAM_ZERO = 0x002,
	RAM_MEM_SIZE = 0x004,
	RAM_PAGE = 0x008,
	RAM_EOS = 0x010,
	RAM_CONTINUE = 0x020, /* modifier */
	RAM_XBZRLE = 0x040,
	RAM_HOOK = 0x080, /* RDMA only */
	RAM_COMPRESS = 0x100, /* until QEMU 9.0 */
	RAM_FLUSH = 0x200,
};

/* ---- items ---- */

struct ram_item {
	enum ram_flag kind; /* exactly one flag, never CONTINUE */
	bool cont; /* CONTINUE was set */
	uint64_t offset; /* in the block; MEM_SIZE: the total */
	/* ZERO PAGE XBZRLE COMPRESS without cont; else empty */
	char block[NAME_SIZE];
	uint32_t data_len; /* PAGE, XBZRLE, COMPRESS: bytes that follow */
};

/*
 * One item without its data (a page, an XBZRLE body, a zlib stream) and
 * without the block list. page_size must be legal (mapped_ram_page_size_ok).
 * Refused: no flag or several, CONTINUE beside a kind that names no block, an
 * offset beside EOS or FLUSH, a fill byte that is not 0, an XBZRLE length of 0
 * or above a page, a zlib stream of no bytes or more than ram_compress_max;
 * FULL and HOOK, which no file has, are FAULT_UNSUPPORTED. That the offset
 * lies in the block, and that CONTINUE has a block to continue, is for the
 * caller to check.
 */
ssize_t ram_item_decode(const uint8_t *buf, size_t len, uint32_t page_size,
			struct ram_item *out, struct fault *f);

/* The reverse, for every kind that the decoder takes; returns the bytes
 * written. */
size_t ram_item_encode(uint8_t buf[RAM_ITEM_MAX], const struct ram_item *item);

/* "page", "zero", ...; NULL for what is not one flag. */
const char *ram_kind_name(unsigned int kind);

/* Whether items of this kind are about a page. */
bool ram_names_page(unsigned int kind);

/* The longest zlib stream that a page is taken in: more than the compressBound
 * of any zlib, as one that can't be compressed grows by less than an eighth. */
static inline uint32_t ram_compress_max(uint32_t page_size)
{
	return page_size + page_size / 8 + 64;
}

/* The RAM_COMPRESS_HEAD bytes before a zlib stream: *len is what they say;
 * -1: that is no length that one has. */
int ram_compress_length(const uint8_t *head, uint32_t page_size, uint32_t *len);

/* ---- block list ---- */

/* What a stream's entries hold: not in the list itself. */
struct ram_list_form {
	bool host_page_size; /* of this very entry: see ram.md */
	bool addr; /* capability x-ignore-shared */
	bool mapped_ram; /* capability mapped-ram */
	uint32_t page_size; /* lengths are multiples of it; 0: not known */
};

struct ram_block {
	char name[NAME_SIZE];
	uint64_t used_length;
	uint64_t host_page_size; /* if the form has it, else 0 */
	uint64_t addr; /* likewise */
	struct mapped_ram_header mapped;
};

/* One entry. A length of 0, or one that is not a multiple of the page size,
 * is FAULT_BAD; the mapped-ram header is decoded but not judged, except for
 * its version. */
ssize_t ram_block_decode(const uint8_t *buf, size_t len,
			 const struct ram_list_form *form,
			 struct ram_block *out, struct fault *f);
size_t ram_block_encode(uint8_t buf[RAM_BLOCK_MAX],
			const struct ram_list_form *form,
			const struct ram_block *b);

/* The byte of an entry, counted from its start, where its mapped-ram header
 * begins. */
size_t ram_block_header_at(const struct ram_list_form *form,
			   const struct ram_block *b);

/* Takes one entry's length off what is left of the MEM_SIZE total: -1 with
 * *f filled (f->at = 0) if it is longer. The list ends when nothing is left. */
int ram_list_take(uint64_t *left, uint64_t used_length, struct fault *f);

/* ---- XBZRLE ---- */

/*
 * A body: { zrun, nzrun, nzrun bytes }*, both runs ULEB128 of at most two
 * bytes. zrun bytes of the page stay, nzrun are replaced; the rest stays.
 * zrun may be 0 only in the first pair, nzrun never.
 */

/* 0, or -1 with *f filled: FAULT_BAD if the body is malformed or leaves the
 * page, FAULT_SHORT if it ends inside a pair. */
int ram_xbzrle_check(const uint8_t *body, size_t len, size_t page_size,
		     struct fault *f);
/* The same, then applies it to page, which holds the previous content. A bad
 * body leaves the page as it was. */
int ram_xbzrle_apply(const uint8_t *body, size_t len, uint8_t *page,
		     size_t page_size, struct fault *f);

#endif
