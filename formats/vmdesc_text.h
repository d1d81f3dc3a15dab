/*
 * vmdesc_text.h - the vmdescription's JSON, cut into tokens (vmdesc.md).
 *
 * The text is untrusted, has some hundred kilobytes, and is read whenever an
 * image is opened. So it becomes no tree of small allocations: one token of
 * 16 bytes for each value and key, in the order of the text, in one array.
 * An object's token is followed by its keys and values in turn, an array's by
 * its elements; `next` leads past all that is in a value.
 */
#ifndef FORMATS_VMDESC_TEXT_H
#define FORMATS_VMDESC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
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
	uint32_t len; /* bytes; of a string: up to its quote */
	uint32_t next; /* index of the token behind the value */
	uint16_t kind; /* enum vmdesc_token_kind */
	uint16_t escaped; /* a string with backslashes */
};

struct vmdesc_text {
	const char *s;
	const struct vmdesc_token *tokens;
};

/*
 * The one value that s begins with, perhaps behind blanks; what follows it
 * does not matter. Returns the bytes it takes, with *n tokens; 0 if it has more
 * than `room`; -1 with *f filled. s has less than 4 GiB.
 */
ssize_t vmdesc_text_parse(const char *s, size_t len,
			  struct vmdesc_token *tokens, size_t room, size_t *n,
			  struct fault *f);

/*
 * A string's characters without escapes and with a NUL behind, at most
 * token->len + 1 bytes; returns their length. `to` may be the place in the
 * text itself: the closing quote makes room for the NUL.
 */
size_t vmdesc_text_string(const char *s, const struct vmdesc_token *token,
			  char *to);

/* The value of key (written without escapes) in an object; NULL: there is
 * none, or o is NULL or no object. Of several the first. */
const struct vmdesc_token *vmdesc_text_get(const struct vmdesc_text *t,
					   const struct vmdesc_token *o,
					   const char *key);

/* An integer 0 .. max; max is at least 9. Returns 0; -1: something else, or
 * NULL. */
int vmdesc_text_uint(const struct vmdesc_text *t,
		     const struct vmdesc_token *token, uint64_t max,
		     uint64_t *n);

/* For loops over an array: from `array + 1` while the element is not this. */
static inline const struct vmdesc_token *
vmdesc_text_next(const struct vmdesc_text *t, const struct vmdesc_token *value)
{
	return t->tokens + value->next;
}

#endif
