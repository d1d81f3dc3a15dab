/* reader.c - a window that moves over a file. */
#include "libmr/file/reader.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libmr/base/error.h"

/*
 * After a jump little is asked for, then more each time: headers that lie far
 * apart (mapped-ram) cost little, and a file read through (a plain stream) is
 * read in whole windows.
 */
#define FIRST_READ ((size_t)16 << 10)

int reader_init(struct reader *r, struct io *io, size_t size, uint64_t offset,
		struct mr_error *err)
{
	*r = (struct reader){
		.io = io, .size = size, .ahead = FIRST_READ, .base = offset
	};
	r->window = malloc(size);
	if (!r->window)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	return 0;
}

void reader_release(struct reader *r)
{
	free(r->window);
	*r = (struct reader){ 0 };
}

ssize_t reader_fill(struct reader *r, size_t n, const uint8_t **p,
		    struct mr_error *err)
{
	size_t left = r->have - r->at;
	size_t want;
	ssize_t got;

	assert(n <= r->size);
	if (mr_reader_tell(r) + left >= r->io->size) {
		/* No more will come: searches peek often at the end. */
		*p = r->window + r->at;
		return (ssize_t)left;
	}
	if (left && r->at)
		memmove(r->window, r->window + r->at, left);
	r->base += r->at;
	r->at = 0;
	r->have = left;
	want = r->ahead > n - left ? r->ahead : n - left;
	if (want > r->size - left)
		want = r->size - left;
	/* A socket gives what has come: more may come when this was answered.
	 */
	got = io_read_some(r->io, r->window + left, n - left, want,
			   r->base + left, err);
	if (got < 0)
		return -1;
	r->have += (size_t)got;
	if (r->ahead < r->size)
		r->ahead *= 2;
	*p = r->window;
	return (ssize_t)(r->have < n ? r->have : n);
}

int reader_need(struct reader *r, size_t n, const uint8_t **p,
		struct mr_error *err)
{
	uint64_t at = mr_reader_tell(r);
	ssize_t got = mr_reader_peek(r, n, p, err);

	if (got < 0)
		return -1;
	if ((size_t)got < n)
		return error_set(err, MR_SHORT,
				 at < r->io->size ? at + (uint64_t)got
						  : r->io->size,
				 "%s ends, %zu more bytes expected",
				 io_noun(r->io), n - (size_t)got);
	return 0;
}

void reader_seek(struct reader *r, uint64_t offset)
{
	uint64_t end = r->base + r->have;

	if (offset >= r->base && offset <= end) {
		r->at = (size_t)(offset - r->base);
		return;
	}
	/* The rest of a page that the window ends in is no jump. */
	if (offset < end || offset - end > FIRST_READ)
		r->ahead = FIRST_READ;
	r->base = offset;
	r->have = r->at = 0;
}
