/* sealer.c - digests in, a seal out. */
#include "formats/bits.h"
#include "libmr/seal/sealer.h"

#include <stdlib.h>
#include <string.h>

#include "formats/bytes.h"
#include "libmr/base/error.h"
#include "libmr/base/grow.h"
#include "libmr/seal/pages.h"

#define CHUNK ((size_t)64 << 10)

static int no_memory(struct mr_error *err)
{
	return error_set(err, MR_NOMEM, MR_NO_OFFSET, "no memory for the seal");
}

static int add_digest(struct sealer *s, const void *piece, size_t len,
		      struct mr_error *err)
{
	if (grow(&s->digests, &s->room, s->n, sizeof(*s->digests)))
		return no_memory(err);
	s->digests[s->n++] = hash_bytes(piece, len);
	return 0;
}

int sealer_feed(struct sealer *s, const void *buf, size_t len,
		struct mr_error *err)
{
	const uint8_t *p = buf;

	while (len) {
		size_t n = sizeof(s->piece) - s->fill;

		if (n > len)
			n = len;
		memcpy(s->piece + s->fill, p, n);
		s->fill += n;
		p += n;
		len -= n;
		if (s->fill == sizeof(s->piece) && sealer_cut(s, err))
			return -1;
	}
	return 0;
}

int sealer_feed_zeros(struct sealer *s, uint64_t len, struct mr_error *err)
{
	static const uint8_t zeros[SEAL_PIECE];

	while (len) {
		size_t n = len < sizeof(zeros) ? (size_t)len : sizeof(zeros);

		if (sealer_feed(s, zeros, n, err))
			return -1;
		len -= n;
	}
	return 0;
}

int sealer_cut(struct sealer *s, struct mr_error *err)
{
	size_t len = s->fill;

	s->fill = 0;
	return len ? add_digest(s, s->piece, len, err) : 0;
}

int sealer_feed_file(struct sealer *s, struct io *io, uint64_t offset,
		     uint64_t len, struct mr_error *err)
{
	uint8_t *buf = malloc(CHUNK);
	int rc = -1;

	if (!buf)
		return no_memory(err);
	while (len) {
		size_t n = len < CHUNK ? (size_t)len : CHUNK;

		if (io_read_full(io, buf, n, offset, err) ||
		    sealer_feed(s, buf, n, err))
			goto out;
		offset += n;
		len -= n;
	}
	rc = sealer_cut(s, err);
out:
	free(buf);
	return rc;
}

int sealer_block(struct sealer *s, const struct seal_block *b,
		 const uint64_t *bits, const uint64_t *table,
		 struct mr_error *err)
{
	size_t n = s->n_blocks;

	if (grow(&s->blocks, &s->blocks_room, n, sizeof(*s->blocks)) ||
	    grow(&s->pages, &s->pages_room, n, sizeof(*s->pages)))
		return no_memory(err);
	s->blocks[n] = *b;
	s->pages[n] = (struct sealer_pages){ bits, table };
	s->n_blocks++;
	return 0;
}

void sealer_release(struct sealer *s)
{
	free(s->digests);
	free(s->blocks);
	free(s->pages);
	*s = (struct sealer){ 0 };
}

static int cannot(const struct fault *f, struct mr_error *err)
{
	return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
			 "the image cannot be sealed: %s", f->what);
}

int sealer_place(struct sealer *s, const struct seal_head *h,
		 struct mr_error *err)
{
	struct seal_places places;
	struct fault f;

	s->head = *h;
	s->head.version = SEAL_VERSION;
	s->head.piece_size = SEAL_PIECE;
	s->head.blocks = (uint32_t)s->n_blocks;
	s->head.tables_offset = seal_tables_offset(&s->head, s->blocks);
	for (size_t i = 0; i < s->n_blocks; i++)
		s->blocks[i].extents = 0;
	if (seal_arrange(&s->head, s->blocks, &places, &f))
		return cannot(&f, err);
	s->tables_end = s->head.seal_offset + places.tables_end;
	return 0;
}

/* ---- writing ---- */

/* Bytes on their way into the file, hashed as they go. */
struct out {
	struct io *io;
	uint64_t at;
	struct hash *hash;
	uint8_t *buf; /* CHUNK bytes */
	size_t fill;
	struct mr_error *err;
};

static int out_flush(struct out *o)
{
	size_t n = o->fill;
	uint64_t at = o->at;

	hash_add(o->hash, o->buf, n);
	o->fill = 0;
	o->at += n;
	return io_write_full(o->io, o->buf, n, at, o->err);
}

static int out_put(struct out *o, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len) {
		size_t n = CHUNK - o->fill < len ? CHUNK - o->fill : len;

		memcpy(o->buf + o->fill, p, n);
		o->fill += n;
		p += n;
		len -= n;
		if (o->fill == CHUNK && out_flush(o))
			return -1;
	}
	return 0;
}

/* Words of the page bitmap that belong to one extent. */
static size_t words_per_extent(const struct seal_head *h)
{
	return h->extent_size / h->page_size / BITS_PER_WORD;
}

static bool has_pages(const struct seal_head *h, const struct seal_block *b,
		      const uint64_t *bits, uint64_t extent)
{
	uint64_t at = extent * words_per_extent(h);
	uint64_t end = at + words_per_extent(h);

	if (end > b->bitmap_size / sizeof(*bits))
		end = b->bitmap_size / sizeof(*bits);
	while (at < end && !bits[at])
		at++;
	return at < end;
}

static void count_extents(const struct seal_head *h, struct seal_block *b,
			  const uint64_t *bits)
{
	b->extents = 0;
	for (uint64_t e = 0; e < b->n_extents; e++)
		b->extents += has_pages(h, b, bits, e);
}

static int put_words(struct out *o, const struct seal_head *h,
		     const struct seal_block *b, const uint64_t *bits)
{
	for (uint64_t e = 0; e < b->n_extents; e += 64) {
		uint64_t word = 0;
		uint8_t buf[SEAL_WORD_SIZE];

		for (uint64_t k = 0; k < 64 && e + k < b->n_extents; k++)
			if (has_pages(h, b, bits, e + k))
				word |= UINT64_C(1) << k;
		put_be64(buf, word);
		if (out_put(o, buf, sizeof(buf)))
			return -1;
	}
	return 0;
}

/* Pages of an extent: the last one's may be fewer. */
static size_t extent_pages(const struct seal_head *h,
			   const struct seal_block *b, uint64_t extent)
{
	uint64_t each = h->extent_size / h->page_size;
	uint64_t left = b->used_length / h->page_size - extent * each;

	return (size_t)(left < each ? left : each);
}

/* The file's tables are read back: a page's worth for 2 MiB. */
static int put_extents(struct out *o, const struct seal_head *h,
		       const struct seal_block *b, const struct sealer_pages *p)
{
	size_t each = h->extent_size / h->page_size;
	uint64_t *room = malloc(each * sizeof(*room));
	int rc = room ? 0 : no_memory(o->err);

	for (uint64_t e = 0; !rc && e < b->n_extents; e++) {
		const uint64_t *part = p->table ? p->table + e * each : room;
		size_t n = extent_pages(h, b, e);
		struct seal_digest d;

		if (!has_pages(h, b, p->bits, e))
			continue;
		if (!p->table)
			rc = io_read_full(o->io, room, n * sizeof(*room),
					  b->table + e * each * sizeof(*room),
					  o->err);
		if (rc)
			break;
		d = seal_pages_digest(part, n);
		rc = out_put(o, &d, sizeof(d));
	}
	free(room);
	return rc;
}

/* Nothing is written where there are no pages: the file is zero there. */
static int write_table(struct io *io, const struct seal_head *h,
		       const struct seal_block *b, const struct sealer_pages *p,
		       struct mr_error *err)
{
	uint64_t each = h->extent_size / h->page_size;

	for (uint64_t e = 0; p->table && e < b->n_extents; e++)
		if (has_pages(h, b, p->bits, e) &&
		    io_write_full(io, p->table + e * each,
				  extent_pages(h, b, e) * SEAL_ENTRY_SIZE,
				  b->table + e * each * SEAL_ENTRY_SIZE, err))
			return -1;
	return 0;
}

/* The next digests of pieces, for len bytes of the file. */
static int put_pieces(struct out *o, const struct sealer *s, size_t *next,
		      uint64_t len)
{
	size_t n = (size_t)seal_pieces(len, SEAL_PIECE), at = *next;

	*next += n;
	return out_put(o, s->digests + at, n * sizeof(*s->digests));
}

static int put_digests(struct out *o, const struct sealer *s,
		       const struct seal_head *h)
{
	size_t next = 0;

	if (put_pieces(o, s, &next, h->stream_offset))
		return -1;
	for (uint32_t i = 0; i < h->blocks; i++) {
		const struct seal_block *b = &s->blocks[i];

		if (put_pieces(o, s, &next, b->header_end - b->header_start) ||
		    put_pieces(o, s, &next, b->bitmap_size) ||
		    put_words(o, h, b, s->pages[i].bits) ||
		    put_extents(o, h, b, &s->pages[i]))
			return -1;
	}
	return put_pieces(o, s, &next, h->seal_offset - h->tail_offset);
}

_Static_assert((int)SEAL_HEAD_MAX >= SEAL_BLOCK_MAX, "room for both");

/* Head, blocks, zeros up to the tables. */
static int put_front(struct out *o, const struct sealer *s,
		     const struct seal_places *places)
{
	static const uint8_t zeros[SEAL_TABLES_ALIGN];
	uint8_t buf[SEAL_HEAD_MAX];
	size_t n = seal_head_encode(buf, &s->head);
	uint64_t at = n;

	if (out_put(o, buf, n))
		return -1;
	for (uint32_t i = 0; i < s->head.blocks; i++, at += n) {
		n = seal_block_encode(buf, &s->blocks[i]);
		if (out_put(o, buf, n))
			return -1;
	}
	return out_put(o, zeros, places->tables - at) || out_flush(o) ? -1 : 0;
}

static int put_end(struct out *o, uint64_t length)
{
	struct seal_end e = { .length = length };
	size_t covered = SEAL_END_SIZE - SEAL_END_UNCOVERED;
	uint8_t end[SEAL_END_SIZE];

	(void)seal_end_encode(end, &e);
	if (out_put(o, end, covered) || out_flush(o))
		return -1;
	e.digest = hash_end(o->hash);
	(void)seal_end_encode(end, &e);
	if (out_put(o, end + covered, SEAL_END_UNCOVERED))
		return -1;
	return out_flush(o);
}

static int put_all(struct out *o, const struct sealer *s,
		   const struct seal_places *places)
{
	if (put_front(o, s, places))
		return -1;
	for (uint32_t i = 0; i < s->head.blocks; i++)
		if (write_table(o->io, &s->head, &s->blocks[i], &s->pages[i],
				o->err))
			return -1;
	o->at = s->head.seal_offset + places->tables_end;
	if (put_digests(o, s, &s->head))
		return -1;
	return put_end(o, places->length);
}

int sealer_write(struct sealer *s, struct io *io, uint64_t *length,
		 struct mr_error *err)
{
	struct out o = { .io = io,
			 .at = s->head.seal_offset,
			 .hash = hash_new(),
			 .buf = malloc(CHUNK),
			 .err = err };
	struct seal_places places;
	struct fault f;
	int rc = -1;

	if (!o.hash || !o.buf) {
		(void)no_memory(err);
		goto out;
	}
	hash_start(o.hash);
	for (uint32_t i = 0; i < s->head.blocks; i++)
		count_extents(&s->head, &s->blocks[i], s->pages[i].bits);
	if (seal_arrange(&s->head, s->blocks, &places, &f)) {
		(void)cannot(&f, err);
		goto out;
	}
	rc = put_all(&o, s, &places);
	*length = places.length;
out:
	hash_free(o.hash);
	free(o.buf);
	return rc;
}
