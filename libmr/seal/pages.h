/*
 * pages.h - digests of pages, as the tables of a seal have them
 * (formats/seal.md): 0 stands for a page that is not present.
 */
#ifndef LIBMR_SEAL_PAGES_H
#define LIBMR_SEAL_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/seal.h"
#include "libmr/base/hash.h"

/* Those of pages that stand in buf and have a bit; 0 for the others. */
void seal_pages(uint64_t *table, const unsigned char *buf, const uint64_t *bits,
		size_t pages, size_t page_size);

/* Whether a part of a table has no page. */
bool seal_pages_none(const uint64_t *table, size_t n);

/* The digest of an extent whose part of the table this is. */
struct seal_digest seal_pages_digest(const uint64_t *table, size_t n);

/* The same in a seal of version 1: of its pages with a bit, side by side. h is
 * the calling thread's. */
struct seal_digest seal_pages_digest_1(struct hash *h, const unsigned char *buf,
				       const uint64_t *bits, size_t pages,
				       size_t page_size);

#endif
