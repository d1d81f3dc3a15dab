/*
 * sparse.h - files with large holes as short inputs.
 *
 * mapped-ram puts its parts 1 MiB apart, more than a fuzzer can handle. So an
 * input is the file's bytes from its start on, and wherever the two bytes
 * ff 40 stand, the three after them (big-endian) are the place in the file
 * where it goes on: bytes can come and go without moving what is behind. The
 * file ends with the last byte; what is not given is zero.
 */
#ifndef TESTS_FUZZ_SPARSE_H
#define TESTS_FUZZ_SPARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "libmr/file/io.h"

enum {
	SPARSE_MARK = 0xff,
	SPARSE_MARK_2 = 0x40,
	SPARSE_MARK_SIZE = 5,
	SPARSE_CHUNKS = 256, /* later marks are plain bytes */
};

struct sparse_io {
	struct io io;
	size_t n;
	struct sparse_chunk {
		uint64_t at;
		const uint8_t *p;
		size_t len;
	} chunk[SPARSE_CHUNKS];
};

/* Where chunks overlap the later one wins. */
static inline ssize_t sparse_read(struct io *io, void *buf, size_t len,
				  uint64_t offset)
{
	struct sparse_io *s = (struct sparse_io *)io;

	if (offset >= io->size)
		return 0;
	if (len > io->size - offset)
		len = (size_t)(io->size - offset);
	memset(buf, 0, len);
	for (size_t i = 0; i < s->n; i++) {
		const struct sparse_chunk *c = &s->chunk[i];
		uint64_t from = c->at > offset ? c->at : offset;
		uint64_t to = c->at + c->len;

		if (to > offset + len)
			to = offset + len;
		if (from < to)
			memcpy((uint8_t *)buf + (from - offset),
			       c->p + (from - c->at), (size_t)(to - from));
	}
	return (ssize_t)len;
}

static inline bool sparse_mark_at(const uint8_t *p, size_t len)
{
	return len >= SPARSE_MARK_SIZE && p[0] == SPARSE_MARK &&
	       p[1] == SPARSE_MARK_2;
}

/* The input must outlive *s. */
static inline void sparse_init(struct sparse_io *s, const uint8_t *p,
			       size_t len)
{
	static const struct io_ops ops = { .name = "sparse",
					   .read = sparse_read };
	struct sparse_chunk *c = s->chunk;
	size_t i = 0;

	s->io = (struct io){ .ops = &ops };
	s->n = 1;
	*c = (struct sparse_chunk){ .p = p };
	while (i < len) {
		if (!sparse_mark_at(p + i, len - i) || s->n == SPARSE_CHUNKS) {
			c->len++;
			i++;
			continue;
		}
		c = &s->chunk[s->n++];
		*c = (struct sparse_chunk){
			.at = (uint64_t)p[i + 2] << 16 |
			      (uint64_t)p[i + 3] << 8 | p[i + 4],
			.p = p + i + SPARSE_MARK_SIZE,
		};
		i += SPARSE_MARK_SIZE;
	}
	for (i = 0; i < s->n; i++)
		if (s->chunk[i].at + s->chunk[i].len > s->io.size)
			s->io.size = s->chunk[i].at + s->chunk[i].len;
}

#endif
