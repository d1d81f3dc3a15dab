/* sealed.c - find a seal from the end of a file, and believe nothing in it
 * before its own digest agrees. */
#include "libmr/seal/sealed.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/bytes.h"
#include "libmr/base/error.h"
#include "libmr/base/hash.h"
#include "libmr/file/reader.h"

#define CHUNK ((size_t)64 << 10)
/* 64 TiB of extents of 1 MiB: bounds what a hostile seal makes us allocate. */
#define EXTENTS_LIMIT (UINT64_C(1) << 26)
/* Of what its own digest covers. */
#define LENGTH_LIMIT (UINT64_C(1) << 32)
/* Zeros behind a seal. */
#define PADDING_LIMIT (UINT64_C(1) << 20)

/* Before its digest agrees an unknown version is as good as a wrong bit. */
static int damaged(const struct fault *f, uint64_t start, struct mr_error *err)
{
	const char *newer =
		f->kind == FAULT_UNSUPPORTED ? ", or newer than this" : "";

	if (f->has_value)
		return error_set(err, MR_FORMAT, start,
				 "the seal is damaged%s: %s (%" PRIu64 ")",
				 newer, f->what, f->value);
	return error_set(err, MR_FORMAT, start, "the seal is damaged%s: %s",
			 newer, f->what);
}

static int add_bytes(struct hash *hash, struct io *io, uint64_t at,
		     uint64_t end, uint8_t *buf, struct mr_error *err)
{
	for (size_t n; at < end; at += n) {
		n = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
		if (io_read_full(io, buf, n, at, err))
			return -1;
		hash_add(hash, buf, n);
	}
	return 0;
}

/* Its own digest: over all but the tables and the last bytes. */
static int check_digest(const struct sealed *s, const struct seal_digest *want,
			struct mr_error *err)
{
	uint64_t start = s->head.seal_offset;
	uint64_t end = start + s->places.length - SEAL_END_UNCOVERED;
	struct hash *hash = hash_new();
	uint8_t *buf = malloc(CHUNK);
	struct seal_digest d;
	int rc = -1;

	if (!hash || !buf) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
		goto out;
	}
	hash_start(hash);
	if (add_bytes(hash, s->io, start, start + s->places.tables, buf, err) ||
	    add_bytes(hash, s->io, start + s->places.tables_end, end, buf, err))
		goto out;
	d = hash_end(hash);
	if (memcmp(&d, want, sizeof(d)) != 0)
		(void)error_set(err, MR_FORMAT, start,
				"the seal is damaged: its own digest differs");
	else
		rc = 0;
out:
	hash_free(hash);
	free(buf);
	return rc;
}

static int read_blocks(struct sealed *s, struct reader *r, struct mr_error *err)
{
	s->blocks = calloc(s->head.blocks + 1, sizeof(*s->blocks));
	s->extents = calloc(s->head.blocks + 1, sizeof(*s->extents));
	if (!s->blocks || !s->extents)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (uint32_t i = 0; i < s->head.blocks; i++) {
		uint64_t at = mr_reader_tell(r);
		const uint8_t *buf;
		struct fault f;
		ssize_t n = mr_reader_peek(r, SEAL_BLOCK_MAX, &buf, err);

		if (n < 0)
			return -1;
		n = seal_block_decode(buf, (size_t)n, &s->blocks[i], &f);
		if (n < 0)
			return damaged(&f, at, err);
		mr_reader_skip(r, (uint64_t)n);
	}
	return 0;
}

static int read_words(const struct sealed *s, const struct seal_block *b,
		      struct sealed_extents *x, struct mr_error *err)
{
	uint64_t at = s->head.seal_offset + b->words, count = 0;
	size_t n = (size_t)seal_words(b->n_extents);

	x->words = calloc(n + 1, sizeof(*x->words));
	x->before = calloc(n + 1, sizeof(*x->before));
	if (!x->words || !x->before)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	if (io_read_full(s->io, x->words, n * sizeof(*x->words), at, err))
		return -1;
	for (size_t i = 0; i < n; i++) {
		x->words[i] = get_be64((const uint8_t *)&x->words[i]);
		x->before[i] = count;
		count += (uint64_t)__builtin_popcountll(x->words[i]);
	}
	if (n && b->n_extents % 64 && x->words[n - 1] >> (b->n_extents % 64))
		return error_set(err, MR_FORMAT, at,
				 "seal: digests beyond the end of block %s",
				 b->name);
	if (count != b->extents)
		return error_set(err, MR_FORMAT, at,
				 "seal: %" PRIu64
				 " digests for block %s, not %" PRIu64,
				 count, b->name, b->extents);
	return 0;
}

/* Head and blocks, and where all else is: nothing of that is to be believed
 * yet, but that it fits. */
static int read_front(struct sealed *s, struct reader *r,
		      const struct seal_end *end, struct mr_error *err)
{
	uint64_t start = mr_reader_tell(r);
	const uint8_t *buf;
	struct fault f;
	ssize_t n;

	n = mr_reader_peek(r, SEAL_HEAD_MAX, &buf, err);
	if (n < 0)
		return -1;
	if (!seal_is_head(buf, (size_t)n))
		return error_set(err, MR_FORMAT, start,
				 "the seal is damaged: it does not begin where "
				 "its length says");
	n = seal_head_decode(buf, (size_t)n, &s->head, &f);
	if (n < 0)
		return damaged(&f, start, err);
	if (s->head.seal_offset != start)
		return error_set(err, MR_FORMAT, start + 48,
				 "the seal was made for byte %" PRIu64,
				 s->head.seal_offset);
	mr_reader_skip(r, (uint64_t)n);
	if (read_blocks(s, r, err))
		return -1;
	if (seal_arrange(&s->head, s->blocks, &s->places, &f))
		return damaged(&f, start, err);
	if (s->places.length != end->length)
		return error_set(err, MR_FORMAT, start,
				 "the seal is damaged: it has %" PRIu64
				 " bytes, not %" PRIu64,
				 end->length, s->places.length);
	if (s->places.length - (s->places.tables_end - s->places.tables) >
	    LENGTH_LIMIT)
		return error_set(err, MR_FORMAT, start,
				 "the seal is damaged: it is too long");
	return 0;
}

static int read_seal(struct sealed *s, struct reader *r,
		     const struct seal_end *end, struct mr_error *err)
{
	uint64_t start = mr_reader_tell(r), extents = 0;

	if (read_front(s, r, end, err) || check_digest(s, &end->digest, err))
		return -1;
	for (uint32_t i = 0; i < s->head.blocks; i++) {
		extents += s->blocks[i].n_extents;
		if (extents > EXTENTS_LIMIT)
			return error_set(err, MR_UNSUPPORTED, start,
					 "a seal of more than %" PRIu64
					 " extents",
					 EXTENTS_LIMIT);
		if (read_words(s, &s->blocks[i], &s->extents[i], err))
			return -1;
	}
	return 0;
}

/* Where the file ends but for zeros, of which there may be some behind a seal:
 * its last byte is none. */
static int find_end(struct io *io, uint64_t *end, struct mr_error *err)
{
	uint8_t buf[4096];

	*end = io->size;
	while (*end > 0 && io->size - *end < PADDING_LIMIT) {
		/* No byte more than the sector in question. */
		size_t n = (size_t)((*end - 1) % sizeof(buf) + 1);

		if (io_read_full(io, buf, n, *end - n, err))
			return -1;
		while (n > 0 && !buf[n - 1]) {
			n--;
			--*end;
		}
		if (n > 0)
			return 0;
	}
	return 0;
}

int sealed_find(struct io *io, struct seal_end *end, uint64_t *size,
		struct mr_error *err)
{
	uint8_t buf[SEAL_END_SIZE];
	struct fault f;

	if (find_end(io, size, err))
		return -1;
	if (*size < SEAL_HEAD_MIN + SEAL_END_SIZE)
		return 0;
	if (io_read_full(io, buf, sizeof(buf), *size - sizeof(buf), err))
		return -1;
	if (!seal_is_end(buf, sizeof(buf)))
		return 0;
	if (seal_end_decode(buf, sizeof(buf), *size, end, &f) < 0)
		return error_fault(err, &f, *size - sizeof(buf));
	return 1;
}

int sealed_open(struct sealed *s, struct io *io, struct mr_error *err)
{
	struct seal_end end;
	struct reader r;
	uint64_t size;
	int rc;

	*s = (struct sealed){ .io = io };
	rc = sealed_find(io, &end, &size, err);
	if (rc <= 0)
		return rc;
	if (reader_init(&r, io, CHUNK, size - end.length, err))
		return -1;
	rc = read_seal(s, &r, &end, err);
	reader_release(&r);
	return rc ? -1 : 1;
}

void sealed_release(struct sealed *s)
{
	for (uint32_t i = 0; s->extents && i < s->head.blocks; i++) {
		free(s->extents[i].words);
		free(s->extents[i].before);
	}
	free(s->extents);
	free(s->blocks);
	*s = (struct sealed){ 0 };
}

int sealed_begins(struct io *io, uint64_t offset, struct mr_error *err)
{
	uint8_t buf[SEAL_MAGIC_SIZE];
	ssize_t n = io_read_upto(io, buf, sizeof(buf), offset, err);

	return n < 0 ? -1 : seal_is_head(buf, (size_t)n);
}

int sealed_digests(const struct sealed *s, uint64_t place, uint64_t first,
		   struct seal_digest *out, size_t n, struct mr_error *err)
{
	return io_read_full(s->io, out, n * sizeof(*out),
			    s->head.seal_offset + place + first * sizeof(*out),
			    err);
}

int sealed_table(const struct sealed *s, size_t block, uint64_t first,
		 uint64_t *out, size_t n, struct mr_error *err)
{
	return io_read_full(s->io, out, n * sizeof(*out),
			    s->blocks[block].table + first * sizeof(*out), err);
}

bool sealed_has_extent(const struct sealed *s, size_t block, uint64_t extent)
{
	return s->extents[block].words[extent / 64] >> (extent % 64) & 1;
}

int sealed_extent(const struct sealed *s, size_t block, uint64_t extent,
		  struct seal_digest *out, struct mr_error *err)
{
	const struct sealed_extents *x = &s->extents[block];
	uint64_t below =
		x->words[extent / 64] & ((UINT64_C(1) << (extent % 64)) - 1);
	uint64_t index =
		x->before[extent / 64] + (uint64_t)__builtin_popcountll(below);

	return sealed_digests(s, s->blocks[block].extent_digests, index, out, 1,
			      err);
}
