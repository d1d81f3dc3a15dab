/*
 * mapped_ram.h - RAM at fixed offsets of a file (mapped_ram.md).
 *
 * With capability mapped-ram each entry of the block list (ram.h) is followed
 * in the file by the block's memory:
 *
 *   str8 name, u64 used_length, [u64 addr]      block list entry
 *   off  size  field                            header, big-endian
 *     0     4  version = 1
 *     4     8  page size of the target, in bytes
 *    12     8  bitmap_offset: byte of the file where the bitmap begins
 *    20     8  pages_offset: byte of the file where page 0 is
 *   bitmap: one bit per page, in 64-bit words of the writing host
 *   gap up to a multiple of 1 MiB (of the file, also when the stream begins
 *   at another offset of it)
 *   pages: page p at pages_offset + p * page size; used_length bytes in all
 *   the next entry, or the end-of-section word
 *
 * A set bit: the page is in the file. A clear bit: the page is zero, and
 * whatever the file holds in its place means nothing. Facts from QEMU 10.0
 * migration/ram.c (mapped_ram_setup_ramblock, parse_ramblock_mapped_ram),
 * checked on files made by QEMU 10.0.2.
 *
 * Sizes and offsets are bytes; offsets count from the start of the file.
 */
#ifndef FORMATS_MAPPED_RAM_H
#define FORMATS_MAPPED_RAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/fault.h"

#define MAPPED_RAM_CAPABILITY "mapped-ram"

enum {
	MAPPED_RAM_VERSION = 1,
	MAPPED_RAM_HEADER_SIZE = 28,
	MAPPED_RAM_ALIGN = 0x100000, /* of pages_offset */
	MAPPED_RAM_PAGE_MIN = 256,
	MAPPED_RAM_PAGE_MAX = 65536,
};

/* ---- header ---- */

struct mapped_ram_header {
	uint32_t version;
	uint64_t page_size;
	uint64_t bitmap_offset;
	uint64_t pages_offset;
};

/* 28 bytes. Only a version above 1 is a fault (FAULT_UNSUPPORTED): the rest
 * is mapped_ram_check's, which sees the whole file. */
ssize_t mapped_ram_header_decode(const uint8_t *buf, size_t len,
				 struct mapped_ram_header *out,
				 struct fault *f);
size_t mapped_ram_header_encode(uint8_t buf[MAPPED_RAM_HEADER_SIZE],
				const struct mapped_ram_header *h);

/* ---- layout ---- */

/* A power of two that QEMU can have as target page size: 256 bytes (avr) to
 * 64 KiB. */
bool mapped_ram_page_size_ok(uint64_t page_size);
/* Pages of a block; a partial last page (not legal) counts. page_size > 0. */
uint64_t mapped_ram_num_pages(uint64_t used_length, uint64_t page_size);

/* Where the parts of one block lie. */
struct mapped_ram_place {
	uint64_t entry; /* the block list entry's first byte */
	uint64_t header; /* the 28-byte header */
	uint64_t bitmap_offset;
	uint64_t bitmap_size;
	uint64_t pages_offset;
	uint64_t num_pages;
	uint64_t end; /* next entry, or the end-of-section word */
};

/*
 * Lays a block out exactly as QEMU does when its list entry (a name of
 * name_len bytes, 1..255; with an address if has_addr) begins at byte start
 * of the file. ignored: the block's memory is left out (x-ignore-shared, in
 * the form of QEMU 11.0): both offsets are 0 and end follows the header.
 * Returns 0, or -1 with *f filled if used_length or page_size is illegal or
 * the file would pass 2^63 - 1 bytes; f->at is 0.
 */
int mapped_ram_layout(uint64_t start, size_t name_len, bool has_addr,
		      uint64_t used_length, uint64_t page_size, bool ignored,
		      struct mapped_ram_place *out, struct fault *f);

/* ---- bitmaps ---- */

/*
 * In a file a bitmap is the writing host's 64-bit words (bits.h); that is
 * little-endian here (nothing in the file says so: a file of a big-endian or
 * 32-bit host can't be told apart).
 */

/* What a bitmap says in all; start as { 0 }. */
struct mapped_ram_tally {
	uint64_t pages; /* bits set below num_pages */
	uint64_t present_end; /* 1 + the last of them; 0: none */
	uint64_t stray; /* bits set at or above num_pages */
};

/* Adds words (host order) that begin at page first, a multiple of 64: a large
 * bitmap can be fed piece by piece, in order. */
void mapped_ram_tally_add(struct mapped_ram_tally *t, uint64_t num_pages,
			  uint64_t first, const uint64_t *words, size_t nwords);

/* ---- checking ---- */

/* A block as found in a file. */
struct mapped_ram_block {
	const char *name;
	uint64_t used_length;
	uint64_t entry; /* byte of the file where its list entry begins */
	uint64_t header; /* and its 28-byte header */
	struct mapped_ram_header h;
	/* Counted from the bitmap; NULL: the bits are not checked. */
	const struct mapped_ram_tally *tally;
};

/* Whether the block's memory was left out (both offsets 0, QEMU 11.0). */
static inline bool mapped_ram_ignored(const struct mapped_ram_header *h)
{
	return h->bitmap_offset == 0 && h->pages_offset == 0;
}

/* Where the next entry is: pages_offset + used_length, or the end of the
 * header of an ignored block. -1 with *f filled (f->at within the header) if
 * that is not after the header or passes 2^63 - 1; a reader that follows it
 * can't be led in circles. */
int mapped_ram_block_end(const struct mapped_ram_block *b, bool ignore_shared,
			 uint64_t *end, struct fault *f);

struct mapped_ram_list {
	const struct mapped_ram_block *blocks; /* in file order */
	size_t n;
	uint64_t total; /* of the MEM_SIZE word */
	uint64_t page_size; /* of the target; 0: take the first block's */
	uint64_t file_size; /* bytes */
	bool ignore_shared; /* the stream has that capability */
};

enum mapped_ram_flaw {
	MAPPED_RAM_NO_BLOCKS, /* none, or a total of 0 */
	MAPPED_RAM_TOTAL, /* lengths do not add up to the total */
	MAPPED_RAM_NAME_TWICE,
	MAPPED_RAM_BAD_VERSION,
	MAPPED_RAM_BAD_PAGE_SIZE, /* illegal, or not the target's */
	MAPPED_RAM_BAD_LENGTH, /* 0, or not whole pages */
	MAPPED_RAM_IGNORED, /* left out, without the capability */
	MAPPED_RAM_BITMAP_EARLY, /* begins inside or before the header */
	MAPPED_RAM_BITMAP_LONG, /* reaches into the pages */
	MAPPED_RAM_PAGES_EARLY, /* begin inside or before the header */
	MAPPED_RAM_PAGES_ALIGN, /* offset not a multiple of the page size */
	MAPPED_RAM_PAGES_ODD, /* of that, but not of 1 MiB */
	MAPPED_RAM_OVERFLOW, /* the block ends past 2^63 - 1 */
	MAPPED_RAM_OVERLAP, /* the entry lies in the block before it */
	MAPPED_RAM_PAST_END, /* the file ends inside the block */
	MAPPED_RAM_PAGE_PAST_END, /* the file ends before a present page */
	MAPPED_RAM_STRAY_BITS, /* bits set beyond the last page */
	MAPPED_RAM_FLAWS
};

/* One broken rule. */
struct mapped_ram_report {
	enum mapped_ram_flaw flaw;
	size_t block; /* index; n of the list if the flaw is the list's */
	uint64_t at; /* byte of the file: the field, or the place */
	const char *what; /* string literal, lower case, no full stop */
	uint64_t value; /* the wrong value */
	uint64_t want; /* what it should be, or its bound */
	bool loads; /* QEMU 10.0 loads such a file, and rightly */
};

/* Return non-zero to stop the check. */
typedef int mapped_ram_report_fn(void *arg, const struct mapped_ram_report *r);

/*
 * Checks every rule of mapped_ram.md that can be checked without reading
 * pages and reports each violation: those of the list, then block by block.
 * Returns how many it reported. A wrong field is reported once: rules that
 * depend on it are skipped.
 */
size_t mapped_ram_check(const struct mapped_ram_list *list,
			mapped_ram_report_fn *report, void *arg);

#endif
