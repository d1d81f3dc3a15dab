/*
 * reader.h - a file read from front to back through one window.
 *
 * The decoders of formats/ want the bytes of an item in one piece. The reader
 * keeps a window of the file in memory, hands out pointers into it, and reads
 * on in large pieces: bounded memory, whatever the file says of itself.
 */
#ifndef LIBMR_READER_H
#define LIBMR_READER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libmr/file/io.h"

struct reader {
	struct io *io; /* the caller's */
	uint8_t *window;
	size_t size; /* bytes of window */
	size_t have; /* bytes of it that are filled */
	size_t at; /* the next byte, at most have */
	size_t ahead; /* bytes that the next read asks for */
	uint64_t base; /* byte of the file that window[0] is */
};

/* A window of size bytes (at least 1), which begins at offset. MR_NOMEM. */
int reader_init(struct reader *r, struct io *io, size_t size, uint64_t offset,
		struct mr_error *err);
void reader_release(struct reader *r);

/* The byte of the file that comes next. */
static inline uint64_t mr_reader_tell(const struct reader *r)
{
	return r->base + r->at;
}

/* The slow part of mr_reader_peek. */
ssize_t reader_fill(struct reader *r, size_t n, const uint8_t **p,
		    struct mr_error *err);

/*
 * The next n bytes (at most the window's size), without going past them.
 * Returns how many there are: fewer than n only at the end of the file; or
 * -1. *p is valid until the next call that moves or fills the window.
 */
static inline ssize_t mr_reader_peek(struct reader *r, size_t n,
				     const uint8_t **p, struct mr_error *err)
{
	if (r->have - r->at < n)
		return reader_fill(r, n, p, err);
	*p = r->window + r->at;
	return (ssize_t)n;
}

/* The same, but fewer than n is MR_SHORT. Returns 0 or -1. */
int reader_need(struct reader *r, size_t n, const uint8_t **p,
		struct mr_error *err);

/* Goes to a byte of the file, forward or back; nothing is read. A place past
 * the end of the file is fine, and has no bytes. */
void reader_seek(struct reader *r, uint64_t offset);

/* Goes on by n bytes; tell + n must not overflow. */
static inline void mr_reader_skip(struct reader *r, uint64_t n)
{
	if (n <= r->have - r->at)
		r->at += (size_t)n;
	else
		reader_seek(r, mr_reader_tell(r) + n);
}

#endif
