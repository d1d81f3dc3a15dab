/* names.h - which of many things has a name. */
#ifndef LIBMR_NAMES_H
#define LIBMR_NAMES_H

#include <stddef.h>

#define NAMES_NONE ((size_t)-1)

/* { 0 }: of nothing. */
struct names {
	const char *const *first;
	size_t stride; /* bytes from one to the next */
	size_t *order; /* numbers of things, by name */
	size_t n;
};

/*
 * Of n things of `stride` bytes, side by side, whose names are pointers;
 * *first is that of the first one. They must outlive this and stay as they
 * are. 0; or -1, out of memory, with nothing to free.
 */
int names_make(struct names *x, const char *const *first, size_t stride,
	       size_t n);
void names_free(struct names *x);

/* The number of a thing with that name, or NAMES_NONE. */
size_t names_find(const struct names *x, const char *name);
/* That of one whose name another has as well, the later one, or NAMES_NONE. */
size_t names_twice(const struct names *x);
/* "a, b and 3 more": as many as fit into len bytes, at least 32; "none". */
void names_list(const struct names *x, char *text, size_t len);

#endif
