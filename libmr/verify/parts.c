/* parts.c - everything but pages against the seal. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmr/base/error.h"
#include "libmr/base/hash.h"
#include "libmr/verify/state.h"

/* Bytes that are read at once: whole pieces, whatever their size. */
#define CHUNK ((size_t)SEAL_PIECE_MAX)

/* A stretch of bytes of the file with a digest for each piece. */
struct part {
	uint64_t offset, length;
	uint64_t place; /* of the digests, from the start of the seal */
	/* Called for each run of pieces that differ: bytes of the part. */
	void (*differs)(struct verify *v, const struct part *p, uint64_t from,
			uint64_t to);
	struct verify_block *block;
};

struct buffers {
	uint8_t data[CHUNK];
	struct seal_digest digests[CHUNK / SEAL_PIECE_MIN];
};

static int check_part(struct verify *v, const struct part *p,
		      struct buffers *buf, struct mr_error *err)
{
	uint32_t piece = v->seal.head.piece_size;
	uint64_t bad = UINT64_MAX; /* where a run of differing pieces began */

	for (uint64_t at = 0; at < p->length; at += CHUNK) {
		size_t len = p->length - at < CHUNK ? (size_t)(p->length - at)
						    : CHUNK;
		size_t n = (size_t)seal_pieces(len, piece);

		if (io_read_full(v->img->io, buf->data, len, p->offset + at,
				 err) ||
		    sealed_digests(&v->seal, p->place, at / piece, buf->digests,
				   n, err))
			return -1;
		verify_tell_unreadable(v);
		for (size_t i = 0; i < n; i++) {
			size_t from = i * piece;
			size_t size = len - from < piece ? len - from : piece;
			struct seal_digest d =
				hash_bytes(buf->data + from, size);
			bool differs =
				memcmp(&d, &buf->digests[i], sizeof(d)) != 0;

			if (differs && bad == UINT64_MAX)
				bad = at + from;
			if (differs || bad == UINT64_MAX)
				continue;
			p->differs(v, p, bad, at + from);
			bad = UINT64_MAX;
		}
	}
	if (bad != UINT64_MAX)
		p->differs(v, p, bad, p->length);
	return 0;
}

static struct mr_finding bytes_finding(const struct part *p, uint64_t from,
				       uint64_t to, enum mr_finding_kind kind)
{
	return (struct mr_finding){ .kind = kind,
				    .damage = true,
				    .block = p->block ? p->block->name : NULL,
				    .offset = p->offset + from,
				    .length = to - from };
}

static void front_differs(struct verify *v, const struct part *p, uint64_t from,
			  uint64_t to)
{
	struct mr_finding f = bytes_finding(p, from, to, MR_FINDING_FRONT);

	verify_tell(v, &f,
		    "libvirt's header differs from the seal, in bytes "
		    "%" PRIu64 "-%" PRIu64,
		    f.offset, f.offset + f.length - 1);
}

static void header_differs(struct verify *v, const struct part *p,
			   uint64_t from, uint64_t to)
{
	struct mr_finding f = bytes_finding(p, from, to, MR_FINDING_HEADER);

	verify_tell(v, &f,
		    "the header differs from the seal, in bytes "
		    "%" PRIu64 "-%" PRIu64,
		    f.offset, f.offset + f.length - 1);
}

static void bitmap_differs(struct verify *v, const struct part *p,
			   uint64_t from, uint64_t to)
{
	struct mr_finding f = bytes_finding(p, from, to, MR_FINDING_BITMAP);
	uint32_t piece = v->seal.head.piece_size;

	for (uint64_t i = from / piece; i * piece < to; i++)
		p->block->bad_pieces[i] = true;
	f.first = from * 8;
	f.pages = to * 8 < p->block->pages ? to * 8 - f.first
					   : p->block->pages - f.first;
	verify_tell(v, &f,
		    "the bitmap of pages %" PRIu64 "-%" PRIu64
		    " differs from the seal",
		    f.first, f.first + f.pages - 1);
}

/* The sections that these bytes of the file touch, as far as they are known:
 * " (sections a, b, ...)". */
static void name_sections(const struct mr_image_info *info, uint64_t from,
			  uint64_t to, char *buf, size_t size)
{
	size_t at = 0, n = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < info->n_sections && n <= 3; i++) {
		const struct mr_section *s = &info->sections[i];

		/* "ram" reaches from the first block to the last. */
		if (s->offset >= to || s->offset + s->length <= from ||
		    s->type == MR_SECTION_START)
			continue;
		(void)snprintf(buf + at, size - at,
			       n == 3 ? ", ..." : "%s%.40s",
			       n ? ", " : " (section ", s->name);
		at = strlen(buf);
		n++;
	}
	if (n)
		(void)snprintf(buf + at, size - at, ")");
}

static void tail_differs(struct verify *v, const struct part *p, uint64_t from,
			 uint64_t to)
{
	struct mr_finding f = bytes_finding(p, from, to, MR_FINDING_TAIL);
	char sections[160];

	name_sections(v->info, f.offset, f.offset + f.length, sections,
		      sizeof(sections));
	verify_tell(v, &f,
		    "the device state differs from the seal, in bytes "
		    "%" PRIu64 "-%" PRIu64 "%s",
		    f.offset, f.offset + f.length - 1, sections);
}

static int check_block(struct verify *v, size_t i, struct buffers *buf,
		       struct mr_error *err)
{
	const struct seal_block *s = &v->seal.blocks[i];
	struct part header = { .offset = s->header_start,
			       .length = s->header_end - s->header_start,
			       .place = s->header_digests,
			       .differs = header_differs,
			       .block = &v->blocks[i] };
	struct part bitmap = { .offset = s->bitmap_offset,
			       .length = s->bitmap_size,
			       .place = s->bitmap_digests,
			       .differs = bitmap_differs,
			       .block = &v->blocks[i] };

	if (check_part(v, &header, buf, err))
		return -1;
	return check_part(v, &bitmap, buf, err);
}

int verify_parts(struct verify *v, struct mr_error *err)
{
	const struct seal_head *h = &v->seal.head;
	struct part front = { .length = h->stream_offset,
			      .place = v->seal.places.front,
			      .differs = front_differs };
	struct part tail = { .offset = h->tail_offset,
			     .length = h->seal_offset - h->tail_offset,
			     .place = v->seal.places.tail,
			     .differs = tail_differs };
	struct buffers *buf = malloc(sizeof(*buf));
	int rc = -1;

	if (!buf)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	if (check_part(v, &front, buf, err))
		goto out;
	for (size_t i = 0; i < v->n; i++)
		if (check_block(v, i, buf, err))
			goto out;
	rc = check_part(v, &tail, buf, err);
out:
	free(buf);
	return rc;
}
