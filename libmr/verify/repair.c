/*
 * repair.c - mends what can be mended without guessing, and seals.
 *
 * Mended are: data under clear bits (punched out), zero pages (bit cleared,
 * punched out), bits beyond the last page, the bitmaps of a background
 * snapshot (each page was written once, so those that are not zero are the
 * memory), and a damaged bitmap, if the pages that are not zero make one that
 * the seal's digest agrees with. Any other damage: nothing is changed.
 *
 * In place it is done so that the image restores to the same memory at every
 * instant and after any crash:
 *  - data under clear bits and bits of zero pages do not matter to a restore;
 *  - a seal that is going to be wrong is cut off first, and the new one goes
 *    behind the image last: in between the image has no seal;
 *  - the bitmaps of a background snapshot are written after a seal that has
 *    their digests. A crash in between leaves damaged bitmaps, and a seal
 *    which proves what they have to be: a second repair goes on from there.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/bits.h"
#include "libmr/base/error.h"
#include "libmr/base/hash.h"
#include "libmr/seal/sealer.h"
#include "libmr/verify/state.h"

#define CHUNK_WORDS 4096

/* ---- opening ---- */

int verify_repair_open(struct verify *v, struct mr_error *err)
{
	int fd;

	if (v->o->output) {
		if (output_create(&v->out, v->o->output,
				  v->o->force ? GATE_ANY_FILE : GATE_IMAGE,
				  v->o->direct, err))
			return error_about(err, VERIFY_OUTPUT);
		v->out.file.io.who = VERIFY_OUTPUT;
		return 0;
	}
	fd = open(v->path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_sys(err, MR_NO_OFFSET, "cannot open to write");
	if (!file_lock(fd, err) &&
	    !file_adopt(&v->rw, fd, O_RDWR, MR_DIRECT_OFF, err))
		return 0;
	(void)close(fd);
	v->rw = (struct file)FILE_CLOSED;
	return -1;
}

void verify_repair_close(struct verify *v)
{
	output_discard(&v->out);
	(void)file_close(&v->rw);
}

static int sync_image(struct verify *v, struct mr_error *err)
{
	if (fsync(v->rw.fd))
		return error_sys(err, MR_NO_OFFSET, "cannot sync");
	return 0;
}

/* ---- may it be mended ---- */

/* Whether the bits as they should be make this piece of the bitmap: the
 * seal's digest of it agrees, and that of all its pages. */
static int proven(struct verify *v, size_t block, size_t piece, bool *yes,
		  struct mr_error *err)
{
	const struct verify_block *b = &v->blocks[block];
	uint64_t words[SEAL_PIECE_MAX / sizeof(uint64_t)];
	size_t per = v->seal.head.piece_size / sizeof(*words);
	size_t first = piece * per, n = b->nwords - first, end;
	struct seal_digest is, should;

	*yes = false;
	if (n > per)
		n = per;
	memcpy(words, b->bits + first, n * sizeof(*words));
	bits_swap_le(words, n);
	is = hash_bytes(words, n * sizeof(*words));
	if (sealed_digests(&v->seal, v->seal.blocks[block].bitmap_digests,
			   piece, &should, 1, err))
		return -1;
	if (memcmp(&is, &should, sizeof(is)) != 0)
		return 0;
	per = v->extent_size / v->page_size / 64; /* words of an extent */
	end = (first + n + per - 1) / per;
	for (size_t i = first / per; i < end; i++)
		if (b->extents[i].lost)
			return 0;
	*yes = true;
	return 0;
}

static int all_proven(struct verify *v, bool *yes, struct mr_error *err)
{
	*yes = true;
	for (size_t i = 0; *yes && i < v->n; i++)
		for (size_t k = 0; *yes && k < v->blocks[i].n_pieces; k++)
			if (v->blocks[i].bad_pieces[k] &&
			    proven(v, i, k, yes, err))
				return -1;
	return 0;
}

static int is_mendable(struct verify *v, bool *yes, struct mr_error *err)
{
	*yes = true;
	for (enum mr_finding_kind k = 0; k < MR_FINDINGS; k++) {
		if (!v->seen[k])
			continue;
		/* With all bitmaps clear a seal had nothing to say. */
		if ((k == MR_FINDING_BACKGROUND || k == MR_FINDING_SEAL) &&
		    v->rebuild)
			continue;
		/* A damaged seal is replaced by whoever asks for both: the
		 * rest is sound as far as can be told without one. */
		if (k == MR_FINDING_SEAL && v->o->repair && v->o->seal)
			continue;
		if ((k == MR_FINDING_BITMAP || k == MR_FINDING_STALE) &&
		    v->o->repair)
			continue;
		*yes = false;
	}
	return *yes && v->has_seal ? all_proven(v, yes, err) : 0;
}

/* ---- the new seal ---- */

static uint64_t stream_offset(const struct verify *v)
{
	return v->has_seal ? v->seal.head.stream_offset
			   : v->info->stream_offset;
}

static int feed_bits(struct sealer *s, const struct verify_block *b,
		     struct mr_error *err)
{
	uint64_t chunk[CHUNK_WORDS];

	for (size_t at = 0, n; at < b->nwords; at += n) {
		n = b->nwords - at < CHUNK_WORDS ? b->nwords - at : CHUNK_WORDS;
		memcpy(chunk, b->bits + at, n * sizeof(*chunk));
		bits_swap_le(chunk, n);
		if (sealer_feed(s, chunk, n * sizeof(*chunk), err))
			return -1;
	}
	return sealer_cut(s, err);
}

static int add_block(struct sealer *s, const struct verify_block *b,
		     struct mr_error *err)
{
	struct seal_block k = {
		.header_end = b->header_end,
		.bitmap_offset = b->length ? b->bitmap_offset : 0,
		.pages_offset = b->length ? b->pages_offset : 0,
		.used_length = b->listed,
	};

	memcpy(k.name, b->name, strlen(b->name) + 1);
	return sealer_block(s, &k, b->bits, b->table, err);
}

/* All but the pages themselves. future: bitmaps as they will be, not as they
 * are. */
static int feed_all(struct verify *v, struct sealer *s, bool future,
		    struct mr_error *err)
{
	struct io *io = v->img->io;
	uint64_t front = stream_offset(v);

	if (sealer_feed_file(s, io, 0, front, err))
		return -1;
	for (size_t i = 0; i < v->n; i++) {
		const struct verify_block *b = &v->blocks[i];
		/* The first header area begins with the stream. */
		uint64_t from = i ? b->entry : front;

		if (sealer_feed_file(s, io, from, b->header_end - from, err))
			return -1;
		if (future ? feed_bits(s, b, err)
			   : sealer_feed_file(s, io, b->bitmap_offset,
					      b->bitmap_size, err))
			return -1;
		if (add_block(s, b, err))
			return -1;
	}
	return sealer_feed_file(s, io, v->tail_offset,
				v->stream_end - v->tail_offset, err);
}

/* What is stale goes where there is something to mend. */
static bool leaves_stale(const struct verify *v)
{
	return v->r->stale && !v->o->repair && !v->o->output;
}

static int write_seal(struct verify *v, struct io *to, bool future,
		      struct mr_error *err)
{
	struct seal_head head = { .flags = leaves_stale(v) ? 0
							   : SEAL_ABSENT_ZERO,
				  .page_size = v->page_size,
				  .extent_size = (uint32_t)v->extent_size,
				  .stream_offset = stream_offset(v),
				  .tail_offset = v->tail_offset,
				  .seal_offset = v->stream_end };
	const struct seal_head *old = &v->seal.head;
	struct sealer sealer = { 0 };
	uint64_t length;
	int rc = feed_all(v, &sealer, future, err);

	/* What it is an image of is as it was. */
	if (v->has_seal && old->flags & SEAL_LABELED) {
		head.flags |= SEAL_LABELED;
		head.label = old->label;
	}
	if (!rc)
		rc = sealer_place(&sealer, &head, err);
	if (!rc)
		rc = sealer_write(&sealer, to, &length, err);
	if (!rc)
		verify_did(v, "sealed: %" PRIu64 " bytes of digests", length);
	sealer_release(&sealer);
	return rc;
}

/* ---- writing ---- */

/* Bitmap words where they differ from what the file has. */
static int write_bits(struct verify *v, const struct verify_block *b,
		      size_t first, size_t end, struct mr_error *err)
{
	uint64_t chunk[CHUNK_WORDS];

	for (size_t at = first, n; at < end; at += n) {
		n = end - at < CHUNK_WORDS ? end - at : CHUNK_WORDS;
		if (verify_words(v, b, at, chunk, n, err))
			return -1;
		if (!memcmp(chunk, b->bits + at, n * sizeof(*chunk)))
			continue;
		memcpy(chunk, b->bits + at, n * sizeof(*chunk));
		bits_swap_le(chunk, n);
		if (io_write_full(&v->rw.io, chunk, n * sizeof(*chunk),
				  b->bitmap_offset + at * sizeof(*chunk), err))
			return -1;
	}
	return 0;
}

static int write_all_bits(struct verify *v, struct mr_error *err)
{
	for (size_t i = 0; i < v->n; i++)
		if (write_bits(v, &v->blocks[i], 0, v->blocks[i].nwords, err))
			return -1;
	return sync_image(v, err);
}

/* Zeros instead of what is there, as a hole if the file system can. */
static int punch(struct verify *v, uint64_t offset, uint64_t length,
		 struct mr_error *err)
{
	static const uint8_t zeros[65536];

	if (!fallocate(v->rw.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		       (off_t)offset, (off_t)length))
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return error_sys(err, offset, "cannot punch a hole");
	while (length) {
		size_t n =
			length < sizeof(zeros) ? (size_t)length : sizeof(zeros);

		if (io_write_full(&v->rw.io, zeros, n, offset, err))
			return -1;
		offset += n;
		length -= n;
	}
	return 0;
}

/* Pages that are not present, in an extent with pages that are odd. */
static int punch_extent(struct verify *v, const struct verify_block *b,
			size_t extent, struct mr_error *err)
{
	uint64_t per = v->extent_size / v->page_size;
	uint64_t end = (extent + 1) * per, p, q;

	if (end > b->pages)
		end = b->pages;
	for (p = extent * per; p < end; p = q) {
		p = bits_next_clear(b->bits, p, end);
		q = bits_next_set(b->bits, p, end);
		if (p < q && punch(v, b->pages_offset + p * v->page_size,
				   (q - p) * v->page_size, err))
			return -1;
	}
	return 0;
}

static int punch_block(struct verify *v, const struct verify_block *b,
		       struct mr_error *err)
{
	uint64_t stale = 0, waste = 0;

	for (size_t i = 0; i < b->n_extents; i++) {
		const struct verify_extent *x = &b->extents[i];

		uint64_t s = x->pages[VERIFY_STALE];
		uint64_t w = x->pages[VERIFY_WASTE];

		stale += s;
		waste += w;
		if (s + w && punch_extent(v, b, i, err))
			return -1;
	}
	if (stale)
		verify_did(v, "block %s: %" PRIu64 " stale pages punched out",
			   b->name, stale);
	if (waste)
		verify_did(v,
			   "block %s: %" PRIu64 " zero pages marked as such "
			   "and punched out",
			   b->name, waste);
	return 0;
}

static int punch_all(struct verify *v, struct mr_error *err)
{
	for (size_t i = 0; i < v->n; i++)
		if (punch_block(v, &v->blocks[i], err))
			return -1;
	return sync_image(v, err);
}

/* Bitmaps that the seal proves. The seal stays as it is. */
static int put_back_bitmaps(struct verify *v, struct mr_error *err)
{
	size_t per;

	if (!v->has_seal)
		return 0;
	per = v->seal.head.piece_size / sizeof(uint64_t);
	for (size_t i = 0; i < v->n; i++) {
		const struct verify_block *b = &v->blocks[i];

		for (size_t k = 0; k < b->n_pieces; k++) {
			size_t end = (k + 1) * per;

			if (!b->bad_pieces[k])
				continue;
			if (write_bits(v, b, k * per,
				       end < b->nwords ? end : b->nwords, err))
				return -1;
			verify_did(v,
				   "block %s: bitmap of pages %zu-%" PRIu64
				   " put back: the seal proves it",
				   b->name, k * per * 64,
				   end * 64 < b->pages ? (uint64_t)end * 64 - 1
						       : b->pages - 1);
		}
	}
	return sync_image(v, err);
}

static int cut_seal(struct verify *v, struct mr_error *err)
{
	if (v->stream_end == v->info->file_size)
		return 0;
	if (ftruncate(v->rw.fd, (off_t)v->stream_end))
		return error_sys(err, v->stream_end,
				 "cannot cut off the old seal");
	return sync_image(v, err);
}

/* Instead of what is behind the stream, if that was a seal. One that cannot be
 * written leaves none. */
static int append_seal(struct verify *v, bool future, struct mr_error *err)
{
	if (cut_seal(v, err))
		return -1;
	if (!write_seal(v, &v->rw.io, future, err) && !sync_image(v, err))
		return 0;
	(void)!ftruncate(v->rw.fd, (off_t)v->stream_end);
	return -1;
}

static void tell_rebuilt(struct verify *v)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct verify_block *b = &v->blocks[i];
		uint64_t n = bits_count(b->bits, 0, b->nwords * 64);

		if (n)
			verify_did(v,
				   "block %s: bitmap rebuilt: %" PRIu64
				   " pages",
				   b->name, n);
	}
}

static int rebuild(struct verify *v, struct mr_error *err)
{
	if (append_seal(v, true, err) || write_all_bits(v, err))
		return -1;
	tell_rebuilt(v);
	return 0;
}

/* Whether the seal that is there, or is not, is not the one that is due. */
static bool is_seal_old(const struct verify *v)
{
	bool says_zero = v->has_seal && v->seal.head.flags & SEAL_ABSENT_ZERO;

	if (!v->has_seal || v->seen[MR_FINDING_SEAL])
		return v->o->seal;
	if (v->o->repair && v->r->stale)
		return !says_zero;
	return v->o->seal && (v->seal.head.version != SEAL_VERSION ||
			      (!says_zero && !v->r->stale));
}

static int mend_in_place(struct verify *v, struct mr_error *err)
{
	bool repair = v->o->repair;
	bool new_bits = repair && (v->r->waste || v->stray);

	if (v->rebuild && v->bits_changed)
		return rebuild(v, err);
	if (v->seen[MR_FINDING_BITMAP] && put_back_bitmaps(v, err))
		return -1;
	/* A seal that says nothing of pages that are not present, or that they
	 * are zero, stays true. */
	if (!new_bits && repair && v->r->stale && punch_all(v, err))
		return -1;
	if (!new_bits)
		return is_seal_old(v) ? append_seal(v, false, err) : 0;
	if (cut_seal(v, err) || write_all_bits(v, err) || punch_all(v, err))
		return -1;
	if (v->stray)
		verify_did(v, "%" PRIu64 " bits beyond the last page cleared",
			   v->stray);
	if (v->has_seal || v->o->seal)
		return append_seal(v, false, err);
	return 0;
}

/* ---- onto a copy ---- */

static int copy_bytes(struct verify *v, uint64_t from, uint64_t to,
		      struct mr_error *err)
{
	uint8_t buf[65536];

	while (from < to) {
		size_t n = to - from < sizeof(buf) ? (size_t)(to - from)
						   : sizeof(buf);

		if (io_read_full(v->img->io, buf, n, from, err) ||
		    io_write_full(&v->out.file.io, buf, n, from, err))
			return -1;
		from += n;
	}
	return 0;
}

static int copy_bits(struct verify *v, const struct verify_block *b,
		     struct mr_error *err)
{
	uint64_t chunk[CHUNK_WORDS];

	for (size_t at = 0, n; at < b->nwords; at += n) {
		n = b->nwords - at < CHUNK_WORDS ? b->nwords - at : CHUNK_WORDS;
		memcpy(chunk, b->bits + at, n * sizeof(*chunk));
		bits_swap_le(chunk, n);
		if (io_write_full(&v->out.file.io, chunk, n * sizeof(*chunk),
				  b->bitmap_offset + at * sizeof(*chunk), err))
			return -1;
	}
	return 0;
}

/* The pages are there already: the scan wrote them. */
static int finish_copy(struct verify *v, struct mr_error *err)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct verify_block *b = &v->blocks[i];

		if (copy_bytes(v, i ? b->entry : 0, b->header_end, err) ||
		    copy_bits(v, b, err))
			return -1;
	}
	if (copy_bytes(v, v->tail_offset, v->stream_end, err))
		return -1;
	if ((v->has_seal || v->o->seal) &&
	    write_seal(v, &v->out.file.io, true, err))
		return -1;
	if (v->rebuild)
		tell_rebuilt(v);
	if (v->r->stale && !v->rebuild)
		verify_did(v, "%" PRIu64 " stale pages left out", v->r->stale);
	if (v->r->waste && v->o->repair)
		verify_did(v, "%" PRIu64 " zero pages left out", v->r->waste);
	if (output_publish(&v->out, err))
		return error_about(err, VERIFY_OUTPUT);
	verify_did(v, "written to %s", v->o->output);
	return 0;
}

int verify_repair(struct verify *v, struct mr_error *err)
{
	bool yes = false;
	int rc;

	if (v->info->kind != MR_IMAGE_MAPPED && !v->has_seal)
		return v->r->damages
			       ? 0
			       : error_set(err, MR_UNSUPPORTED, MR_NO_OFFSET,
					   "only mapped-ram images can be "
					   "mended or sealed");
	if (is_mendable(v, &yes, err))
		return -1;
	if (!yes || !v->blocks)
		return 0;
	rc = v->o->output ? finish_copy(v, err) : mend_in_place(v, err);
	if (!rc)
		v->r->sound = true;
	return rc;
}
