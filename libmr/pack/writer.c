/* writer.c - label, frames, notes and index of a pack. */
#include "libmr/pack/writer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "formats/bits.h"
#include "formats/bytes.h"
#include "libmr/base/error.h"
#include "libmr/base/hash.h"
#include "libmr/base/zeros.h"

/* ---- frames ---- */

static int compress_failed(size_t code, struct mr_error *err)
{
	return error_set(err, MR_NOMEM, MR_NO_OFFSET, "cannot compress: %.100s",
			 ZSTD_getErrorName(code));
}

/* The frame says how much it holds, and has no checksum where there are
 * digests. */
static ZSTD_CCtx *new_zstd(const struct pack_form *form, struct mr_error *err)
{
	ZSTD_CCtx *z = ZSTD_createCCtx();
	size_t rc;

	if (!z) {
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET,
				"no memory to compress with");
		return NULL;
	}
	rc = ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, form->level);
	if (!ZSTD_isError(rc))
		rc = ZSTD_CCtx_setParameter(z, ZSTD_c_contentSizeFlag, 1);
	if (!ZSTD_isError(rc))
		rc = ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, form->bare);
	if (!ZSTD_isError(rc))
		return z;
	(void)compress_failed(rc, err);
	(void)ZSTD_freeCCtx(z);
	return NULL;
}

/* len bytes into one frame. */
static int squeeze(ZSTD_CCtx *z, const void *bytes, size_t len, uint8_t *to,
		   size_t room, struct pack_place *place, struct mr_error *err)
{
	size_t n = ZSTD_compress2(z, to, room, bytes, len);

	if (ZSTD_isError(n))
		return compress_failed(n, err);
	place->size = (uint32_t)n;
	place->content = (uint32_t)len;
	place->digest = hash_bytes(to, n);
	return 0;
}

void packer_release(struct packer *p)
{
	(void)ZSTD_freeCCtx(p->zstd);
	free(p->part);
	*p = (struct packer){ .zstd = NULL };
}

static int packer_ready(struct packer *p, const struct pack_form *form,
			struct mr_error *err)
{
	if (p->zstd)
		return 0;
	p->part = malloc(pack_part_max(&form->label));
	if (!p->part)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory to compress with");
	p->zstd = new_zstd(form, err);
	if (p->zstd)
		return 0;
	free(p->part);
	p->part = NULL;
	return -1;
}

size_t pack_frame_room(const struct pack_form *form)
{
	size_t part = pack_part_max(&form->label);

	return PACK_SKIP_SIZE + PACK_NOTE_MAX + (size_t)PACK_PACKED_MAX(part);
}

/* The PART, and the digests of its pages: those are warm then. Returns its
 * length. */
static size_t make_part(const struct pack_label *l, const struct pack_extent *e,
			const char *block, const unsigned char *pages,
			uint8_t *to, uint8_t *digests)
{
	size_t n = 0, at = 0, all = pack_pages(l), size = l->page_size;

	for (uint64_t p = bits_next_set(e->there, 0, all); p < all;
	     p = bits_next_set(e->there, p + 1, all)) {
		const unsigned char *page = pages + p * size;

		at += pack_part_before(to + at, l, e, block, n, (size_t)p);
		memcpy(to + at, page, size);
		at += size;
		if (digests) {
			uint64_t digest = hash_page(page, size);

			memcpy(digests + n * sizeof(digest), &digest,
			       sizeof(digest));
		}
		n++;
	}
	return at + pack_part_behind(to + at, l, e, block);
}

/* The same, with a note that stands before its frame. */
static size_t make_noted(const struct pack_label *l,
			 const struct pack_extent *e, const char *block,
			 const unsigned char *pages, uint8_t *to,
			 struct pack_frame *f)
{
	struct pack_skip skip = { .kind = PACK_NOTE };
	uint8_t *note = f->bytes + PACK_SKIP_SIZE;
	size_t len;

	skip.length = (uint32_t)pack_note_size(l, e);
	f->note = pack_skip_encode(f->bytes, &skip) + skip.length;
	len = pack_extent_encode(note, l, e);
	len = make_part(l, e, block, pages, to, note + len);
	f->entry.extent = *e;
	f->entry.note = hash_bytes(note, skip.length);
	return len;
}

int pack_frame_make(const struct pack_form *form, struct packer *p,
		    const struct pack_extent *e, const char *block,
		    const unsigned char *pages, struct pack_frame *f,
		    struct mr_error *err)
{
	const struct pack_label *l = &form->label;
	size_t all = pack_pages(l), len;

	f->len = 0;
	if (bits_next_set(e->there, 0, all) == all &&
	    bits_next_set(e->zero, 0, all) == all)
		return 0;
	if (form->plain) {
		f->len = make_part(l, e, block, pages, f->bytes, NULL);
		return 0;
	}
	if (packer_ready(p, form, err))
		return -1;
	f->note = 0;
	len = form->bare ? make_part(l, e, block, pages, p->part, NULL)
			 : make_noted(l, e, block, pages, p->part, f);
	if (squeeze(p->zstd, p->part, len, f->bytes + f->note,
		    pack_frame_room(form) - f->note, &f->entry.place, err))
		return -1;
	f->len = f->note + f->entry.place.size;
	return 0;
}

/* ---- the file ---- */

static bool has_index(const struct pack_form *form)
{
	return !form->plain && !form->bare;
}

static int put(struct pack_writer *w, const void *bytes, size_t len,
	       struct mr_error *err)
{
	if (io_write_full(w->io, bytes, len, w->at, err))
		return -1;
	w->at += len;
	return 0;
}

/* An increment's head is out of zstd's sight. */
static int hide(struct pack_writer *w, uint32_t size, struct mr_error *err)
{
	const struct pack_skip skip = { .kind = PACK_HEAD, .length = size };
	uint8_t buf[PACK_SKIP_SIZE];

	return put(w, buf, pack_skip_encode(buf, &skip), err);
}

/* Head or tail: as it is, or as a frame. */
static int put_whole(struct pack_writer *w, const void *bytes, size_t len,
		     size_t most, bool hidden, struct pack_place *place,
		     struct mr_error *err)
{
	size_t room = (size_t)PACK_PACKED_MAX(len);
	ZSTD_CCtx *z;
	uint8_t *to;
	int rc = -1;

	if (w->form.plain)
		return put(w, bytes, len, err);
	if (len > most)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "%zu bytes of device state are more than a "
				 "pack can have in one place",
				 len);
	z = new_zstd(&w->form, err);
	to = malloc(room);
	if (!to)
		(void)error_set(err, MR_NOMEM, MR_NO_OFFSET, "out of memory");
	if (z && to && !squeeze(z, bytes, len, to, room, place, err)) {
		rc = hidden ? hide(w, place->size, err) : 0;
		place->offset = w->at;
		if (!rc)
			rc = put(w, to, place->size, err);
	}
	(void)ZSTD_freeCCtx(z);
	free(to);
	return rc;
}

static int put_label(struct pack_writer *w, struct mr_error *err)
{
	uint8_t buf[PACK_SKIP_SIZE + PACK_LABEL_MAX];
	struct pack_skip skip = { .kind = PACK_LABEL };
	uint8_t *label = buf + PACK_SKIP_SIZE;

	skip.length = (uint32_t)pack_label_encode(label, &w->form.label);
	(void)pack_skip_encode(buf, &skip);
	w->head.label = hash_bytes(label, skip.length);
	return put(w, buf, PACK_SKIP_SIZE + skip.length, err);
}

/* Memory is taken as it is filled. */
static int begin_index(struct pack_writer *w, const struct pack_block *blocks,
		       size_t n, uint64_t extents, struct mr_error *err)
{
	uint64_t most = 4 + PACK_INDEX_HEAD_SIZE +
			n * (uint64_t)PACK_INDEX_BLOCK_MAX +
			PACK_INDEX_END_SIZE;
	size_t entry = pack_entry_size(&w->form.label);

	if (extents > (UINT32_MAX - most) / entry)
		return error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
				 "more memory than the index of a pack has "
				 "room for");
	w->room = most + extents * entry;
	w->index = zeros_new(w->room);
	if (!w->index)
		return error_set(err, MR_NOMEM, MR_NO_OFFSET,
				 "no memory for the index");
	w->used = 4 + PACK_INDEX_HEAD_SIZE;
	w->head.blocks = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		w->used += pack_block_encode(w->index + w->used, &blocks[i]);
	return 0;
}

int pack_writer_begin(struct pack_writer *w, const struct pack_form *form,
		      struct io *io, const struct pack_block *blocks, size_t n,
		      uint64_t extents, const void *head, size_t len,
		      struct mr_error *err)
{
	*w = (struct pack_writer){ .form = *form, .io = io };
	if (has_index(form) &&
	    (begin_index(w, blocks, n, extents, err) || put_label(w, err)))
		return -1;
	return put_whole(w, head, len, PACK_HEAD_MAX,
			 form->label.flags & PACK_INCREMENT, &w->head.head,
			 err);
}

int pack_writer_add(struct pack_writer *w, struct pack_frame *f,
		    struct mr_error *err)
{
	size_t entry = pack_entry_size(&w->form.label);

	if (!f->len)
		return 0;
	f->entry.place.offset = w->at + f->note;
	if (put(w, f->bytes, f->len, err))
		return -1;
	if (!has_index(&w->form))
		return 0;
	assert(w->used + entry + PACK_INDEX_END_SIZE <= w->room);
	w->used += pack_entry_encode(w->index + w->used, &w->form.label,
				     &f->entry);
	w->head.extents++;
	return 0;
}

static int put_index(struct pack_writer *w, struct mr_error *err)
{
	size_t n = (size_t)w->used + PACK_INDEX_END_SIZE - 4;
	const struct pack_skip skip = { .kind = PACK_INDEX,
					.length = (uint32_t)n };
	struct pack_end end = { .length = (uint32_t)n + 4 };
	uint8_t buf[PACK_SKIP_SIZE];

	(void)pack_skip_encode(buf, &skip);
	put_be32(w->index, PACK_INDEX);
	(void)pack_index_head_encode(w->index + 4, &w->head);
	end.identity = hash_bytes(w->index, (size_t)w->used);
	(void)pack_end_encode(w->index + w->used, &end);
	return put(w, buf, PACK_SKIP_SIZE - 4, err) ||
			       put(w, w->index, n + 4, err)
		       ? -1
		       : 0;
}

int pack_writer_finish(struct pack_writer *w, const void *tail, size_t len,
		       struct mr_error *err)
{
	if (put_whole(w, tail, len, PACK_TAIL_MAX, false, &w->head.tail, err))
		return -1;
	return has_index(&w->form) ? put_index(w, err) : 0;
}

void pack_writer_release(struct pack_writer *w)
{
	zeros_free(w->index, w->room);
	*w = (struct pack_writer)PACK_WRITER_NONE;
}
