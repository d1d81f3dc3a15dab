/*
 * hash.h - XXH3, mostly with 128 bits: the digests of a seal (formats/seal.md).
 *
 * The instruction set is chosen when the program runs.
 */
#ifndef LIBMR_HASH_H
#define LIBMR_HASH_H

#include <stddef.h>

#include "formats/seal.h"

/* The digest of len bytes, in its canonical form. */
struct seal_digest hash_bytes(const void *buf, size_t len);

/* XXH3 with 64 bits, 1 if that is 0: an entry of a seal's table as it is in
 * the file. */
uint64_t hash_page(const void *page, size_t len);

/* hash_bytes, piece by piece. One at a time; for one thread. */
struct hash; /* opaque */
struct hash *hash_new(void); /* NULL: out of memory */
void hash_free(struct hash *h); /* h may be NULL */
void hash_start(struct hash *h);
void hash_add(struct hash *h, const void *buf, size_t len);
struct seal_digest hash_end(const struct hash *h); /* since hash_start */

#endif
