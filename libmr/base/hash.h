/*
 * hash.h - XXH3 with 128 bits: the digests of a seal (formats/seal.md).
 *
 * The instruction set is chosen when the program runs.
 */
#ifndef LIBMR_HASH_H
#define LIBMR_HASH_H

#include <stddef.h>

#include "formats/seal.h"

/* The digest of len bytes, in its canonical form. */
struct seal_digest hash_bytes(const void *buf, size_t len);

/* The same, piece by piece. One at a time; for one thread. */
struct hash; /* opaque */
struct hash *hash_new(void); /* NULL: out of memory */
void hash_free(struct hash *h); /* h may be NULL */
void hash_start(struct hash *h);
void hash_add(struct hash *h, const void *buf, size_t len);
struct seal_digest hash_end(const struct hash *h); /* since hash_start */

#endif
