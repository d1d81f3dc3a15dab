/*
 * search.h - where in a buffer a few bytes stand, at memory speed.
 */
#ifndef LIBMR_SEARCH_H
#define LIBMR_SEARCH_H

#include <stddef.h>
#include <stdint.h>

struct search {
	const uint8_t *bytes; /* the caller's */
	size_t len;
	size_t probe[2]; /* the places in bytes that memory has least often */
};

/* bytes (at least one) must outlive the search. */
void search_init(struct search *s, const uint8_t *bytes, size_t len);

/* The first place at or after from where they stand, whole, in buf[0 .. len);
 * SIZE_MAX: nowhere. */
size_t search_next(const struct search *s, const uint8_t *buf, size_t len,
		   size_t from);

#endif
