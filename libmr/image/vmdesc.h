/* vmdesc.h - the vmdescription's JSON. */
#ifndef LIBMR_VMDESC_H
#define LIBMR_VMDESC_H

#include <stddef.h>
#include <stdint.h>

#include "formats/vmdesc_text.h"
#include "libmr/mr.h"

/* No longer than "{}": it only stands where a description should. */
#define VMDESC_TEXT_NONE 2u
/* Longer than any description; one of a q35 with 56 devices has 200 KB. */
#define VMDESC_TEXT_LIMIT ((size_t)32 << 20)
/* A stream with more sections, or a description of more, is none that QEMU
 * made. */
#define SECTIONS_LIMIT 65536u

struct vmdesc {
	void *memory; /* what is freed with it */
	const char *text; /* its strings are C strings */
	uint64_t offset; /* byte of the file where the text begins */
	struct vmdesc_token *tokens; /* of all of it; NULL: there is none */
	/* In stream order. */
	struct vmdesc_device {
		const char *name; /* in the text, at most NAME_MAX_LEN bytes */
		uint32_t instance;
		uint64_t size; /* payload bytes */
		const struct vmdesc_token *token;
	} * devices;
	size_t n, room;
	uint32_t page_size; /* 0: not said */
};

/*
 * The devices of a description, with the bytes that each takes in the
 * stream. Returns 0 (out->n is 0 if it describes none), or -1 with *err
 * filled: not JSON, or sizes that cannot be. The text is written to, and must
 * outlive *out, as it does if it is in out->memory, malloc's, which the caller
 * may set. The caller releases *out, after a failure too.
 */
int vmdesc_read(struct vmdesc *out, char *text, size_t len, uint64_t offset,
		struct mr_error *err);
void vmdesc_release(struct vmdesc *d);

#endif
