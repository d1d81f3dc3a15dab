/*
 * fuzz.h - what the fuzz targets share: asserting, reading numbers out of an
 * input, and the rules that every decoder of formats/ keeps.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "formats/bytes.h"
#include "formats/fault.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(cond)                                                             \
	do {                                                                   \
		if (!(cond)) {                                                 \
			(void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, \
				      __LINE__, #cond);                        \
			abort();                                               \
		}                                                              \
	} while (0)

/* What is left of the input; reading past its end gives zeros. */
struct input {
	const uint8_t *p;
	size_t len;
};

static inline uint64_t take_be(struct input *in, size_t bytes)
{
	uint64_t v = 0;

	for (; bytes; bytes--) {
		v = v << 8 | (in->len ? *in->p : 0);
		if (in->len) {
			in->p++;
			in->len--;
		}
	}
	return v;
}

static inline uint8_t take_8(struct input *in)
{
	return (uint8_t)take_be(in, 1);
}

/* Up to max bytes of text without a NUL, as a string. */
static inline void take_text(struct input *in, char *out, size_t max)
{
	size_t n = take_8(in), i = 0;

	for (; i < n && i < max && in->len && *in->p; i++)
		out[i] = (char)take_8(in);
	out[i] = '\0';
}

/* A decoder with its further arguments in arg. */
typedef ssize_t decode_fn(void *arg, const uint8_t *buf, size_t len,
			  struct fault *f);

static inline void check_fault(const struct fault *f, size_t len)
{
	must(f->kind == FAULT_SHORT || f->kind == FAULT_BAD ||
	     f->kind == FAULT_UNSUPPORTED);
	must(f->at <= len);
	must(f->what && *f->what && !strchr(f->what, '\n'));
	must(f->what[strlen(f->what) - 1] != '.');
}

/* From a copy of exactly len bytes: reading past it is seen. */
static inline ssize_t decode_exact(decode_fn *fn, void *arg, const uint8_t *buf,
				   size_t len, struct fault *f)
{
	uint8_t *copy = malloc(len ? len : 1);
	ssize_t n;

	must(copy);
	if (len)
		memcpy(copy, buf, len);
	*f = (struct fault){ .kind = FAULT_NONE };
	n = fn(arg, len ? copy : copy + 1, len, f);
	free(copy);
	return n;
}

/*
 * Decodes all that is left. Faults are proper; an item that was taken is
 * short when one of its bytes is missing (one length is tried, the input says
 * which) and does not depend on what follows it, but for `behind` bytes.
 * Returns what the decoder did; arg holds what it decoded.
 */
static inline ssize_t decode(struct input *in, decode_fn *fn, void *arg,
			     size_t behind)
{
	struct fault f = { .kind = FAULT_NONE };
	size_t cut = take_8(in), need;
	ssize_t n = decode_exact(fn, arg, in->p, in->len, &f);

	if (n < 0) {
		must(n == -1);
		check_fault(&f, in->len);
		return -1;
	}
	must(f.kind == FAULT_NONE);
	need = (size_t)n + behind;
	must(need <= in->len);
	if (need) {
		cut = need - 1 - cut % need;
		must(decode_exact(fn, arg, in->p, cut, &f) == -1);
		must(f.kind == FAULT_SHORT);
		check_fault(&f, cut);
	}
	must(decode_exact(fn, arg, in->p, need, &f) == n);
	return n;
}

#endif
