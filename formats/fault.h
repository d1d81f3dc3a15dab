/*
 * fault.h - how a decoder says no.
 *
 * formats/ knows buffers, not files: a fault names a byte of the buffer that
 * the caller passed in; libmr adds where that buffer lay in the file.
 */
#ifndef FORMATS_FAULT_H
#define FORMATS_FAULT_H

#include <stddef.h>
#include <stdint.h>

enum fault_kind {
	FAULT_NONE = 0,
	FAULT_SHORT, /* the buffer ends before the item does */
	FAULT_BAD, /* the bytes break the format's rules */
	FAULT_UNSUPPORTED, /* legal, but not something we read */
};

struct fault {
	enum fault_kind kind;
	size_t at; /* byte in the caller's buffer */
	const char *what; /* string literal, lower case, no full stop */
	uint64_t value; /* the value that was wrong, if has_value */
	int has_value;
};

/* Fills *f and returns -1, so that a failure is one statement. */
static inline int fault_set(struct fault *f, enum fault_kind kind, size_t at,
			    const char *what)
{
	*f = (struct fault){ .kind = kind, .at = at, .what = what };
	return -1;
}

/* The same, with the offending value. */
static inline int fault_value(struct fault *f, enum fault_kind kind, size_t at,
			      const char *what, uint64_t value)
{
	*f = (struct fault){ .kind = kind,
			     .at = at,
			     .what = what,
			     .value = value,
			     .has_value = 1 };
	return -1;
}

#endif
