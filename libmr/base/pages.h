/*
 * pages.h - looking at page contents at memory speed.
 *
 * The instruction set is chosen once, at the first call; every path gives the
 * same answers (tests/libmr/base/pages_test.c compares them all).
 */
#ifndef LIBMR_PAGES_H
#define LIBMR_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One way to scan. first_data gives the byte offset of the first non-zero
 * 8-byte word in buf, or len. buf is 8-byte aligned, len a multiple of 512. */
struct pages_path {
	const char *name;
	bool (*usable)(void);
	size_t (*first_data)(const void *buf, size_t len);
};

/* Best first; the last one is portable. The table ends with name NULL. */
extern const struct pages_path pages_paths[];

size_t pages_first_data(const void *buf, size_t len);

static inline bool pages_all_zero(const void *buf, size_t len)
{
	return pages_first_data(buf, len) == len;
}

/* Clears the bit of every page in buf that is all zero. bits holds one bit
 * per page, bit 0 of bits[0] first; pages whose bit is clear already are not
 * looked at. page_size is a multiple of 512. Returns how many bits were
 * cleared. */
size_t pages_clear_zero(const void *buf, size_t page_size, size_t pages,
			uint64_t *bits);

#endif
