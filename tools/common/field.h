/*
 * field.h - values of device state, as text and as JSON.
 */
#ifndef TOOLS_FIELD_H
#define TOOLS_FIELD_H

#include "libmr/mr.h"

/*
 * One line, safe for a terminal: unsigned numbers in hexadecimal with all
 * digits of their size, signed ones and times in decimal, of bytes the first
 * FIELD_BYTES from byte `from` on.
 */
enum { FIELD_BYTES = 16, FIELD_TEXT = 1100 };
const char *field_text(char buf[FIELD_TEXT], const struct mr_value *v,
		       uint64_t from);

/* Prints it as a JSON value: unsigned numbers and bytes are strings of
 * hexadecimal digits (the former with 0x). */
void field_json(const struct mr_value *v);

/* Names from the outermost in: "env.segs[1].base". */
struct field_path {
	char text[1024]; /* safe for a terminal; cut off where it is longer */
	size_t ends[66]; /* of the first n names */
};
/* Moves to a field: the next one, or one that is not in a struct. What has
 * parts comes with its index; elements of other arrays do not. */
void field_path(struct field_path *p, const struct mr_field *f);

#endif
