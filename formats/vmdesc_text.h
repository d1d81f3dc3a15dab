/*
 * vmdesc_text.h - the vmdescription's JSON, cut into tokens (vmdesc.md).
 *
 * The text is untrusted, has some hundred kilobytes, and is read whenever an
 * image is opened; memory that is touched for the first time costs more than
 * all the rest. So it becomes no tree of small allocations: one token of 8
 * bytes for each value and key, in the order of the text, in one array, and
 * strings stay where they are. An object's token is followed by its keys and
 * values in turn, an array's by its elements.
 */
#ifndef FORMATS_VMDESC_TEXT_H
#define FORMATS_VMDESC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "formats/fault.h"

/* Objects and arrays within each other; recursion over tokens is bounded. */
enum { VMDESC_TEXT_DEPTH = 1024 };

enum vmdesc_token_kind {
	VMDESC_OBJECT,
	VMDESC_ARRAY,
	VMDESC_STRING,
	VMDESC_INTEGER,
	VMDESC_OTHER, /* any other number, true, false, null */
};

struct vmdesc_token {
	uint32_t at; /* byte of the text; of a string: behind its quote */
	uint32_t kind : 3; /* enum vmdesc_token_kind */
	uint32_t n : 29; /* tokens in an object or array; else bytes */
};

/* Longer texts are refused: their tokens could not be counted. */
#define VMDESC_TEXT_MAX (UINT32_C(1) << 28)
/* Tokens that a text of len bytes can have: each takes two, with the comma,
 * colon or bracket behind it, which only the last ones may lack. */
#define VMDESC_TEXT_ROOM(len) ((len) / 2 + VMDESC_TEXT_DEPTH + 2)

/*
 * The one value that s begins with, perhaps behind blanks; what follows it
 * does not matter. Its strings become C strings in place: without escapes,
 * and with a NUL for the closing quote. Returns the bytes it takes, with the
 * tokens, for which there must be VMDESC_TEXT_ROOM(len); or -1 with *f filled.
 */
ssize_t vmdesc_text_parse(char *s, size_t len, struct vmdesc_token *tokens,
			  struct fault *f);

/* The value of a key of n bytes in an object; NULL: there is none, or o is
 * NULL or no object. Of several the first. s is the text. */
const struct vmdesc_token *vmdesc_text_find(const char *s,
					    const struct vmdesc_token *o,
					    const char *key, size_t n);

/* The same; inline, for literals, whose length is known. */
static inline const struct vmdesc_token *
vmdesc_text_get(const char *s, const struct vmdesc_token *o, const char *key)
{
	return vmdesc_text_find(s, o, key, strlen(key));
}

/* A string; NULL: something else, or NULL. */
const char *vmdesc_text_string(const char *s, const struct vmdesc_token *token);

/* An integer 0 .. max; max is at least 9. Returns 0; -1: something else, or
 * NULL. */
int vmdesc_text_uint(const char *s, const struct vmdesc_token *token,
		     uint64_t max, uint64_t *n);

/* The token behind a value; for loops over an array: from `array + 1` to
 * that of the array. */
static inline const struct vmdesc_token *
vmdesc_text_next(const struct vmdesc_token *value)
{
	return value + 1 + (value->kind <= VMDESC_ARRAY ? value->n : 0);
}

/* ---- what descriptions hold ---- */

/* No payload is longer, in bytes: keeps every sum far from overflow. */
#define VMDESC_PAYLOAD_LIMIT (UINT64_C(1) << 40)

/* The whole number 0 .. VMDESC_PAYLOAD_LIMIT under key; dflt if there is no
 * such key and dflt is not negative. Returns 0 or -1. */
int vmdesc_text_number(const char *s, const struct vmdesc_token *o,
		       const char *key, int dflt, uint64_t *n);

/* A name as there can be in the stream, of at most NAME_MAX_LEN bytes; or
 * NULL. */
const char *vmdesc_text_name(const char *s, const struct vmdesc_token *o,
			     const char *key);

/*
 * How many bytes of payload a device (or a subsection) takes whose
 * description this object is: the sum of size * (array_len or 1) over its
 * fields, and for each subsection 6 + its name's length (a type byte, a name
 * with its length, a version) + the same of it. Seen to hold, footer to
 * footer, on every device section of files that QEMU 10.0 made. Returns 0, or
 * -1: sizes that cannot be.
 */
int vmdesc_text_payload(const char *s, const struct vmdesc_token *device,
			uint64_t *size);

#endif
