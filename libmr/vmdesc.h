/* vmdesc.h - the vmdescription's JSON. */
#ifndef LIBMR_VMDESC_H
#define LIBMR_VMDESC_H

#include <stddef.h>

#include "formats/vmdesc_text.h"
#include "libmr/image.h"

/* Longer than any description; one of a q35 with 56 devices has 200 KB. */
#define VMDESC_TEXT_LIMIT ((size_t)32 << 20)
/* No payload is longer, in bytes: keeps every sum far from overflow. */
#define VMDESC_PAYLOAD_LIMIT (UINT64_C(1) << 40)

/*
 * The devices of a description, with the bytes that each takes in the
 * stream. Returns 0 (out->n is 0 if it describes none), or -1 with *err
 * filled: not JSON, or sizes that cannot be. offset is where the text is in
 * the file. *out starts as { 0 }; the caller releases it, on failure too.
 */
int vmdesc_read(struct vmdesc *out, const char *text, size_t len,
		uint64_t offset, struct mr_error *err);
void vmdesc_release(struct vmdesc *d);

/* Tokens of one value; { 0 } at first. */
struct vmdesc_tokens {
	struct vmdesc_token *list;
	size_t n, room;
};
/* Cuts the value that text begins with, byte `offset` of the file; *used is
 * how long it is. Returns 0, or -1 with *err filled. */
int vmdesc_cut(struct vmdesc_tokens *t, const char *text, size_t len,
	       uint64_t offset, size_t *used, struct mr_error *err);
void vmdesc_tokens_release(struct vmdesc_tokens *t);

/* The whole number 0 .. VMDESC_PAYLOAD_LIMIT under key; dflt if there is no
 * such key and dflt is not negative. Returns 0 or -1. */
int vmdesc_number(const struct vmdesc_text *t, const struct vmdesc_token *o,
		  const char *key, int dflt, uint64_t *n);

#endif
