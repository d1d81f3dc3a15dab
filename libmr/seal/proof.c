/* proof.c - bytes of a file against the digests of its seal. */
#include "libmr/seal/proof.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libmr/base/error.h"
#include "libmr/base/hash.h"
#include "libmr/seal/pages.h"

/* Bytes that are read at once: whole pieces, whatever their size. */
#define CHUNK ((size_t)SEAL_PIECE_MAX)

struct buffers {
	uint8_t data[CHUNK];
	struct seal_digest digests[CHUNK / SEAL_PIECE_MIN];
};

/* ---- parts ---- */

struct proof_part proof_front(const struct sealed *s)
{
	return (struct proof_part){ 0, s->head.stream_offset, s->places.front };
}

struct proof_part proof_header(const struct sealed *s, size_t block)
{
	const struct seal_block *b = &s->blocks[block];

	return (struct proof_part){ b->header_start,
				    b->header_end - b->header_start,
				    b->header_digests };
}

struct proof_part proof_bitmap(const struct sealed *s, size_t block)
{
	const struct seal_block *b = &s->blocks[block];

	return (struct proof_part){ b->bitmap_offset, b->bitmap_size,
				    b->bitmap_digests };
}

struct proof_part proof_tail(const struct sealed *s)
{
	const struct seal_head *h = &s->head;

	return (struct proof_part){ h->tail_offset,
				    h->seal_offset - h->tail_offset,
				    s->places.tail };
}

/* The next chunk of a part, from byte at on. *bad: where a run of differing
 * pieces began, or UINT64_MAX. */
static int compare_chunk(const struct sealed *s, const struct proof_part *p,
			 uint64_t at, struct buffers *buf, uint64_t *bad,
			 void (*differs)(void *arg, uint64_t from, uint64_t to),
			 void *arg, struct mr_error *err)
{
	uint32_t piece = s->head.piece_size;
	size_t len = p->length - at < CHUNK ? (size_t)(p->length - at) : CHUNK;
	size_t n = (size_t)seal_pieces(len, piece);

	if (io_read_full(s->io, buf->data, len, p->offset + at, err) ||
	    sealed_digests(s, p->place, at / piece, buf->digests, n, err))
		return -1;
	for (size_t i = 0; i < n; i++) {
		size_t from = i * piece;
		size_t size = len - from < piece ? len - from : piece;
		struct seal_digest d = hash_bytes(buf->data + from, size);
		bool is_other = memcmp(&d, &buf->digests[i], sizeof(d)) != 0;

		if (is_other && *bad == UINT64_MAX)
			*bad = at + from;
		if (is_other || *bad == UINT64_MAX)
			continue;
		differs(arg, *bad, at + from);
		*bad = UINT64_MAX;
	}
	return 0;
}

int proof_compare(const struct sealed *s, const struct proof_part *p,
		  void (*differs)(void *arg, uint64_t from, uint64_t to),
		  void *arg, struct mr_error *err)
{
	struct buffers *buf = malloc(sizeof(*buf));
	uint64_t bad = UINT64_MAX;
	int rc = 0;

	if (!buf)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	for (uint64_t at = 0; !rc && at < p->length; at += CHUNK)
		rc = compare_chunk(s, p, at, buf, &bad, differs, arg, err);
	if (!rc && bad != UINT64_MAX)
		differs(arg, bad, p->length);
	free(buf);
	return rc;
}

/* ---- all but pages ---- */

/* The first run that differs. */
struct first {
	uint64_t from, to; /* the same: none */
};

static void note_first(void *arg, uint64_t from, uint64_t to)
{
	struct first *f = arg;

	if (f->from == f->to)
		*f = (struct first){ from, to };
}

/* block: NULL: it is of none. */
static int is_as_sealed(const struct sealed *s, const struct proof_part *p,
			const char *what, const struct seal_block *block,
			struct mr_error *err)
{
	struct first f = { 0, 0 };

	if (proof_compare(s, p, note_first, &f, err))
		return -1;
	if (f.from == f.to)
		return 0;
	return error_set(err, MR_FORMAT, p->offset + f.from,
			 "%s%s%.60s differs from the seal, in %" PRIu64
			 " bytes",
			 what, block ? " of block " : "",
			 block ? block->name : "", f.to - f.from);
}

int proof_rest(const struct sealed *s, struct mr_error *err)
{
	struct proof_part front = proof_front(s), tail = proof_tail(s);

	if (is_as_sealed(s, &front, "libvirt's header", NULL, err))
		return -1;
	for (uint32_t i = 0; i < s->head.blocks; i++) {
		struct proof_part header = proof_header(s, i);
		struct proof_part bitmap = proof_bitmap(s, i);

		if (is_as_sealed(s, &header, "the header", &s->blocks[i],
				 err) ||
		    is_as_sealed(s, &bitmap, "the bitmap", &s->blocks[i], err))
			return -1;
	}
	return is_as_sealed(s, &tail, "the device state", NULL, err);
}

/* ---- pages ---- */

int proof_pages(const struct sealed *s, size_t block, uint64_t extent,
		const uint64_t *table, size_t n, struct mr_error *err)
{
	struct seal_digest is, should;

	if (!sealed_has_extent(s, block, extent))
		return seal_pages_none(table, n);
	is = seal_pages_digest(table, n);
	if (sealed_extent(s, block, extent, &should, err))
		return -1;
	return !memcmp(&is, &should, sizeof(is));
}
