/*
 * unit.h - what the tests of formats/ share: cmocka, and the checks that
 * every decoder must pass.
 */
#ifndef TESTS_FORMATS_UNIT_H
#define TESTS_FORMATS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>

#include "formats/fault.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* A decoder with its further arguments wrapped up. */
typedef ssize_t decode_fn(const uint8_t *buf, size_t len, struct fault *f);

/* Decodes from a heap copy of exactly len bytes, so that the address
 * sanitizer sees one byte read too many. */
static inline ssize_t decode_exact(decode_fn *decode, const uint8_t *buf,
				   size_t len, struct fault *f)
{
	uint8_t *copy = malloc(len ? len : 1);
	ssize_t n;

	assert_non_null(copy);
	if (len)
		memcpy(copy, buf, len);
	*f = (struct fault){ .kind = FAULT_NONE };
	n = decode(len ? copy : copy + 1, len, f);
	free(copy);
	return n;
}

/*
 * The item needs the first need bytes of buf: every shorter buffer is short,
 * and every longer one (there are len bytes) gives the same answer.
 */
static inline void check_truncations(decode_fn *decode, const uint8_t *buf,
				     size_t need, size_t len, ssize_t consumed)
{
	struct fault f;
	size_t n;

	for (n = 0; n < need; n++) {
		assert_int_equal(decode_exact(decode, buf, n, &f), -1);
		assert_int_equal(f.kind, FAULT_SHORT);
		assert_non_null(f.what);
		assert_true(f.at <= n);
	}
	for (; n <= len; n++) {
		assert_int_equal(decode_exact(decode, buf, n, &f), consumed);
		assert_int_equal(f.kind, FAULT_NONE);
	}
}

/* The bytes are refused with this kind of fault at this byte. */
static inline void check_fault(decode_fn *decode, const uint8_t *buf,
			       size_t len, enum fault_kind kind, size_t at)
{
	struct fault f;

	assert_int_equal(decode_exact(decode, buf, len, &f), -1);
	assert_int_equal(f.kind, kind);
	assert_int_equal(f.at, at);
	assert_non_null(f.what);
}

#endif
