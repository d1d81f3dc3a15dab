/*
 * name.h - names as QEMU's streams carry them.
 *
 *   off  size  field
 *     0     1  length n, 1..255, unsigned
 *     1     n  the name, no NUL
 *
 * Section ids, RAM blocks, subsections and capabilities are all named so.
 * QEMU takes any bytes; we take UTF-8 without control characters (C1 is some
 * terminals' escapes, too), so that a name can be printed, put into JSON and
 * compared as a C string.
 */
#ifndef FORMATS_NAME_H
#define FORMATS_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/fault.h"

enum {
	NAME_MAX_LEN = 255,
	NAME_SIZE = NAME_MAX_LEN + 1, /* room for a name and its NUL */
};

/* To whom gives one that is none. */
#define NAME_RULE                                                      \
	"a name is UTF-8, without control characters, of at most 255 " \
	"bytes"

/* Valid UTF-8 with nothing below U+0020 and none of U+007F .. U+009F. Length 0
 * is valid. */
bool name_is_text(const char *name, size_t len);

/*
 * Reads length and name at buf[at]; copies the name with a NUL into out.
 * Returns the bytes consumed (2..256), or -1 with *f filled: an empty name
 * and one that is not text are FAULT_BAD.
 */
ssize_t name_decode(const uint8_t *buf, size_t len, size_t at,
		    char out[NAME_SIZE], struct fault *f);

/* The same, but an empty name is one, and takes a byte. */
ssize_t name_or_none_decode(const uint8_t *buf, size_t len, size_t at,
			    char out[NAME_SIZE], struct fault *f);
size_t name_or_none_encode(uint8_t *p, const char *name);

/* Writes 1 + strlen(name) bytes at p and returns that number. The name must
 * have 1..255 bytes. */
size_t name_encode(uint8_t *p, const char *name);

/* Bytes of the UTF-8 sequence at p (n > 0 bytes are there), 0 if it is not
 * one: overlong forms, surrogates and code points past U+10FFFF are not; nor
 * are C1's control characters for us. */
size_t name_utf8(const uint8_t *p, size_t n);

#endif
